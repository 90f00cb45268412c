"""Signatures of AFT's exported models."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.aft.metrics import PADDING, bits
from tfzoo.layers import bad_rows
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

_PROMPT = b"The Python language reference manual describes"


def language_model(model: keras.Model) -> dict[str, Signature]:
    """`serving_default` and `score(tokens)`; `generate(prompt, length, temperature, seed)`."""
    length = min(model.max_length, len(_PROMPT))
    tokens = np.stack([np.roll(np.frombuffer(_PROMPT, np.uint8), i)[:length] for i in range(4)])
    tokens = np.minimum(tokens, model.symbols - 1).astype(np.int32)

    def score(tokens: Tensor) -> dict[str, Tensor]:
        """bits_per_byte covers the tokens after the first, each given its predecessors."""
        there = ops.cumprod(ops.cast(ops.not_equal(tokens, PADDING), "int32"), 1)
        count = ops.sum(there, 1)
        words = "tokens: {} in row {}: must be at least 2, so that there are some after the first"
        short = bad_rows(count < 2, count, words)
        tokens = ops.where(there > 0, tokens, PADDING)
        logits = model(tokens, training=False)
        code = ops.sum(bits(tokens[:, 1:], logits[:, :-1]), 1)
        code = ops.where(short, float("nan"), code)
        return {"logits": logits, "bits_per_byte": code / ops.cast(count - 1, "float32")}

    scoring = Signature(
        score,
        {"tokens": tf.TensorSpec([None, None], tf.int32)},
        {"tokens": tokens},
        description="bytes [B, T], rows padded with -1, to logits of the byte after each, and bits "
        "per byte",
    )
    named = {"serving_default": scoring, "score": scoring}
    if model.variant == "attention":  # the baseline does not decode
        return named
    named["generate"] = Signature(
        lambda prompt, length, temperature, seed: {
            "tokens": model.generate(prompt, length, temperature, seed)
        },
        {
            "prompt": tf.TensorSpec([None, None], tf.int32),
            "length": tf.TensorSpec([None], tf.int32),
            "temperature": tf.TensorSpec([None], tf.float32),
            "seed": tf.TensorSpec([None], tf.int32),
        },
        {
            "prompt": tokens[:, : max(length // 2, 1)],
            "length": np.array([4, 1, 3, 2], np.int32),
            "temperature": np.array([0.0, 0.7, 1.0, 0.0], np.float32),
            "seed": np.arange(4, dtype=np.int32),
        },
        description="continues prompts (padded with -1); the requested tokens, padded with -1",
    )
    return named


def image_model(model: keras.Model) -> dict[str, Signature]:
    """`bits_per_dim(images)` (also `serving_default`) and `sample(seed)`."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, model.symbols, (4, *model.image_shape)).astype(np.int32)

    def score(images: Tensor) -> dict[str, Tensor]:
        code = bits(images, model(images, training=False))
        return {"bits_per_dim": ops.sum(code, (1, 2, 3)) / math.prod(model.image_shape)}

    scoring = Signature(
        score,
        {"images": tf.TensorSpec([None, *model.image_shape], tf.int32)},
        {"images": images},
        description=f"integer images from 0 to {model.symbols - 1} to bits per sub-pixel",
        ranges={"images": (0, model.symbols - 1)},
    )
    named = {"serving_default": scoring, "bits_per_dim": scoring}
    if model.variant != "attention":
        named["sample"] = Signature(
            lambda seed: {"images": model.sample(seed)},
            {"seed": tf.TensorSpec([None], tf.int32)},
            {"seed": np.arange(4, dtype=np.int32)},
            description="one image per seed",
        )
    return named
