"""Controls for a learned controller: selection, and a policy that knows the answer."""

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
    """A controller that takes the same actions in every window, as an upper bound.

    Attributes:
        answer: actions 0, 1, 2 of the decisions [n].
    """

    answer: np.ndarray

    @override
    def act(self, states: np.ndarray, window: int = 0) -> tuple[np.ndarray, np.ndarray]:
        actions = np.broadcast_to(self.answer, states.shape[:-1])
        return actions, self.steps(actions)


def knowing(loss: str, problem: Problem) -> np.ndarray:
    """Actions [n] given knowledge of which classes are rare, or that hard pairs matter.

    Class weights: rare classes up, others down. Eq. 6: pairs of rare classes up, pairs of others
        down, which increases the weight of the rare ones' rows. Distance mixture: the large
        distances of positive pairs
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

    Each child starts with its own parameters. Every `every` windows the worst third of the children
    copies weights, optimizer and parameters from the best third, and normal deviates are added to
    the parameters.

    Args:
        loss: the loss whose parameters are changed.
        controller: its `gamma` is used in summing the metric.
        count: number of children P.
        total: number of actions T.
        children: the children whose weights are copied.
        size: standard deviation of the deviates.
        every: windows between selections.
        seed: seed of the deviates.
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
        """Does nothing, as no reward is used here."""

    def _perturbed(self, phi: np.ndarray) -> np.ndarray:
        steps = self.size * self.random.normal(size=self.loss.decisions)
        return ops.convert_to_numpy(self.loss.moved(ops.convert_to_tensor(phi), steps))
