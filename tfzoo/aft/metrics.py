"""Bits per symbol: what language and image models are compared by."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from tfzoo.registry import serializable
from tfzoo.typing import Tensor


def bits(targets: Tensor, logits: Tensor) -> Tensor:
    """Code length of each symbol, `-log2 softmax(logits)[target]`, float32 of targets' shape.

    Args:
        targets: int [...], 0 to symbols - 1.
        logits: [..., symbols].
    """
    loss = keras.losses.sparse_categorical_crossentropy(
        targets, ops.cast(logits, "float32"), from_logits=True
    )
    return loss / math.log(2.0)


@serializable("aft")
class BitsPerSymbol(keras.metrics.Mean):
    """Mean of `bits`: bits per byte of text, bits per dimension of images.

    Args:
        name: of the metric.
        **keywords: those of every Keras metric.
    """

    def __init__(self, name: str = "bits_per_symbol", **keywords: Any):
        super().__init__(name=name, **keywords)

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Takes targets [...] and logits [..., symbols] in."""
        super().update_state(bits(y_true, y_pred), sample_weight)
