"""The plug-in: any Keras optimizer with gradients augmented by the value function's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from annotated_types import Ge
from keras import ops

from tfzoo.config import NonNegative, Widths
from tfzoo.environment import only_on
from tfzoo.metricopt.buffer import Buffer
from tfzoo.metricopt.model import assign_vector
from tfzoo.metricopt.value import ValueFunction, renew
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

_NO_COST = 1e30


@serializable("metricopt")
class MetricOptimizer(keras.optimizers.Optimizer):
    """Passes g = grad L(phi) + weight * grad f(phi) / |grad f(phi)| to an inner optimizer.

    f is a value function that predicts the metric (lower is better) from the trained variables phi;
    the callback `tfzoo.metricopt.MetricOpt` observes the metric and fits f. Before that, and always
    with `weight=0`, this is just the inner optimizer. The value gradient is normalised: for a
    converged model the loss gradient is about 0, and a weight relative to its norm would disable
    the metric. After each step phi is clipped to the box covered by the value function's
    observations, outside which f is meaningless.

    Source: arXiv:2104.10631, abstract and Fig. 2; the coupling is our reading of it.

    Args:
        optimizer: any Keras optimizer, or its name.
        weight: weight lambda, at least 0.
        hidden: widths of the value function's hidden layers.
        capacity: number of steps in the buffer.
        name: name of the optimizer.

    Attributes:
        value: the `ValueFunction`, once built.
        buffer: the `Buffer`, once built.
        best_phi: [D], with the lowest observed cost.
        best_cost: the lowest observed cost.

    Raises:
        InputError: `weight` or `capacity` is out of range.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer | str = "sgd",
        weight: NonNegative = 0.3,
        hidden: Widths = (64, 64),
        capacity: Annotated[int, Ge(2)] = 4096,
        name: str = "metric_optimizer",
    ):
        super().__init__(learning_rate=0.0, name=name)
        self.inner = self.arguments.optimizer = keras.optimizers.get(optimizer)
        self.weight, self.hidden, self.capacity = float(weight), tuple(hidden), capacity

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the value function, the buffer and the inner optimizer's variables."""
        if self.built:
            return
        self.inner.build(variables)
        self.sizes = [int(np.prod(v.shape)) for v in variables]
        dim = sum(self.sizes)

        def make(shape: tuple, dtype: str, name: str, value: float = 0.0) -> keras.Variable:
            start = keras.initializers.Constant(value)
            return self.add_variable(
                shape, start, dtype, aggregation="only_first_replica", name=name
            )

        self.buffer = Buffer(make, self.capacity, dim)
        self.coupling = make((), "float32", "coupling")
        self.best_phi = make((dim,), "float32", "best_phi")
        self.best_cost = make((), "float32", "best_cost", _NO_COST)
        self.steps = make((), "int32", "steps")
        self.value = ValueFunction(dim, self.hidden)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own variables and those of inner optimizer, value function and its optimizer."""
        if not self.built:
            return [*self._variables, *self.inner.variables]
        value = self.value
        return [
            *self._variables,
            *self.inner.variables,
            *value.variables,
            *value.optimizer.variables,
        ]

    @only_on("tensorflow", "torch", why="which writes to its buffer, as JAX's steps must not")
    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        """Makes one step and records the parameters after it."""
        if not self.built:
            self.build(trainable_variables)
        variables = list(trainable_variables or self._trainable_variables)
        if self.weight > 0:
            grads = self._augmented(grads, variables)
        self.inner.apply(grads, variables)
        if self.weight > 0:
            self._into_box(variables)
        self.buffer.record(_flat(variables))
        self.steps.assign(self.steps + 1)

    def observe(self, cost: float, phi: np.ndarray) -> None:
        """Records the metric at the last recorded step, phi [D]."""
        self.buffer.observe(cost)
        if cost < float(self.best_cost):
            self.best_cost.assign(cost)
            self.best_phi.assign(phi)

    def restore_best(self) -> None:
        """Restores the parameters with the lowest observed cost."""
        if float(self.best_cost) < _NO_COST:
            assign_vector(self._trainable_variables, ops.convert_to_numpy(self.best_phi))

    def start_at(self, phi: np.ndarray, trajectory: int) -> None:
        """Starts a trajectory at phi [D], with the inner optimizer reset."""
        assign_vector(self._trainable_variables, phi)
        renew(self.inner)
        self.buffer.current.assign(trajectory)
        self.buffer.record(ops.convert_to_tensor(phi, "float32"))

    def _augmented(self, grads: Sequence[Tensor], variables: list[keras.Variable]) -> list[Tensor]:
        direction = self.value.gradient(_flat(variables))
        length = ops.sqrt(ops.sum(ops.square(direction)))
        parts = _split(self.coupling * direction / (length + 1e-8), self.sizes, variables)
        return [p if g is None else g + p for g, p in zip(grads, parts, strict=True)]

    def _into_box(self, variables: list[keras.Variable]) -> None:
        lower = _split(self.value.lower, self.sizes, variables)
        upper = _split(self.value.upper, self.sizes, variables)
        for variable, low, high in zip(variables, lower, upper, strict=True):
            variable.assign(ops.clip(variable, low, high))

    @property
    def learning_rate(self) -> Tensor:
        """The inner optimizer's value."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float | keras.optimizers.schedules.LearningRateSchedule) -> None:
        self.inner.learning_rate = value

    @property
    def iterations(self) -> keras.Variable:
        """The inner optimizer's value."""
        return self.inner.iterations


def _flat(variables: Sequence[keras.Variable]) -> Tensor:
    parts = [ops.reshape(ops.cast(v, "float32"), (-1,)) for v in variables]
    return ops.concatenate(parts) if len(parts) > 1 else parts[0]


def _split(
    vector: Tensor, sizes: Sequence[int], variables: Sequence[keras.Variable]
) -> list[Tensor]:
    parts = ops.split(vector, np.cumsum(sizes)[:-1].tolist()) if len(sizes) > 1 else [vector]
    pairs = zip(parts, variables, strict=True)
    return [ops.cast(ops.reshape(part, v.shape), v.dtype) for part, v in pairs]
