"""Binary codes of sets: straight-through binarisation and statistics of codes."""

from __future__ import annotations

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.errors import InputError
from tfzoo.typing import Tensor


def sign(a: Tensor) -> Tensor:
    """-1 where a < 0, otherwise +1 (also at 0), in a's dtype."""
    return ops.where(a < 0, ops.cast(-1, a.dtype), ops.cast(1, a.dtype))


def straight_through(a: Tensor, hard: Tensor | None = None) -> Tensor:
    """sign(a), exactly -1 or +1, with tanh's gradient.

    Args:
        a: any shape.
        hard: values of -1 and +1 to use instead of sign(a), e.g. a random draw.
    """
    soft = ops.tanh(a)
    hard = sign(a) if hard is None else hard
    # s + (t - t) instead of t + (s - t): the value is exact despite rounding
    return ops.stop_gradient(hard) + (soft - ops.stop_gradient(soft))


def check_codes(codes: ArrayLike, dim: int) -> np.ndarray:
    """Codes [B, dim] as float32.

    Raises:
        InputError: a wrong shape, or a number that is neither -1 nor +1.
    """
    array = np.asarray(codes)
    if array.ndim != 2 or array.shape[1] != dim or len(array) == 0:
        raise InputError(f"codes: shape {list(array.shape)}, must be [B, {dim}] with B at least 1")
    wrong = array[(array != 1) & (array != -1)]
    if wrong.size:
        raise InputError(f"codes: hold {wrong.flat[0]}, must be -1 or +1")
    return array.astype("float32")


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of differing bits, [N, d] and [M, d] -> [N, M]."""
    return (a.shape[1] - a @ b.T) / 2


def code_statistics(codes: np.ndarray) -> dict[str, float]:
    """Unique codes, mean |marginal| of a bit, and the sum of the bits' marginal entropies (bits).

    A collapsed encoder has one code, marginals of 1 and entropies of 0.
    """
    p = np.clip((codes.mean(0, dtype="float64") + 1) / 2, 1e-12, 1 - 1e-12)
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return {
        "unique_codes": float(len(np.unique(codes, axis=0))),
        "bit_marginal": float(np.abs(codes.mean(0)).mean()),
        "marginal_entropy": float(entropy.sum()),
    }
