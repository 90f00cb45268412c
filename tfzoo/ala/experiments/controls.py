"""What a learned controller is held against: selection, and a policy that knows the answer."""

from __future__ import annotations

import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.children import Children
from tfzoo.ala.controller import LossController
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.ala.metric_losses import POWERS
from tfzoo.ala.parametric import ParametricLoss


class Oracle(LossController):
    """A controller that takes the same actions in every window: what a perfect one could reach.

    Attributes:
        answer: actions 0, 1, 2 of the decisions [n].
    """

    answer: np.ndarray

    @override
    def act(self, states: np.ndarray, window: int = 0) -> tuple[np.ndarray, np.ndarray]:
        actions = np.broadcast_to(self.answer, states.shape[:-1])
        return actions, self.steps(actions)


def knowing(loss: str, problem: Problem) -> np.ndarray:
    """Actions [n] of one who knows which classes are rare, or that hard pairs count.

    Class weights: rare classes up, others down. Eq. 6: pairs of rare classes up, pairs of others
    down, which weighs the rare ones' rows. Distance mixture: the large distances of positive pairs
    and the small ones of negative pairs. Focal pairs: sharper.
    """
    if loss == "class weights":
        return np.where(np.isin(np.arange(problem.classes), problem.rare), 2, 0)
    if loss == "Eq. 6":
        rare = np.isin(np.arange(problem.classes), problem.rare).astype(int)
        rows, columns = np.triu_indices(problem.classes, 1)
        return rare[rows] + rare[columns]
    if loss == "focal pairs":
        return np.array([2, 2])
    powers = np.array(POWERS)
    return np.concatenate([np.where(powers > 1, 2, 0), np.where(powers < 1, 2, 0)])


class Population(Alignment):
    """Population-based training (arXiv:1711.09846) of the loss's parameters; nothing is learned.

    Each child begins with parameters of its own. Every so many windows the worst third of the
    children take weights, optimizer and parameters of the best third, the parameters moved by
    normal deviates.

    Args:
        loss: whose parameters are moved.
        controller: its `gamma` sums the metric.
        count: P.
        total: T.
        children: whose weights are copied.
        size: the deviates' standard deviation.
        every: windows.
        seed: of the deviates.
    """

    def __init__(
        self,
        loss: ParametricLoss,
        controller: LossController,
        count: int,
        total: int,
        children: Children,
        size: float,
        every: int,
        seed: int,
    ):
        super().__init__(loss, controller, count, total, learn=False)
        self.members, self.size, self.every = children, size, every
        self.random = np.random.default_rng([seed, 5])

    @override
    def act(self, statistics: np.ndarray) -> np.ndarray:
        now, windows = ops.convert_to_numpy(self.sum), int(self.windows)
        phi = ops.convert_to_numpy(self.phi).copy()
        if windows == 0:
            phi = np.stack([self._perturbed(p) for p in phi])
        elif windows % self.every == 0:
            order, third = np.argsort(now, kind="stable"), max(self.children // 3, 1)
            for better, worse in zip(order[:third], order[-third:], strict=True):
                if better != worse:
                    self.members.copy(int(better), int(worse))
                    phi[worse] = self._perturbed(phi[better])
        for variable, value in ((self.phi, phi), (self.before, now), (self.sum, 0.0 * now)):
            variable.assign(value)
        self.windows.assign(windows + 1)
        self.trace.append((phi, now))
        return phi

    @override
    def close(self) -> None:
        """Warns of nothing: no reward is read here."""

    def _perturbed(self, phi: np.ndarray) -> np.ndarray:
        steps = self.size * self.random.normal(size=self.loss.decisions)
        return ops.convert_to_numpy(self.loss.moved(ops.convert_to_tensor(phi), steps))
