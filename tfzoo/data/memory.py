"""Memory budgets, and whole data sets in memory without a second copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.data.rows import CHUNK_BYTES
from tfzoo.errors import InputError, first_line

BUFFER_BYTES = 2**30
"""Bytes for the examples in a shuffle buffer."""

_BATCH_BYTES = 2**20  # bytes of a batch while loading: tf.data holds dozens of them
_STRING_BYTES = 2**16  # assumed for a string in a batch, e.g. an encoded image
_ALIGNED = 64  # bytes; TensorFlow aligns its own tensors to it


def buffer_size(most: int, example_bytes: float) -> int:
    """Size of a shuffle buffer: `most`, or as many examples as fit `BUFFER_BYTES`, at least one."""
    return max(1, min(most, int(BUFFER_BYTES // max(1.0, example_bytes))))


def stored_bytes(builder: Any, split_name: str) -> float:
    """Mean stored size of a split's examples in bytes.

    Args:
        builder: a TFDS builder.
        split_name: a split, or a part of one.
    """
    split = builder.info.splits[split_name.split("[")[0].split("+")[0]]
    return (split.num_bytes or 0) / max(1, split.num_examples)


def tensor(array: np.ndarray) -> tf.Tensor:
    """An array as a tensor on the CPU, without a copy if it was created by `empty`."""
    flags = array.flags
    plain = array.dtype.kind in "buif" and flags.c_contiguous and flags.writeable
    if not plain or array.ctypes.data % _ALIGNED:
        with tf.device("CPU"):
            return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that `tensor` converts without a copy."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + size].view(dtype).reshape(shape)


def arrays(examples: tf.data.Dataset, count: int | None = None) -> Any:
    """All examples of a data set, in its structure, as arrays [N, ...].

    Args:
        examples: elements of constant shape, numbers or strings.
        count: their number, if the data set does not know it.

    Raises:
        InputError: the prepared data are corrupt, or there are no examples.
        ValueError: the examples have different shapes, or `count` is not their number.
    """
    known = int(examples.cardinality())
    if known >= 0 and count not in (None, known):
        raise ValueError(f"count={count}: must be {known}, the dataset's")
    count = known if known >= 0 else count
    if count is None:
        with _readable():
            count = int(examples.reduce(np.int64(0), lambda n, _: n + 1))
    whole: list[np.ndarray] = []
    at = 0
    for batch in _batches(examples):
        flat = tf.nest.flatten(batch)
        if not whole:
            whole = [_room(x, count) for x in flat]
        size = len(flat[0])
        if at + size > count:
            raise ValueError(f"count={count}: must be more, the dataset has at least {at + size}")
        for target, x in zip(whole, flat, strict=True):
            if x.shape[1:] != target.shape[1:]:
                raise ValueError(
                    f"examples: must have one shape, or a shuffle_buffer: {list(x.shape[1:])} and "
                    f"{list(target.shape[1:])}"
                )
            target[at : at + size] = x
        at += size
    if not at:
        raise InputError("the train split is empty: must have examples")
    if at != count:
        raise ValueError(f"count={count}: must be {at}, the dataset's")
    return tf.nest.pack_sequence_as(examples.element_spec, whole)


def joined(parts: Iterable[Any]) -> Any:
    """Concatenates arrays, overallocating by at most an eighth while they arrive.

    Args:
        parts: structures of arrays [n, ...] that differ only in n; each can be freed once read.

    Raises:
        ValueError: there are none, or their shapes or dtypes differ.
    """
    whole: list[np.ndarray] = []
    at, part = 0, None
    for part in parts:
        flat = [np.asarray(x) for x in tf.nest.flatten(part)]
        whole = whole or [np.empty((0, *x.shape[1:]), x.dtype) for x in flat]
        end = at + len(flat[0])
        for target, x in zip(whole, flat, strict=True):
            if (x.shape[1:], x.dtype) != (target.shape[1:], target.dtype):
                raise ValueError(
                    "parts: must have equal dtypes and shapes: "
                    f"{target.dtype}{list(target.shape[1:])} and {x.dtype}{list(x.shape[1:])}"
                )
            if end > len(target):
                target.resize((end + end // 8, *target.shape[1:]), refcheck=False)
            target[at:end] = x
        at = end
    if not whole:
        raise ValueError("parts: must be at least one")
    for target in whole:
        target.resize((at, *target.shape[1:]), refcheck=False)
    return tf.nest.pack_sequence_as(part, whole)


def _batches(examples: tf.data.Dataset) -> Iterator[Any]:
    specs = tf.nest.flatten(examples.element_spec)
    width = sum(
        _STRING_BYTES if s.dtype == tf.string else (s.shape.num_elements() or 1) * s.dtype.size
        for s in specs
    )
    options = tf.data.Options()
    options.autotune.ram_budget = CHUNK_BYTES  # of what is read ahead
    batches = examples.batch(max(1, _BATCH_BYTES // max(1, width))).with_options(options)
    with _readable():
        yield from batches.as_numpy_iterator()


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except tf.errors.DataLossError as error:
        raise InputError(f"prepared data are corrupt, delete them: {first_line(error)}") from None
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"examples: must have one shape, or a shuffle_buffer: {first_line(error)}"
        ) from None


def _room(x: np.ndarray, count: int) -> np.ndarray:
    shape = (count, *x.shape[1:])
    return np.empty(shape, object) if x.dtype.hasobject else empty(shape, x.dtype)
