"""Controls for a learned controller: selection, and a policy that knows the answer."""

from __future__ import annotations

import numpy as np
from keras import ops
from typing_extensions import override

from tfzoo.ala.alignment import Alignment
from tfzoo.ala.children import Children
from tfzoo.ala.controller import HISTORY, LossController
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.ala.metric_losses import POWERS
from tfzoo.ala.parametric import ParametricLoss


class Oracle(LossController):
    """A controller that knows the answer, as an upper bound.

    Attributes:
        answer: actions 0, 1, 2 of the decisions [n], the same in every window.
        target: instead, the parameters [n] to which the actions lead.
    """

    answer: np.ndarray
    target: np.ndarray | None = None

    @override
    def act(
        self, states: np.ndarray, window: int = 0, relative: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.target is None:
            actions = np.broadcast_to(self.answer, states.shape[:-1])
        else:
            away = self.target - states[..., 2 * HISTORY + 2]
            actions = 1 + np.clip(np.round(away / self.beta), -1, 1).astype(int)
        return actions, self.steps(actions)


def knowing(loss: str, problem: Problem) -> np.ndarray:
    """Actions [n] given knowledge of which classes are rare, or that hard pairs matter.

    Eq. 6: pairs of rare classes up, pairs of others down, which increases the weight of the rare
    ones' rows. Distance mixture: the large distances of positive pairs and the small ones of
    negative pairs. Focal pairs: sharper.
    """
    if loss == "Eq. 6":
        rare = np.isin(np.arange(problem.classes), problem.rare).astype(int)
        rows, columns = np.triu_indices(problem.classes, 1)
        return rare[rows] + rare[columns]
    if loss == "focal pairs":
        return np.array([2, 2])
    powers = np.array(POWERS)
    return np.concatenate([np.where(powers > 1, 2, 0), np.where(powers < 1, 2, 0)])


class Selection(Alignment):
    """Changes the loss's parameters by comparing the children; nothing is learned.

    Args:
        loss: the loss whose parameters are changed.
        controller: its `gamma` is used in summing the metric.
        count: number of children P.
        total: number of actions T.
        children: the children whose weights are copied.
        size: standard deviation of the perturbations.
        every: windows between selections.
        seed: seed of the perturbations.
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
        if windows % self.every == 0:
            phi = self.selected(phi, np.argsort(now, kind="stable") if windows else None)
        for variable, value in ((self.phi, phi), (self.before, now), (self.sum, 0.0 * now)):
            variable.assign(value)
        self.windows.assign(windows + 1)
        self.trace.append((phi, now))
        return phi

    @override
    def close(self) -> None:
        """Does nothing, as no reward is used here."""

    def selected(self, phi: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        """The children's next parameters [P, ...].

        Args:
            phi: the current ones.
            order: the children [P], the best first; None at the start.
        """
        raise NotImplementedError

    def moved(self, phi: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Parameters perturbed in a direction [n]."""
        steps = self.size * direction
        return ops.convert_to_numpy(self.loss.moved(ops.convert_to_tensor(phi), steps))


class Population(Selection):
    """Population-based training (arXiv:1711.09846).

    Each child starts with its own parameters. At a selection the worst third of the children copies
    weights, optimizer and parameters from the best third, whose parameters are perturbed.
    """

    @override
    def selected(self, phi: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        if order is None:
            return np.stack([self.moved(p, self._direction()) for p in phi])
        phi, third = phi.copy(), max(self.children // 3, 1)
        for better, worse in zip(order[:third], order[-third:], strict=True):
            if better != worse:
                self.members.copy(int(better), int(worse))
                phi[worse] = self.moved(phi[better], self._direction())
        return phi

    def _direction(self) -> np.ndarray:
        return self.random.normal(size=self.loss.decisions)


class Evolution(Selection):
    """An evolution strategy, (mu/mu, lambda) with antithetic pairs (arXiv:1604.00772, 2).

    The children's parameters are perturbations of a common mean, which a selection moves to the
    mean of the better half.
    """

    @override
    def selected(self, phi: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        chosen = phi if order is None else phi[order[: max(self.children // 2, 1)]]
        mean = chosen.mean(0)
        away = self.random.normal(size=(self.children // 2, self.loss.decisions))
        rest = np.zeros((self.children % 2, self.loss.decisions))
        directions = np.concatenate([away, -away, rest])
        return np.stack([self.moved(mean, direction) for direction in directions])
