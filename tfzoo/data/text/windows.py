"""Windows of byte text for language models."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfzoo.data.memory import joined
from tfzoo.data.pipeline import TrainStream, eval_batches, train_stream
from tfzoo.errors import InputError


def read_bytes(examples: tf.data.Dataset) -> np.ndarray:
    """Joins the ordered `text` segments of a split into one array, uint8 [N]."""
    return joined(np.frombuffer(x["text"], np.uint8) for x in examples.as_numpy_iterator())


def train_windows(
    text: np.ndarray,
    *,
    length: int,
    batch_size: int,
    seed: int,
    steps_per_epoch: int | None = None,
) -> TrainStream:
    """Shuffled contiguous windows (x int32 [B, length], y shifted by one byte).

    Each epoch starts at its own offset below `length`, so that over the epochs a byte is seen at
    all positions.

    Args:
        text: uint8 [N], not copied; windows are slices of it.
        length: bytes predicted per window, which spans `length + 1`.
        batch_size: windows per batch.
        seed: determines order and offsets.
        steps_per_epoch: caps the epoch; None: one pass.

    Raises:
        InputError: the text is shorter than a window plus offset, or has too few windows.
    """
    count = (len(text) - 1) // length - 1
    _check(count >= 1, text, 2 * length + 1, length)
    held = _hold(text)

    def window(index: tf.Tensor, epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        fold = tf.random.experimental.stateless_fold_in(tf.constant([seed, 3]), epoch)
        offset = tf.random.stateless_uniform([], fold, maxval=length, dtype=tf.int64)
        return _pair(held, offset + index * length, length)

    return train_stream(
        window, count=count, batch_size=batch_size, seed=seed, steps_per_epoch=steps_per_epoch
    )


def byte_windows(text: np.ndarray, length: int) -> tf.data.Dataset:
    """Contiguous windows in order: (x int32 [length], y int32 [length] shifted by one byte).

    Every byte is predicted once, except the first one and a remainder shorter than a window.

    Raises:
        InputError: the text is shorter than a window.
    """
    count = (len(text) - 1) // length
    _check(count >= 1, text, length + 1, length)
    held = _hold(text)
    return tf.data.Dataset.range(count).map(
        lambda i: _pair(held, i * length, length), tf.data.AUTOTUNE
    )


def eval_windows(text: np.ndarray, *, length: int, batch_size: int) -> tf.data.Dataset:
    """`byte_windows` in batches."""
    return eval_batches(byte_windows(text, length), batch_size=batch_size)


def _hold(text: np.ndarray) -> tf.Tensor:
    with tf.device("CPU"):  # the slices are taken on the CPU
        return tf.constant(text)


def _pair(text: tf.Tensor, start: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    window = tf.cast(tf.slice(text, [start], [length + 1]), tf.int32)
    window = tf.ensure_shape(window, [length + 1])
    return window[:-1], window[1:]


def _check(enough: bool, text: np.ndarray, needed: int, length: int) -> None:
    if not enough:
        raise InputError(
            f"a split has {len(text)} bytes of text: must be at least {needed} for windows of "
            f"{length}"
        )
