"""Bits per symbol, by which language and image models are compared."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tfzoo.registry import serializable
from tfzoo.typing import Tensor

PADDING = -1
"""Pads rows that are shorter than others."""


def whole(tokens: Tensor) -> Tensor:
    """Converts narrow integers to int32, so that they can be compared with any token."""
    kind = keras.backend.standardize_dtype(tokens.dtype)
    wide = kind in ("int32", "int64") or keras.backend.is_float_dtype(kind)
    return tokens if wide else ops.cast(tokens, "int32")


def bits(targets: Tensor, logits: Tensor) -> Tensor:
    """Code length of each symbol, `-log2 softmax(logits)[target]`, float32 of targets' shape.

    Args:
        targets: int [...], 0 to symbols - 1, or -1 for padding, whose length is 0. For other
            numbers the result is NaN.
        logits: [..., symbols].
    """
    targets = whole(ops.convert_to_tensor(targets))
    symbols = ops.logical_and(targets >= 0, targets < logits.shape[-1])
    loss = keras.losses.sparse_categorical_crossentropy(
        ops.where(symbols, targets, 0), ops.cast(logits, "float32"), from_logits=True
    )
    other = ops.where(ops.equal(targets, PADDING), 0.0, float("nan"))
    return ops.where(symbols, loss / math.log(2.0), ops.cast(other, loss.dtype))


@serializable("aft")
class BitsPerSymbol(keras.metrics.Mean):
    """Mean of `bits` without padding: bits per byte of text, bits per dimension of images.

    Args:
        name: name of the metric.
        **keywords: those of every Keras metric.
    """

    def __init__(self, name: str = "bits_per_symbol", **keywords: Any):
        super().__init__(name=name, **keywords)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Accumulates targets [...] and logits [..., symbols]."""
        y_true = whole(ops.convert_to_tensor(y_true))
        counts = ops.cast(ops.not_equal(y_true, PADDING), "float32")
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            for _ in counts.shape[len(weight.shape) :]:
                weight = ops.expand_dims(weight, -1)
            counts = counts * weight
        super().update_state(bits(y_true, y_pred), counts)
