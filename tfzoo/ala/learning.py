"""A controller and P children learn in one pass (arXiv:1905.05895, its Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.children import Children
from tfzoo.config import MISSING, Config, Count, Natural, check, key
from tfzoo.metrics import BlackBoxMetric
from tfzoo.metrics.held_out import HeldOut
from tfzoo.typing import Tensor


@dataclass(frozen=True)
class Schedule(Config):
    """When the controller acts and how often the metric is evaluated."""

    actions: Count = key(MISSING, "T")
    steps_per_action: Count = key(200, "K, of a window")
    evaluations: Count = key(3, "of the metric, after the last steps of a window")
    warmup_steps: Natural = key(0, "of the fixed loss, before the first window")

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.steps_per_action
        check(self.evaluations <= most, "evaluations", self.evaluations, f"at most {most}")

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.warmup_steps + self.actions * self.steps_per_action


class SharedLearning:
    """Children under one controller.

    Args:
        children: the models.
        alignment: made for as many children.
        held_out: what the metric is evaluated on.
        metric: of labels and predictions.
        schedule: see `Schedule`.

    Attributes:
        values: (step, metric [P]) of every evaluation of this process.

    Raises:
        InputError: an alignment of another number of children.
    """

    def __init__(
        self,
        children: Children,
        alignment: Alignment,
        held_out: HeldOut,
        metric: BlackBoxMetric,
        schedule: Schedule,
    ):
        same = alignment.children == children.count
        check(same, "alignment.children", alignment.children, f"{children.count}")
        self.children, self.alignment, self.held_out = children, alignment, held_out
        self.metric, self.schedule = metric, schedule
        self.values: list[tuple[int, np.ndarray]] = []

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that an exact resume needs."""
        return [*self.children.variables, *self.alignment.variables]

    def fit(
        self,
        batches: Iterable[tuple[Tensor, Tensor]],
        step: int = 0,
        after: Callable[[int, np.ndarray], None] | None = None,
    ) -> None:
        """Trains from `step` to the schedule's end.

        Args:
            batches: (x, y) of P * B rows: each child has B of its own.
            step: steps done already.
            after: called after each step with its number and the children's losses.

        Raises:
            MetricError: the metric raises or gives no finite number.
        """
        s, phi = self.schedule, ops.convert_to_numpy(self.alignment.phi)
        for x, y in batches:
            if step >= s.total:
                break
            x, y = (self._parted(a) for a in (x, y))
            losses = self.children.step(x, y, phi, step < s.warmup_steps)
            step += 1
            done = step - s.warmup_steps
            if done > 0 and -done % s.steps_per_action < s.evaluations:
                phi = self._evaluate(step, done % s.steps_per_action == 0, phi)
            if after is not None:
                after(step, losses)
        self.alignment.close()

    def best(self) -> int:
        """The child whose last window had the lowest cost."""
        return int(np.argmin(ops.convert_to_numpy(self.alignment.before)))

    def _parted(self, a: Tensor) -> Tensor:
        a = ops.convert_to_tensor(a)
        return ops.reshape(a, (self.children.count, -1, *a.shape[1:]))

    def _evaluate(self, step: int, acts: bool, phi: np.ndarray) -> np.ndarray:
        labels = np.asarray(self.held_out.labels)
        said = self.children.predict(self.held_out.inputs)
        found = np.array([self.metric(labels, p) for p in said])
        self.values.append((step, found))
        self.alignment.add([self.metric.cost(v) for v in found])
        if not acts:
            return phi
        statistics = self.alignment.loss.statistics
        return self.alignment.act(np.stack([statistics(labels, p) for p in said]))
