"""Training sets and losses of models that train on all data at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from tfzoo.bottleneck.dynamics import CROSS_ENTROPY, SQUARED, Loss

MOST = 2**17
"""Maximum number of examples from an iterator: a larger kernel takes over 68 GB."""


def training_set(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of a training set, from arrays or from batches.

    Raises:
        ValueError: targets are missing, lengths differ, a value is not finite, targets are not
            rows, or an iterator does not end.
    """
    batches = _batches(x)
    if batches is not None:
        if y is not None:
            raise ValueError("y: must be None if x gives batches")
        pairs = list(_pairs(batches))
        if not pairs:
            raise ValueError("x: must give at least one batch (x, y)")
        x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    if x is None or y is None:
        raise ValueError("x, y: must be given")
    x, y = ops.convert_to_numpy(x), ops.convert_to_numpy(y)
    if len(x) != len(y) or not len(x) or x.ndim < 2:
        raise ValueError(f"x of shape {x.shape}, y of shape {y.shape}: must be [N, ...], N equal")
    for name, value in (("x", x), ("y", y)):
        if value.dtype.kind not in "biuf":
            raise ValueError(f"{name} of dtype {value.dtype}: must be numbers")
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: holds NaN or infinity, must be finite")
    if y.ndim > 2:
        raise ValueError(f"y of shape {y.shape}: must be [N, k], or class indices [N]")
    return x, y


def _batches(x: Any) -> Iterable[Any] | None:
    """The source of batches (x, y), or None if `x` holds arrays."""
    import tensorflow as tf  # only for its datasets

    if isinstance(x, tf.data.Dataset):
        endless = x.cardinality() == tf.data.INFINITE_CARDINALITY
        return (x.take(1) if endless else x).as_numpy_iterator()
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is None:
            raise ValueError("x: a PyDataset must define num_batches")
        return (x[i] for i in range(x.num_batches))
    return x if isinstance(x, Iterator) else None


def _pairs(batches: Iterable[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    count = 0
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("x: must give batches (x, y)")
        inputs, targets = map(ops.convert_to_numpy, batch)
        count += len(inputs)
        if count > MOST:
            raise ValueError(
                f"x: gave more than {MOST:,} examples; must end after one pass over the "
                "training set"
            )
        yield inputs, targets


def step_loss(loss: Callable | str, outputs: int) -> tuple[Loss, bool]:
    """Converts a compiled Keras loss for the simulators, on Keras's scale.

    Returns:
        The loss, and whether its targets are class indices.

    Raises:
        ValueError: the loss is neither squared error nor cross-entropy of logits.
    """
    losses, chosen = keras.losses, keras.losses.get(loss)
    plain = getattr(chosen, "reduction", "mean") in ("sum_over_batch_size", "mean")
    plain = plain and not getattr(chosen, "label_smoothing", 0)
    squared = isinstance(chosen, losses.MeanSquaredError) and plain
    if squared or chosen is losses.mean_squared_error:
        return SQUARED.times(2.0 / outputs), False
    kinds = (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy)
    if isinstance(chosen, kinds) and plain and chosen.from_logits:
        return CROSS_ENTROPY, isinstance(chosen, kinds[1])
    raise ValueError(
        f"loss={loss!r}: must be 'mse', CategoricalCrossentropy(from_logits=True) or "
        "SparseCategoricalCrossentropy(from_logits=True), without label smoothing"
    )


def class_numbers(y: np.ndarray) -> np.ndarray:
    """Targets [N] or [N, 1] of a sparse loss as int64 [N].

    Raises:
        ValueError: they are rows, or not integers.
    """
    if y.size != len(y):
        raise ValueError(
            f"y of shape {y.shape}: must be class indices [N] for a sparse loss; "
            "CategoricalCrossentropy(from_logits=True) takes rows [N, k]"
        )
    y = y.reshape(len(y))
    other = y[y != np.floor(y)]
    if len(other):
        raise ValueError(f"y: {other[0]} is not a class index, must be whole for a sparse loss")
    return y.astype(np.int64)


def one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    """Class indices [N] or [N, 1] as one-hot rows [N, k].

    Raises:
        ValueError: an index is out of range.
    """
    y = class_numbers(y)
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y: class indices from {y.min()} to {y.max()}, must be below {classes}")
    return np.eye(classes, dtype=np.float32)[y]
