"""Training sets and losses of models that are trained on everything at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from tfzoo.bottleneck.dynamics import CROSS_ENTROPY, SQUARED, Loss


def training_set(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of a training set, from arrays or from a dataset of batches.

    Raises:
        ValueError: targets are missing, lengths differ, or a value is not finite.
    """
    import tensorflow as tf  # for its datasets alone

    if isinstance(x, tf.data.Dataset):
        if y is not None:
            raise ValueError("y: must be None where x is a dataset")
        if x.cardinality() == tf.data.INFINITE_CARDINALITY:
            x = x.take(1)
        batches = list(x.as_numpy_iterator())
        if not batches or not isinstance(batches[0], tuple) or len(batches[0]) != 2:
            raise ValueError("x: a dataset must give batches (x, y)")
        x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    if x is None or y is None:
        raise ValueError("x, y: must be given")
    x, y = ops.convert_to_numpy(x), ops.convert_to_numpy(y)
    if len(x) != len(y) or not len(x) or x.ndim < 2:
        raise ValueError(f"x of shape {x.shape}, y of shape {y.shape}: must be [N, ...], N equal")
    for name, value in (("x", x), ("y", y)):
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: holds NaN or infinity, must be finite")
    return x, y


def step_loss(loss: Callable | str, outputs: int) -> tuple[Loss, bool]:
    """A compiled Keras loss as the simulators take it, in Keras's unit.

    Returns:
        The loss, and whether its targets are class numbers.

    Raises:
        ValueError: the loss is another than squared error or cross-entropy of logits.
    """
    losses, found = keras.losses, keras.losses.get(loss)
    plain = getattr(found, "reduction", "mean") in ("sum_over_batch_size", "mean")
    plain = plain and not getattr(found, "label_smoothing", 0)
    if found is losses.mean_squared_error or (isinstance(found, losses.MeanSquaredError) and plain):
        return SQUARED.times(2.0 / outputs), False
    kinds = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)
    if isinstance(found, kinds) and plain and found.from_logits:
        return CROSS_ENTROPY, isinstance(found, kinds[1])
    raise ValueError(
        f"loss={loss!r}: must be 'mse', CategoricalCrossentropy(from_logits=True) or "
        "SparseCategoricalCrossentropy(from_logits=True), without label smoothing"
    )


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """Class numbers [N] or [N, 1] as rows [N, k].

    Raises:
        ValueError: a number is out of range.
    """
    y = y.reshape(len(y)).astype(np.int64)
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y: class numbers from {y.min()} to {y.max()}, must be below {classes}")
    return np.eye(classes, dtype=np.float32)[y]
