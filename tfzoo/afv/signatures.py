"""Signatures of AFV's exported models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfzoo import serving
from tfzoo.afv.classifier import AFVClassifier
from tfzoo.data import Info
from tfzoo.recipes.image_signatures import image_signatures
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

SEEDS = np.arange(4, dtype=np.int32)


def signatures(model: AFVClassifier, info: Info | None = None) -> dict[str, Signature]:
    """Maps images or files to classes, Fisher vectors and energy, and seeds to images.

    `serving_default(images)` returns `probabilities`, `classes`; `features(images)` the vector
    `fisher_vector`, folded to the model's `served_features` numbers if longer; `score(images)` D(x)
    as `energy`, higher for more likely images. `bytes`, `features_bytes` and `score_bytes` take
    encoded files. `sample(seed)` returns `images`, raw pixels, if there is a generator.
    """
    size, _, channels = model.example_shape
    answers: dict[str, tuple[Callable, str]] = {
        "": (_classes(model), "class probabilities and the most likely class"),
        "features": (_features(model), "Fisher vectors"),
        "score": (_score(model), "the discriminator's value: minus the energy, up to a constant"),
    }
    more = {}
    for name, (answer, says) in answers.items():
        named = image_signatures(answer, size, channels, says, info)
        more[name or "serving_default"] = named["serving_default"]
        more[f"{name}_bytes" if name else "bytes"] = named["bytes"]
    if model.generator is not None:
        more["sample"] = Signature(
            _sample(model, model.generator.input_shape[-1]),
            {"seed": tf.TensorSpec([None], tf.int32)},
            {"seed": SEEDS},
            description="seeds to generated images of raw pixels, each by its own seed",
        )
    return more


def _classes(model: AFVClassifier) -> Callable:
    def answer(images: Tensor) -> dict[str, Tensor]:
        p = model.probabilities(images)
        return {"probabilities": p, "classes": tf.argmax(p, -1, tf.int32)}

    return answer


def _features(model: AFVClassifier) -> Callable:
    def answer(images: Tensor) -> dict[str, Tensor]:
        return {"fisher_vector": model.serve_features(images)}

    return answer


def _score(model: AFVClassifier) -> Callable:
    return lambda images: {"energy": model.energy(images)}


def _sample(model: AFVClassifier, latent: int) -> Callable:
    def one(seed: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([latent], tf.stack([seed, 0]))

    def answer(seed: Tensor) -> dict[str, Tensor]:
        z = tf.map_fn(one, seed, fn_output_signature=tf.TensorSpec([latent], tf.float32))
        return {"images": model.sample(z)}

    return answer


def set_signatures(model: AFVClassifier) -> dict[str, Signature]:
    """Maps whole sets of images to numbers; unbatched, since a set's rows belong together.

    `serving_default(x, y) -> distance, floor`: the squared Fisher distance of two sets, and its
    expected value for two draws of the model. `similarity(x) -> similarity, distance, floor`: to
    the model itself.
    """
    rng = np.random.default_rng(0)
    size = model.example_shape
    spec = tf.TensorSpec([None, *size], tf.float32)
    x, y = (rng.integers(0, 17, (n, *size)).astype(np.float32) for n in (6, 5))

    def mean(images: Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectorizer, count = model.vectorizer, tf.cast(tf.shape(images)[0], tf.float32)
        total = vectorizer.gradients.sum_in_graph(model.prepare(images))
        return (total / count - vectorizer.mean.value) * vectorizer.set_whitening(), count

    def living() -> tf.Tensor:
        vectorizer = model.vectorizer
        if vectorizer.official:
            return tf.constant(float(vectorizer.size))
        return tf.reduce_sum(tf.cast(vectorizer.alive(), tf.float32))

    def distance(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        (a, n), (b, m) = mean(x), mean(y)
        return {"distance": tf.reduce_sum(tf.square(a - b)) / living(), "floor": 1 / n + 1 / m}

    def similarity(x: Tensor) -> dict[str, Tensor]:
        a, n = mean(x)
        squared = tf.reduce_sum(tf.square(a)) / living()
        floor = 1 / n + 1 / model.vectorizer.count.value
        return {"similarity": tf.exp(-10 * squared), "distance": squared, "floor": floor}

    return {
        "serving_default": Signature(
            distance,
            {"x": spec, "y": spec},
            {"x": x, "y": y},
            batched=False,
            description="two sets of raw images to their squared Fisher distance and its floor",
        ),
        "similarity": Signature(
            similarity,
            {"x": spec},
            {"x": x},
            batched=False,
            description="a set of raw images to its similarity with the model",
        ),
    }


def export_distance(model: AFVClassifier, directory: str | Path) -> Path:
    """Writes the distance between sets as a separate SavedModel, a new version in `directory`."""
    return serving.write(model, set_signatures(model), directory)
