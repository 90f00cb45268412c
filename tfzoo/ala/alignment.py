"""What happens between two actions: the metric is summed, rewarded, and the loss moved."""

from __future__ import annotations

import warnings

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.ala.controller import HISTORY, LossController, reward, states
from tfzoo.ala.parametric import ParametricLoss


class Alignment:
    """The controller's dealings with P child models that share it.

    Its state is in variables, so that a checkpoint of `variables` resumes exactly.

    Args:
        loss: whose parameters are moved; its own `phi` is not touched.
        controller: shared by the children.
        children: P.
        total: T, actions until the training ends, for the state's progress.
        learn: whether the controller learns; False applies a policy as it is.

    Attributes:
        phi: the children's parameters, a variable [P, ...].
        trace: parameters and cost after each action: (phi [P, ...], cost [P]).
    """

    def __init__(
        self,
        loss: ParametricLoss,
        controller: LossController,
        children: int,
        total: int,
        learn: bool = True,
    ):
        self.loss, self.controller, self.learn = loss, controller, learn
        self.children, self.total = children, max(int(total), 1)
        n = loss.decisions
        phi = np.broadcast_to(ops.convert_to_numpy(loss.phi), (children, *loss.start.shape))
        self.phi = _held(phi, "phi")
        self.history = _held(np.zeros((children, n, 2, HISTORY)), "history")
        self.state = _held(np.zeros((children, n, 24)), "state")
        self.action = _held(np.zeros((children, n)), "action")
        self.sum = _held(np.zeros(children), "sum")
        self.before = _held(np.zeros(children), "before")
        self.windows = _held(0, "windows", "int32")
        self.moves = _held(np.zeros(2), "rises_and_falls")
        self.trace: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def variables(self) -> list[keras.Variable]:
        """Everything that the alignment goes on from, the controller's too."""
        own = [self.phi, self.history, self.state, self.action, self.sum, self.before]
        return [*own, self.windows, self.moves, *self.controller.state]

    def add(self, cost: ArrayLike) -> None:
        """One evaluation within a window, less is better [P]: M <- gamma M + cost (Eq. 4)."""
        gamma = self.controller.gamma
        self.sum.assign(gamma * ops.convert_to_numpy(self.sum) + np.asarray(cost, "float32"))

    def act(self, statistics: np.ndarray) -> np.ndarray:
        """Ends a window: rewards the action before, learns, and takes the next one.

        Args:
            statistics: of each child's held-out predictions [P, n, 2].

        Returns:
            The children's new parameters [P, ...].
        """
        now, windows = ops.convert_to_numpy(self.sum), int(self.windows)
        if windows:
            self._reward(now)
        past = ops.convert_to_numpy(self.history)
        history = np.concatenate([past[..., 1:], np.asarray(statistics)[..., None]], -1)
        phi = ops.convert_to_numpy(self.phi)
        decided = np.stack([self.loss.decided(p) for p in phi])
        state = states(history, windows + 1, decided, min(windows / self.total, 1.0))
        action, steps = self.controller.act(state)
        moved = [self.loss.moved(p, d) for p, d in zip(phi, steps, strict=True)]
        phi = np.stack([ops.convert_to_numpy(p) for p in moved])
        new = ((self.history, history), (self.state, state), (self.action, action))
        for variable, value in (*new, (self.phi, phi), (self.before, now)):
            variable.assign(value)
        self.sum.assign(np.zeros(self.children))
        self.windows.assign(windows + 1)
        self.trace.append((phi, now))
        return phi

    def close(self) -> None:
        """Warns of a metric that has told the controller nothing."""
        if int(self.windows) > 2 and not ops.convert_to_numpy(self.moves).any():
            warnings.warn(
                f"metric: the same in all {int(self.windows)} windows; nothing can be learnt of a "
                "constant, the loss's parameters moved at random",
                stacklevel=3,
            )

    def _reward(self, now: np.ndarray) -> None:
        rewards = reward(ops.convert_to_numpy(self.before), now)
        counts = np.array([(rewards < 0).sum(), (rewards > 0).sum()], "float32")
        self.moves.assign(ops.convert_to_numpy(self.moves) + counts)
        if not self.learn:
            return
        state, action = (ops.convert_to_numpy(v) for v in (self.state, self.action))
        self.controller.remember(state, action, rewards)
        self.controller.learn(rewards, self.loss.decisions)


def _held(value: ArrayLike, name: str, dtype: str = "float32") -> keras.Variable:
    return keras.Variable(np.asarray(value, dtype), trainable=False, dtype=dtype, name=name)
