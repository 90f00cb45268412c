"""Checks of a layer's inputs: immediate if values are known, otherwise when the graph runs.

Only in TensorFlow's graphs can sizes be unknown while a layer is called. There a wrong size raises
a `tf.errors.InvalidArgumentError` with the message that a `ValueError` has elsewhere. **XLA drops
assertions**: under it a wrong size fails to compile, with XLA's message, and callers must mark rows
with a wrong value themselves.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tfzoo.errors import InputError
from tfzoo.typing import Tensor


def size_within(size: int | Tensor, low: int, high: int, words: str) -> int | Tensor:
    """A size checked to be from `low` to `high`; nothing computed from it runs with another one.

    Args:
        size: a number, or a scalar tensor of a TensorFlow graph.
        low: the minimum.
        high: the maximum.
        words: the message, with `{}` for the size.

    Returns:
        The size.

    Raises:
        ValueError: a known size is out of range.
    """
    if isinstance(size, int):
        if not low <= size <= high:
            raise ValueError(words.format(size))
        return size
    import tensorflow as tf

    before, after = words.split("{}")
    told = tf.debugging.Assert((size >= low) & (size <= high), [before, size, after])
    with tf.control_dependencies([told]):
        # for XLA: a slice that begins outside its tensor does not compile
        beyond = tf.slice(tf.zeros([high - low], tf.bool), [size - low], [-1])
    return high - tf.shape(beyond)[0]


def bad_rows(bad: Tensor, values: Tensor, words: str) -> Tensor:
    """Refuses a batch with bad values, naming the first.

    Args:
        bad: bool [B, ...].
        values: same shape as `bad`.
        words: the message, with `{}` for the value and `{}` for its row.

    Returns:
        Which rows are bad, bool [B]: all False, except where nothing can be raised: under XLA, and
            in traced calls on JAX.

    Raises:
        InputError: a known value is bad.
    """
    rows = ops.any(bad, axis=tuple(range(1, len(bad.shape)))) if len(bad.shape) > 1 else bad
    known = _known(bad)
    if known is not None:
        if known.any():
            place = tuple(np.argwhere(known)[0])
            raise InputError(words.format(ops.convert_to_numpy(values)[place], place[0]))
    elif keras.backend.backend() == "tensorflow" and not isinstance(bad, keras.KerasTensor):
        import tensorflow as tf

        # one extra, since `argmax` does not accept an empty batch
        flat, which, row = (tf.pad(tf.reshape(x, [-1]), [[0, 1]]) for x in (values, bad, rows))
        one, two, three = words.split("{}")
        told = [one, tf.gather(flat, tf.argmax(which)), two, tf.argmax(row), three]
        tf.debugging.Assert(tf.logical_not(tf.reduce_any(rows)), told)
    return rows


def _known(x: Tensor) -> np.ndarray | None:
    """The values, or None if they are not known yet."""
    try:
        return ops.convert_to_numpy(x)
    except Exception:  # each backend has its own error for tensors without values
        return None
