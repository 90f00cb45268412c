"""Signatures of the exported models; a set's axis of images is inside the row."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfzoo.data import Info
from tfzoo.sdn.model import SetDistributionNetwork
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

SEEDS = np.arange(4, dtype=np.int32)


def signatures(
    model: SetDistributionNetwork, n: int = 4, info: Info | None = None
) -> dict[str, Signature]:
    """Maps sets to codes, images and scores, and seeds to sets.

    `serving_default(images, mask)` and its alias `encode` return `code` [B, d]; a row without
    images has the code 0. `reconstruct(images, mask, seed)` returns `images` from the set's code,
    as many as in the input, as raw pixels; `sample(seed)` returns a `code` of the prior and n
    `images`; `score(images, mask)` returns `energy`, lower for sets that fit their code, and
    `log_prob` of the code. `images` are raw pixels [B, any, S, S, C], `mask` [B, any] says which
    are present, `seed` [B] determines each row's randomness.

    Args:
        model: a trained model.
        n: number of images of a sampled set.
        info: properties of the training images; without it their range is assumed to be 0 to 255.
    """
    size = (model.image_size, model.image_size, model.channels)
    rng = np.random.default_rng(0)
    low, high = (0.0, 255.0) if info is None else info.limits
    ranges = {"images": (low, high)}
    images = rng.uniform(low, high, (4, 3, *size)).astype(np.float32)
    mask = np.array([[True] * 3, [True, True, False], [True, False, False], [True] * 3])
    specs = {
        "images": tf.TensorSpec([None, None, *size], tf.float32),
        "mask": tf.TensorSpec([None, None], tf.bool),
    }
    examples = {"images": images, "mask": mask}
    seed = {"seed": tf.TensorSpec([None], tf.int32)}

    def encode(images: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        return {"code": model(images, mask=mask, training=False)}

    def reconstruct(images: Tensor, mask: Tensor | None, seed: Tensor) -> dict[str, Tensor]:
        code = model(images, mask=mask, training=False)
        return {"images": model.images(code, _noise(seed, tf.shape(images)[1], model.noise_dim))}

    def sample(seed: Tensor) -> dict[str, Tensor]:
        draw = lambda s: tf.random.stateless_uniform([model.code_dim], tf.stack([s, 1]))  # noqa: E731
        spec = tf.TensorSpec([model.code_dim], tf.float32)
        code = model.prior.sample(tf.map_fn(draw, seed, fn_output_signature=spec))
        return {"code": code, "images": model.images(code, _noise(seed, n, model.noise_dim))}

    def score(images: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        code = model(images, mask=mask, training=False)
        energy = model.energy(model.prepare(images), code, mask=mask, training=False)
        return {"energy": energy, "log_prob": model.prior.log_prob(code)}

    says = f"sets of raw images from {low:g} to {high:g}, with a mask of those present, to"
    code = Signature(encode, specs, examples, description=f"{says} binary codes", ranges=ranges)
    return {
        "serving_default": code,
        "encode": code,
        "reconstruct": Signature(
            reconstruct,
            specs | seed,
            examples | {"seed": SEEDS},
            description=f"{says} new images by their codes, each row by its own seed",
            ranges=ranges,
        ),
        "sample": Signature(
            sample,
            seed,
            {"seed": SEEDS},
            description=f"seeds to codes of the prior and {n} raw images of each",
        ),
        "score": Signature(
            score,
            specs,
            examples,
            description=f"{says} energies and log-probabilities of codes",
            ranges=ranges,
        ),
    }


def _noise(seed: Tensor, n: int | Tensor, k: int) -> Tensor:
    """Standard normal [B, n, k]; image i of a row has the same noise for any n."""

    def row(s: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([n, k], tf.stack([s, 0]))

    return tf.map_fn(row, seed, fn_output_signature=tf.TensorSpec([None, k], tf.float32))
