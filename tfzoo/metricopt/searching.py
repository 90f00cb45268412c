"""`MetricOpt(value="trust_region")`: how the observations of a `fit` are spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
from annotated_types import Ge, Lt
from keras import ops

from tfzoo.config import Count, Fraction
from tfzoo.metricopt.head import Head
from tfzoo.metricopt.model import AdaptedModel
from tfzoo.metricopt.optimizer import MetricOptimizer
from tfzoo.metricopt.search import TrustRegion, smoothed_best
from tfzoo.metrics import BlackBoxMetric
from tfzoo.metrics.held_out import HeldOut

PATH, HEAD, ALL = 0, 1, 2
"""Indices of trajectories in the buffer: the loss's own path, and each region's proposals."""
SHIFT_SCALE, SHIFT_SCALE_OF_ALL = 1.0, 0.5
"""Half sides of the box for the shift of the logits: alone, and among all parameters."""
CORRECTIONS = (0.5, 1.0, 1.5, 2.0)
"""Multiples of the head's prior correction that are tried first."""


@dataclass(frozen=True)
class SearchSettings:
    """How the observations are distributed.

    Attributes:
        warm_up: fraction of the steps in which only the loss's path is observed.
        look: the path is observed at every `look`-th observation.
        head_share: maximum fraction of the other observations for changes of the head.
        idle: number of these without improvement after which they end.
        smoothed: whether the final choice uses the process's estimate or the lowest observation.
    """

    warm_up: Annotated[float, Ge(0), Lt(1)] = 0.2
    look: Count = 4
    head_share: Fraction = 0.4
    idle: Count = 8
    smoothed: bool = True


class Observer(Protocol):
    """The parts of a `MetricOpt` that its search uses."""

    model: AdaptedModel
    metric: BlackBoxMetric
    held_out: HeldOut
    observe_every: int
    init_std: float
    seed: int
    history: list[tuple[int, float]]
    _step: int

    @property
    def optimizer(self) -> MetricOptimizer:
        """The model's optimizer."""

    def _observe(self) -> None: ...


class Search:
    """Follows the loss from the identity, then searches around the best observation.

    There is one observation per `observe_every` steps, as in the paper's form; those not used in
    the warm-up follow it. Changes of the head come first, since they need no pass through the
    model. The state is in the optimizer's buffer, so that a `fit` resumes where it stopped.

    Args:
        callback: provides model, metric and settings.
        steps: steps of the whole `fit`.
        settings: how the observations are distributed.
    """

    def __init__(self, callback: Observer, steps: int, settings: SearchSettings):
        self.callback, self.steps, self.settings = callback, steps, settings
        self.head = Head.of(callback.model)
        size = len(callback.model.get_vector())
        free, scale = np.ones(size, bool), np.full(size, callback.init_std)
        if self.head is not None:
            alone = np.zeros(size, bool)
            alone[self.head.where] = True
            self.of_head = TrustRegion(np.full(size, SHIFT_SCALE), alone, callback.seed)
            scale[self.head.where] = SHIFT_SCALE_OF_ALL
        self.scale = scale
        self.of_all = TrustRegion(scale, free, callback.seed)
        self._outputs: tuple[bytes, np.ndarray] = (b"", np.empty(0))
        self._read()

    def _read(self) -> None:
        """The buffer's content."""
        trajectories = self.callback.optimizer.buffer.trajectories()
        rows = [
            (t.phi[i], c, t.number)
            for t in trajectories
            for i, c in zip(t.steps, t.cost, strict=True)
        ]
        self.phi = [phi for phi, _, _ in rows]
        self.cost = [float(cost) for _, cost, _ in rows]
        self.number = [number for _, _, number in rows]

    def begin(self) -> None:
        """Starts from the identity."""
        optimizer = self.callback.optimizer
        optimizer.start_at(np.zeros(sum(optimizer.sizes), "float32"), PATH)
        self.look()

    def look(self) -> None:
        """Observes the current point of the path."""
        self.callback._observe()
        self._note(self.callback.model.get_vector(), PATH)

    def after(self, before: int, step: int) -> None:
        """Does what is due after a step."""
        every, look = self.callback.observe_every, self.settings.look
        time = step // every
        if time == before // every:
            return
        if time // look > before // every // look:
            self.look()
        if step >= self.settings.warm_up * self.steps:
            while len(self.cost) < 1 + time:
                self._propose()

    def end(self) -> None:
        """Chooses the observation, among the best ones, that its neighbours support."""
        if not self.settings.smoothed:
            return
        phi, cost = np.array(self.phi), np.array(self.cost)
        chosen = smoothed_best(phi, cost, self.scale)
        self.callback.optimizer.best_phi.assign(phi[chosen])

    def _propose(self) -> None:
        phi, cost = np.array(self.phi), np.array(self.cost)
        number = np.array(self.number)
        if self._head_is_due(cost, number):
            self._move_head(phi, cost, number == HEAD)
            return
        point = self.of_all.propose(phi, cost, number == ALL).astype("float32")
        value = self.callback.metric(self.callback.held_out.labels, self._predictions(point))
        self._record(point, value, ALL)

    def _head_is_due(self, cost: np.ndarray, number: np.ndarray) -> bool:
        if self.head is None:
            return False
        own, idle = cost[number == HEAD], self.settings.idle
        whole = self.steps / self.callback.observe_every * (1 - 1 / self.settings.look)
        if len(own) >= self.settings.head_share * whole:
            return False
        best = np.minimum.accumulate(np.concatenate([[cost[number != HEAD].min()], own]))
        return len(own) < idle or best[-1] < best[-1 - idle]

    def _move_head(self, phi: np.ndarray, cost: np.ndarray, own: np.ndarray) -> None:
        callback, head = self.callback, self.head
        assert head is not None
        center = phi[int(np.argmin(cost))]
        if self._outputs[0] != center.tobytes():
            self._outputs = center.tobytes(), self._predictions(center)
        outputs, labels = self._outputs[1], callback.held_out.labels
        point, tried = None, int(own.sum())
        if tried < len(CORRECTIONS):
            if tried:  # multiples relative to the first centre, not to later ones
                center = phi[int(np.argmin(np.where(own, np.inf, cost)))]
                outputs = self._predictions(center)
            correction = head.prior_correction(outputs, labels)
            if correction is not None:
                point = center.copy()
                point[head.where] += CORRECTIONS[tried] * correction
        if point is None:
            point = self.of_head.propose(phi, cost, own)
        point = point.astype("float32")
        moved = head.moved(outputs, point[head.where] - center[head.where])
        better = self._record(point, callback.metric(labels, moved), HEAD)
        if better:
            self._outputs = point.tobytes(), moved

    def _predictions(self, phi: np.ndarray) -> np.ndarray:
        model = self.callback.model
        path = model.get_vector()
        model.set_vector(phi)
        outputs = self.callback.held_out.predictions(model)
        model.set_vector(path)
        return outputs

    def _record(self, phi: np.ndarray, value: float, number: int) -> bool:
        callback, buffer = self.callback, self.callback.optimizer.buffer
        callback.history.append((callback._step, value))
        cost = callback.metric.cost(value)
        better = cost < float(callback.optimizer.best_cost)
        buffer.current.assign(number)
        buffer.record(ops.convert_to_tensor(phi, "float32"))
        callback.optimizer.observe(cost, phi)
        buffer.current.assign(PATH)
        self._note(phi, number)
        return better

    def _note(self, phi: np.ndarray, number: int) -> None:
        callback = self.callback
        self.phi.append(phi)
        self.cost.append(callback.metric.cost(callback.history[-1][1]))
        self.number.append(number)
