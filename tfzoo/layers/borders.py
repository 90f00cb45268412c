"""What a layer refuses in its inputs: at once where it is known, else when the graph runs.

Sizes that are not known while a layer is called are those of TensorFlow's graphs alone. There a
wrong one is a `tf.errors.InvalidArgumentError` with the words that a `ValueError` has elsewhere.
**XLA leaves assertions out**: under it a wrong size does not compile, in XLA's own words, and rows
with a wrong value are the caller's to mark.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from tfzoo.errors import InputError
from tfzoo.typing import Tensor


def size_within(size: int | Tensor, low: int, high: int, words: str) -> int | Tensor:
    """A size that is from `low` to `high`; nothing that is computed from it runs with another.

    Args:
        size: a number, or a scalar that a TensorFlow graph knows when it runs.
        low: the least.
        high: the greatest.
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
        # for XLA: a slice that begins outside of its tensor does not compile
        beyond = tf.slice(tf.zeros([high - low], tf.bool), [size - low], [-1])
    return high - tf.shape(beyond)[0]


def bad_rows(bad: Tensor, values: Tensor, words: str) -> Tensor:
    """Refuses a batch with bad values, naming the first.

    Args:
        bad: bool [B, ...].
        values: of the same shape.
        words: the message, with `{}` for the value and `{}` for its row.

    Returns:
        Which rows are bad, bool [B]. Only where nothing can be raised are there any: under XLA,
        and in traced calls on JAX.

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

        # one more, for `argmax` takes no empty batch
        flat, which, row = (tf.pad(tf.reshape(x, [-1]), [[0, 1]]) for x in (values, bad, rows))
        one, two, three = words.split("{}")
        told = [one, tf.gather(flat, tf.argmax(which)), two, tf.argmax(row), three]
        tf.debugging.Assert(tf.logical_not(tf.reduce_any(rows)), told)
    return rows


def _known(x: Tensor) -> np.ndarray | None:
    """Its values, or None where they are not known yet."""
    try:
        return ops.convert_to_numpy(x)
    except Exception:  # each backend has its own for tensors without values
        return None
