"""Sums and credits the metric between two actions, and updates the loss."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.ala.controller import HISTORY, LossController, reward, states
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.typing import Tensor

ALONE = 0.9
"""Fraction of Phi's distance from its start that a single child keeps per window."""

SURE = 2.0
"""Maximum credit of a single child, in standard deviations."""


class Alignment:
    """Connects the controller with the P child models that share it.

    With credit by level, children are compared with each other. A single child is compared with its
    own progress instead: its credit is the amount by which the metric is better than a line through
    its last ten values predicts, in standard deviations about that line. That is weak evidence, so
    a single child, whose policy learns or is only applied, is pulled back towards the fixed loss,
    by a tenth of the way per window: Phi moves far where the policy keeps one direction and stays
    near the start where it wavers.

    With `anchor`, the first child keeps the loss's own parameters. The others are credited relative
    to it too, and the best child by the metric is then no worse than the fixed loss on validation.

    The state is in variables, so that a checkpoint of `variables` resumes exactly.

    Args:
        loss: the loss whose parameters are updated; its own `phi` is not changed.
        controller: the controller shared by the children.
        children: number of children P.
        total: number of actions T in the training, for the state's progress.
        learn: whether the controller learns; False only applies its policy.
        anchor: whether the first child of several keeps the loss's parameters.

    Attributes:
        phi: the children's parameters, a variable [P, ...].
        trace: parameters and costs after each action: (phi [P, ...], cost [P]).

    Raises:
        InputError: the controller's memory is smaller than one experience.
    """

    def __init__(
        self,
        loss: ParametricLoss,
        controller: LossController,
        children: int,
        total: int,
        learn: bool = True,
        anchor: bool = False,
    ):
        self.loss, self.controller, self.learn = loss, controller, learn
        self.fixed = int(anchor and children > 1)
        self.children, self.total = children, max(int(total), 1)
        n = loss.decisions
        if learn:
            controller.capacity(n)
        phi = np.broadcast_to(ops.convert_to_numpy(loss.phi), (children, *loss.start.shape))
        self.phi = _held(phi, "phi")
        self.history = _held(np.zeros((children, n, 2, HISTORY)), "history")
        self.state = _held(np.zeros((children, n, 24)), "state")
        self.action = _held(np.zeros((children, n)), "action")
        self.sum = _held(np.zeros(children), "sum")
        self.before = _held(np.zeros(children), "before")
        self.levels = _held(np.zeros((children, HISTORY)), "levels")
        self.windows = _held(0, "windows", "int32")
        self.moves = _held(np.zeros(2), "rises_and_falls")
        self.trace: list[tuple[np.ndarray, np.ndarray]] = []
        self._moved: Callable[[np.ndarray, np.ndarray], Any] = self._move
        if keras.backend.backend() == "tensorflow":  # compiled: many small operations
            import tensorflow as tf

            self._moved = tf.function(self._move, autograph=False)

    @property
    def variables(self) -> list[keras.Variable]:
        """The complete state of the alignment, including the loss's and the controller's."""
        own = [self.phi, self.history, self.state, self.action, self.sum, self.before]
        own += [self.levels, self.windows, self.moves]
        return [*own, *self.loss.state, *self.controller.state]

    def add(self, cost: ArrayLike) -> None:
        """Adds one evaluation within a window, lower is better [P]: M <- gamma M + cost (Eq. 4)."""
        gamma = self.controller.gamma
        self.sum.assign(gamma * ops.convert_to_numpy(self.sum) + np.asarray(cost, "float32"))

    def act(self, statistics: np.ndarray) -> np.ndarray:
        """Ends a window: credits earlier actions, learns, and takes the next action.

        Args:
            statistics: statistics of each child's held-out predictions [P, n, 2].

        Returns:
            The children's new parameters [P, ...].
        """
        now, windows = ops.convert_to_numpy(self.sum), int(self.windows)
        if windows:
            self._credit(now)
        past = ops.convert_to_numpy(self.history)
        history = np.concatenate([past[..., 1:], np.asarray(statistics)[..., None]], -1)
        phi = ops.convert_to_numpy(self.phi)
        decided = np.stack([self.loss.decided(p) for p in phi])
        progress = min(windows / self.total, 1.0)
        state = states(history, windows + 1, decided, progress, self.controller.standardised)
        fixed = np.zeros((self.fixed, self.loss.decisions), "float32")
        action, steps = (
            np.concatenate([fixed, moving])
            for moving in self.controller.act(state[self.fixed :], windows, self.loss.relative)
        )
        if self.children == 1 and self.controller.credit == "level":
            phi = self.loss.start + ALONE * (phi - self.loss.start)
        phi = ops.convert_to_numpy(self._moved(phi.astype("float32"), steps))
        levels = np.concatenate([ops.convert_to_numpy(self.levels)[:, 1:], now[:, None]], 1)
        new = ((self.history, history), (self.state, state), (self.action, action))
        for variable, value in (*new, (self.phi, phi), (self.before, now), (self.levels, levels)):
            variable.assign(value)
        self.sum.assign(np.zeros(self.children))
        self.windows.assign(windows + 1)
        self.trace.append((phi, now))
        return phi

    def _move(self, phi: Tensor, steps: Tensor) -> Tensor:
        """The children's parameters [P, ...] after steps [P, n]."""
        return ops.stack([self.loss.moved(phi[i], steps[i]) for i in range(self.children)])

    def close(self) -> None:
        """Warns of a metric that gave the controller no information."""
        if int(self.windows) > 2 and not ops.convert_to_numpy(self.moves).any():
            warnings.warn(
                f"metric: the same in all {int(self.windows)} windows; nothing can be learnt of a "
                "constant, so the loss's parameters moved at random",
                stacklevel=3,
            )

    def _credit(self, now: np.ndarray) -> None:
        rewards, windows = reward(ops.convert_to_numpy(self.before), now), int(self.windows)
        counts = np.array([(rewards < 0).sum(), (rewards > 0).sum()], "float32")
        self.moves.assign(ops.convert_to_numpy(self.moves) + counts)
        if not self.learn:
            return
        credit = rewards
        if self.controller.credit == "level":
            past = ops.convert_to_numpy(self.levels)[:, -min(windows, HISTORY) :]
            credit = standing(now) if self.children > 1 else surprise(past[0], now)
        state, action, credit = (
            ops.convert_to_numpy(v)[self.fixed :] for v in (self.state, self.action, credit)
        )
        self.controller.remember(state, action, credit, windows - 1)
        self.controller.learn(credit, self.loss.decisions, self.loss.relative)


def standing(now: np.ndarray) -> np.ndarray:
    """Each child's cost [P] relative to all, in standard deviations; above 0 is better [P]."""
    spread = now.std()
    return (now.mean() - now) / spread if spread > 1e-9 else np.zeros_like(now)


def surprise(past: np.ndarray, now: np.ndarray) -> np.ndarray:
    """How much lower a cost [1] is than predicted by a line through the previous ones [k].

    In standard deviations about the line, at most `SURE`; 0 with fewer than four previous costs.
    """
    if len(past) < 4:
        return np.zeros(1, "float32")
    at = np.arange(-len(past), 0.0)
    slope, level = np.polyfit(at, past, 1)
    spread = np.sqrt(np.square(past - slope * at - level).sum() / (len(past) - 2))
    if spread < 1e-9:
        return np.zeros(1, "float32")
    return np.clip((level - now) / spread, -SURE, SURE).astype("float32")


def _held(value: ArrayLike, name: str, dtype: str = "float32") -> keras.Variable:
    return keras.Variable(np.asarray(value, dtype), trainable=False, dtype=dtype, name=name)
