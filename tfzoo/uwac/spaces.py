"""Normalises observations, and converts actions between the user's units and [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.config import Count
from tfzoo.registry import configurable
from tfzoo.typing import Tensor


@configurable
class Space:
    """Sizes, action limits and normalisation statistics of a task, part of its models' configs.

    Args:
        observation_dim: size D of an observation.
        action_dim: size A of an action.
        action_low: smallest action, one number or A numbers.
        action_high: largest action, likewise.
        observation_mean: subtracted from observations, one number or D numbers.
        observation_std: divisor of the result, likewise.

    Raises:
        ValueError: a size below 1, limits in the wrong order, a non-positive deviation, or a wrong
            number of values.
    """

    arguments: SimpleNamespace  # set by `configurable`

    def __init__(
        self,
        observation_dim: Count,
        action_dim: Count,
        action_low: float | Sequence[float],
        action_high: float | Sequence[float],
        observation_mean: float | Sequence[float],
        observation_std: float | Sequence[float],
    ):
        self.observation_dim, self.action_dim = int(observation_dim), int(action_dim)
        self.action_low = _spread("action_low", action_low, self.action_dim)
        self.action_high = _spread("action_high", action_high, self.action_dim)
        self.observation_mean = _spread("observation_mean", observation_mean, self.observation_dim)
        self.observation_std = _spread("observation_std", observation_std, self.observation_dim)
        if not (self.action_low < self.action_high).all():
            raise ValueError(
                f"action_low={self.action_low.tolist()}: must be below action_high="
                f"{self.action_high.tolist()}"
            )
        if not (self.observation_std > 0).all():
            raise ValueError(
                f"observation_std={self.observation_std.tolist()}: must be above 0 throughout"
            )

    def observation(self, x: Tensor) -> Tensor:
        """Normalised observations [..., D]."""
        x = ops.cast(x, keras.config.floatx())
        if not self.observation_mean.any() and (self.observation_std == 1).all():
            return x
        return (x - self.observation_mean) / self.observation_std

    def inner(self, action: Tensor) -> Tensor:
        """Converts actions [..., A] from the user's units to [-1, 1]."""
        low, high = self.action_low, self.action_high
        if (low == -1).all() and (high == 1).all():
            return action
        return (action - low) * (2.0 / (high - low)) - 1.0

    def outer(self, action: Tensor) -> Tensor:
        """Converts actions [..., A] from [-1, 1] to the user's units."""
        low, high = self.action_low, self.action_high
        if (low == -1).all() and (high == 1).all():
            return action
        low, half = (ops.convert_to_tensor(v, action.dtype) for v in (low, (high - low) / 2.0))
        return low + (action + 1.0) * half


def _spread(name: str, value: ArrayLike, size: int) -> np.ndarray:
    array = np.asarray(value, "float32")
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ValueError(f"{name}={value!r}: must be a number or {size} numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}={value!r}: must be finite")
    return np.broadcast_to(array, (size,)).copy()
