"""A controller and P children that learn in one pass (arXiv:1905.05895, Algorithm 1)."""

from __future__ import annotations

import itertools
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

    actions: Count = key(MISSING, "number of actions T")
    steps_per_action: Count = key(200, "steps K of a window")
    evaluations: Count = key(1, "evaluations of the metric, after the last steps of a window")
    warmup_steps: Natural = key(0, "steps with the fixed loss before the first window")

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.steps_per_action
        check(self.evaluations <= most, "evaluations", self.evaluations, f"at most {most}")

    @property
    def total(self) -> int:
        """Total steps of the training."""
        return self.warmup_steps + self.actions * self.steps_per_action

    def next_end(self, step: int) -> int:
        """The first step after `step` that ends the warm-up or has an evaluation."""
        if step < self.warmup_steps:
            return self.warmup_steps
        within = (step - self.warmup_steps) % self.steps_per_action
        return step + max(self.steps_per_action - self.evaluations + 1 - within, 1)


class SharedLearning:
    """Children trained under one controller.

    Args:
        children: the models.
        alignment: an alignment for as many children.
        held_out: data on which the metric is evaluated.
        metric: the metric, a function of labels and predictions.
        schedule: see `Schedule`.

    Attributes:
        values: (step, metric [P]) of every evaluation in this process.

    Raises:
        InputError: an alignment for another number of children.
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
        """The complete state for an exact resume."""
        return [*self.children.variables, *self.alignment.variables]

    def fit(
        self,
        batches: Iterable[tuple[Tensor, Tensor]],
        step: int = 0,
        after: Callable[[int, np.ndarray], None] | None = None,
        together: Count = 1,
    ) -> None:
        """Trains from `step` to the schedule's end.

        Args:
            batches: (x, y) of P * B rows, B for each child.
            step: number of steps already done.
            after: called after each call with the number of its last step and the children's
                losses.
            together: maximum steps per call; a call ends where the metric is evaluated.

        Raises:
            MetricError: the metric raises or returns a non-finite value.
        """
        s, phi = self.schedule, ops.convert_to_numpy(self.alignment.phi)
        batches = iter(batches)
        while step < s.total:
            stop = min(step + together, s.next_end(step))
            given = list(itertools.islice(batches, stop - step))
            if len(given) < stop - step:
                break
            warm = step < s.warmup_steps
            if together == 1:
                x, y = (self._parted(a) for a in given[0])
                losses = self.children.step(x, y, phi, warm)
            else:
                stacked = (np.stack(parts) for parts in zip(*given, strict=True))
                x, y = (self._parted(a, len(given)) for a in stacked)
                losses = self.children.steps(x, y, phi, warm)
            step, done = stop, stop - s.warmup_steps
            if done > 0 and -done % s.steps_per_action < s.evaluations:
                phi = self._evaluate(step, done % s.steps_per_action == 0, phi)
            if after is not None:
                after(step, losses)
        self.alignment.close()

    def best(self) -> int:
        """The child whose last window had the lowest cost."""
        return int(np.argmin(ops.convert_to_numpy(self.alignment.before)))

    def _parted(self, a: Tensor, *steps: int) -> Tensor:
        """[..., P * B, ...] -> [..., P, B, ...]"""
        return ops.reshape(a, (*steps, self.children.count, -1, *a.shape[len(steps) + 1 :]))

    def _evaluate(self, step: int, acts: bool, phi: np.ndarray) -> np.ndarray:
        labels = np.asarray(self.held_out.labels)
        said = self.children.predict(self.held_out.inputs)
        values = np.array([self.metric(labels, p) for p in said])
        self.values.append((step, values))
        self.alignment.add([self.metric.cost(v) for v in values])
        if not acts:
            return phi
        statistics = self.alignment.loss.statistics
        return self.alignment.act(np.stack([statistics(labels, p) for p in said]))
