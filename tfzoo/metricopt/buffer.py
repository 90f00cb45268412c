"""Recent adapter parameters and observed metrics, stored in variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfzoo.typing import Tensor


@dataclass(frozen=True)
class Trajectory:
    """One run of fine-tuning steps.

    Attributes:
        number: index of the trajectory.
        phi: adapter parameters after each step [T, D].
        steps: positions of the observations in it [m].
        cost: the metric there, lower is better [m].
    """

    number: int
    phi: np.ndarray
    steps: np.ndarray
    cost: np.ndarray


class Buffer:
    """A ring buffer of `capacity` steps, which overwrites the oldest when full.

    It consists of variables, so that checkpoints and saved files include it, and is written by the
    compiled step.

    Args:
        make: `(shape, dtype, name) -> variable`, initialised with zeros.
        capacity: number of steps.
        dim: number of parameters D.
    """

    def __init__(self, make: Callable[..., keras.Variable], capacity: int, dim: int):
        self.capacity = capacity
        self.phi = make((capacity, dim), "float32", "buffer_phi")
        self.cost = make((capacity,), "float32", "buffer_cost")
        self.observed = make((capacity,), "int32", "buffer_observed")
        self.number = make((capacity,), "int32", "buffer_trajectory")
        self.written = make((), "int32", "buffer_written")
        self.current = make((), "int32", "buffer_current")

    def record(self, phi: Tensor) -> None:
        """Records the parameters after a step [D]; also works in a graph."""
        row = self.written % self.capacity
        _write(self.phi, row, phi)
        _write(self.observed, row, ops.zeros((), "int32"))
        _write(self.number, row, ops.convert_to_tensor(self.current))
        self.written.assign(self.written + 1)

    def observe(self, cost: float) -> None:
        """Records the metric at the last recorded step."""
        row = (int(self.written) - 1) % self.capacity
        _write(self.cost, row, ops.convert_to_tensor(cost, "float32"))
        _write(self.observed, row, ops.ones((), "int32"))

    def trajectories(self) -> list[Trajectory]:
        """The trajectories in the buffer, oldest first; those without observations are left out."""
        count = int(self.written)
        rows = np.arange(max(0, count - self.capacity), count) % self.capacity
        columns = (self.phi, self.cost, self.observed, self.number)
        phi, cost, observed, number = (ops.convert_to_numpy(c)[rows] for c in columns)
        parts = []
        for n in dict.fromkeys(number.tolist()):
            mine = number == n
            steps = np.flatnonzero(observed[mine])
            if len(steps):
                parts.append(Trajectory(n, phi[mine], steps, cost[mine][steps]))
        return parts


def _write(variable: keras.Variable, row: int | Tensor, value: Tensor) -> None:
    """One row of a variable."""
    if keras.backend.backend() == "tensorflow":  # in place: slice_update would copy the buffer
        import tensorflow as tf

        index = tf.reshape(tf.cast(row, tf.int32), (1, 1))
        variable.value.scatter_nd_update(index, tf.cast(value, variable.dtype)[None])
        return
    start = [ops.cast(row, "int32"), *[0] * (len(variable.shape) - 1)]
    update = ops.cast(value, variable.dtype)[None]
    variable.assign(ops.slice_update(variable, start, update))
