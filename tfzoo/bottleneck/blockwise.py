"""Computes kernel matrices block by block, with bounded working memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras import backend, ops

from tfzoo.typing import Tensor

WHICH = ("nngp", "ntk")
DTYPES = ("float32", "float64")
LARGEST_BLOCK = 1024
"""Maximum rows of a block, so that its passes stay in the processor's cache."""
ALIGN = 16
"""Blocks are multiples of this many rows, if memory allows."""


def kernel_matrix(
    kernel: Any,
    x1: Tensor,
    x2: Tensor | None = None,
    which: str = "ntk",
    *,
    memory: int = 2**30,
    dtype: str = "float32",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The kernel matrix of x1 and x2; if `x2` is None, that of x1, of which half is computed.

    Args:
        kernel: an `InfiniteMLP`, or an object with the same `nngp` and `ntk` methods; compiled once
            per block shape if it is hashable.
        x1: [N1, n]; a NumPy array or memory map is read block by block.
        x2: [N2, n].
        which: `nngp` or `ntk`.
        memory: maximum bytes of working memory besides the arguments and the result.
        dtype: float32 or float64, for the computation, and for the result unless `out` is given.
        out: array for the result, [N1, N2], e.g. an `np.memmap`; None: a new array.

    Returns:
        [N1, N2]; `out` if given.

    Raises:
        ValueError: an argument is out of range, has a wrong shape, or is not finite.
    """
    x1, x2 = _checked(kernel, x1, x2, which, memory, dtype)
    second = x1 if x2 is None else x2
    shape = (len(x1), len(second))
    if out is None:
        out = np.empty(shape, dtype)
    elif getattr(out, "shape", None) != shape:
        raise ValueError(f"out of shape {getattr(out, 'shape', None)}: must be {shape}")
    blocks = _Blocks(kernel, x1, x2, which, dtype, memory)
    for rows, columns, block, mirrored in blocks.each():
        block = np.asarray(block)[: rows.stop - rows.start, : columns.stop - columns.start]
        out[rows, columns] = block
        if mirrored:
            out[columns, rows] = block.T
    return out


def kernel_times(
    kernel: Any,
    x1: Tensor,
    x2: Tensor,
    v: Tensor,
    which: str = "ntk",
    *,
    memory: int = 2**30,
    dtype: str = "float32",
) -> np.ndarray:
    """K(x1, x2) v, without ever holding all of K.

    Args:
        kernel: see `kernel_matrix`.
        x1: [N1, n].
        x2: [N2, n]; None: `x1`, of whose kernel half is computed.
        v: [N2] or [N2, k].
        which: `nngp` or `ntk`.
        memory: maximum bytes of working memory besides the arguments and the result.
        dtype: float32 or float64, for the kernel and the result; sums over blocks are float64.

    Returns:
        [N1] or [N1, k].

    Raises:
        ValueError: an argument is out of range, has a wrong shape, or is not finite.
    """
    x1, x2 = _checked(kernel, x1, x2, which, memory, dtype)
    v = _vectors(v, len(x1 if x2 is None else x2))
    flat = v.reshape(len(v), -1)
    blocks = _Blocks(kernel, x1, x2, which, dtype, memory, flat.shape[1])
    return blocks.times(flat).astype(dtype).reshape(len(x1), *v.shape[1:])


class KernelOperator:
    """v -> K(x, x) v for many v: keeps as many blocks of K as fit and recomputes the others.

    Only half of K is computed and kept: N = 60,000 points need 7.2 GB in float32 to keep all of it.

    Args:
        kernel: see `kernel_matrix`.
        x: [N, n]; a NumPy array or memory map is read block by block.
        which: `nngp` or `ntk`.
        memory: maximum bytes besides `x`, the argument and the result, kept blocks included.
        dtype: float32 or float64, for the kernel; sums over blocks are float64.

    Raises:
        ValueError: an argument is out of range, has a wrong shape, or is not finite.
    """

    COLUMNS = 16
    """Columns of v that working memory is reserved for; wider arguments take more."""

    def __init__(
        self,
        kernel: Any,
        x: Tensor,
        which: str = "ntk",
        *,
        memory: int = 2**30,
        dtype: str = "float32",
    ):
        x, _ = _checked(kernel, x, None, which, memory, dtype, "x")
        working = min(memory, block_bytes(LARGEST_BLOCK, x.shape[1], 8, self.COLUMNS))
        self._blocks = _Blocks(
            kernel, x, None, which, dtype, working, self.COLUMNS, keep=memory - working
        )

    def times(self, v: Tensor) -> np.ndarray:
        """K v: [N] or [N, k] -> float64 of the same shape.

        Raises:
            ValueError: `v` has a wrong shape or is not finite.
        """
        v = _vectors(v, len(self._blocks.x1))
        return self._blocks.times(v.reshape(len(v), -1)).reshape(v.shape)


def _vectors(v: Tensor, rows: int) -> np.ndarray:
    v = np.asarray(v)
    if v.ndim not in (1, 2) or len(v) != rows:
        raise ValueError(f"v of shape {v.shape}: must be [{rows}] or [{rows}, k]")
    _check_finite("v", v)
    return v


class _Blocks:
    """The blocks of a kernel matrix in turn, padded to equal shape.

    Args:
        kernel: see `kernel_matrix`.
        x1: checked points.
        x2: checked points; None: `x1`, of whose kernel half is computed.
        which: `nngp` or `ntk`.
        dtype: of the blocks.
        memory: bytes of working memory.
        columns: columns of the vectors that the blocks are multiplied by.
        keep: bytes for blocks to be reused.
    """

    def __init__(
        self,
        kernel: Any,
        x1: np.ndarray,
        x2: np.ndarray | None,
        which: str,
        dtype: str,
        memory: int,
        columns: int = 0,
        keep: int = 0,
    ):
        self.x1, self.x2 = x1, x1 if x2 is None else x2
        self._symmetric = x2 is None
        self._dtype = np.dtype(dtype)
        side = _side(x1.shape[1], self._dtype.itemsize, memory, columns)
        self._rows, self._columns = (_even(len(x), side) for x in (self.x1, self.x2))
        self._compiled = _compiled(kernel, which)
        self._room = keep // (self._rows * self._columns * self._dtype.itemsize)
        self._kept: dict[tuple[int, int], Tensor] = {}

    def each(self) -> Iterator[tuple[slice, slice, Tensor, bool]]:
        """Rows, columns, the block, and whether it also stands transposed on the other side."""
        for i, rows, a in _parts(self.x1, self._rows, self._dtype):
            for j, columns, b in _parts(self.x2, self._columns, self._dtype):
                if self._symmetric and j < i:
                    continue
                block = self._kept.get((i, j))
                if block is None:
                    own = self._symmetric and i == j
                    block = self._compiled.own(a()) if own else self._compiled.block(a(), b())
                    if len(self._kept) < self._room:
                        self._kept[i, j] = block
                yield rows, columns, block, self._symmetric and j > i

    def times(self, v: np.ndarray) -> np.ndarray:
        """K v: [N2, k] -> float64 [N1, k]."""
        total = np.zeros((len(self.x1), v.shape[1]), np.float64)
        for rows, columns, block, mirrored in self.each():
            # on the backend: NumPy's own threads would compete with those that computed the block
            part = _padded(v, columns, self._columns, self._dtype)
            product = np.asarray(ops.matmul(block, part))
            total[rows] += product[: rows.stop - rows.start]
            if mirrored:
                part = _padded(v, rows, self._rows, self._dtype)
                product = np.asarray(ops.matmul(part.T, block)).T
                total[columns] += product[: columns.stop - columns.start]
        return total


def _parts(
    x: np.ndarray, side: int, dtype: np.dtype
) -> Iterator[tuple[int, slice, Callable[[], np.ndarray]]]:
    """Index and place of each part of x, and a function that reads it, padded."""
    for number, start in enumerate(range(0, len(x), side)):
        place = slice(start, min(start + side, len(x)))
        yield number, place, functools.partial(_padded, x, place, side, dtype)


def _padded(x: np.ndarray, place: slice, side: int, dtype: np.dtype) -> np.ndarray:
    part = np.asarray(x[place], dtype)
    missing = side - len(part)
    return np.pad(part, ((0, missing), (0, 0))) if missing else part


def block_bytes(side: int, features: int, itemsize: int, columns: int = 0) -> int:
    """Working memory of a `side` x `side` block: four times its size, three times its points."""
    return itemsize * side * (4 * side + 6 * features + 4 * columns)


def _side(features: int, itemsize: int, memory: int, columns: int) -> int:
    """The largest side of a block that fits."""
    linear = 6 * features + 4 * columns
    side = int((math.sqrt(linear**2 + 16 * memory / itemsize) - linear) / 8)
    if side < 1:
        least = block_bytes(1, features, itemsize, columns)
        raise ValueError(f"memory={memory}: must be at least {least} bytes, enough for one entry")
    side = min(side, LARGEST_BLOCK)
    return side - side % ALIGN or side


def _even(size: int, side: int) -> int:
    """A side of at most `side` with which as many blocks cover `size` with little padding."""
    if size <= side:
        return size
    even = math.ceil(size / math.ceil(size / side))
    return min(side, math.ceil(even / ALIGN) * ALIGN)


class _Compiled:
    """The kernel of two blocks of points, and of one block with itself."""

    def __init__(self, kernel: Any, which: str):
        method = getattr(kernel, which)
        self.block = _compile(lambda x1, x2: method(x1, x2))
        self.own = _compile(lambda x: method(x))


def _compile(function: Callable) -> Callable:
    if backend.backend() == "jax":
        import jax

        return jax.jit(function)
    if backend.backend() == "torch":
        return function
    import tensorflow as tf

    return tf.function(function, jit_compile=True, reduce_retracing=True, autograph=False)


_remembered = functools.lru_cache(maxsize=32)(_Compiled)


def _compiled(kernel: Any, which: str) -> _Compiled:
    try:
        return _remembered(kernel, which)
    except TypeError:  # unhashable
        return _Compiled(kernel, which)


def _checked(
    kernel: Any,
    x1: Tensor,
    x2: Tensor | None,
    which: str,
    memory: int,
    dtype: str,
    name: str = "x1",
) -> tuple[np.ndarray, np.ndarray | None]:
    """x1 and x2 as arrays, with all arguments checked."""
    if which not in WHICH or not hasattr(kernel, which):
        raise ValueError(f"which={which!r}: must be one of {', '.join(WHICH)} that the kernel has")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: must be one of {', '.join(DTYPES)}")
    if backend.standardize_dtype(ops.convert_to_tensor(np.zeros(1, dtype)).dtype) != dtype:
        raise ValueError(f"dtype={dtype!r}: needs jax_enable_x64 on JAX")
    if not memory > 0:
        raise ValueError(f"memory={memory}: must be above 0")
    first = _array(name, x1)
    second = None if x2 is None else _array("x2", x2)
    if second is not None and second.shape[1] != first.shape[1]:
        raise ValueError(
            f"x2 of {second.shape[1]} features: must have as many as x1, {first.shape[1]}"
        )
    return first, second


def _array(name: str, x: Tensor) -> np.ndarray:
    x = x if isinstance(x, np.ndarray) else np.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} of shape {x.shape}: must be [N, n], both at least 1")
    _check_finite(name, x)
    return x


def _check_finite(name: str, x: np.ndarray, rows: int = 1024) -> None:
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name} of dtype {x.dtype}: must be numbers")
    for start in range(0, len(x), rows):  # a mask of the whole would exceed the memory bound
        good = np.isfinite(x[start : start + rows])
        if not good.all():
            row = start + int(np.argwhere(~good)[0][0])
            raise ValueError(f"{name}: row {row} is not finite")
