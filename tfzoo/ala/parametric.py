"""A loss whose parameters a controller moves."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.config import Positive, check
from tfzoo.typing import Tensor


class ParametricLoss(keras.losses.Loss):
    """l_Phi: a loss with parameters `phi`, which are variables and no constants of the graph.

    A subclass says how a loss follows from given parameters (`value`), what fixed loss a warm-up
    takes (`fixed`), how decisions move them (`moved`), and what of held-out predictions the
    controller is told (`statistics`). All but the last are pure functions, so that several child
    models can have parameters of their own in one graph.

    Args:
        start: Phi_0.
        phi: the present parameters, e.g. of a saved file; None is `start`.
        limit: see the subclass.
        scale: what a decision's step is multiplied by.
        **keywords: of `keras.losses.Loss`.

    Attributes:
        phi: float32 variable, not trainable.
        warm: variable; while it is 1, the loss is `fixed`.
        counting: variable; while it is 1, `call` lets the loss `observe` the labels. The callback
            sets it while `fit` trains, so that labels of an evaluation are not among them.
        decisions: n, how many numbers the controller decides on.
        earlier: what arguments mean that a file lacks, since it is older than they are.

    Raises:
        InputError: a limit or scale that is not positive, or parameters of another shape.
    """

    decisions: int
    earlier: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        start: ArrayLike,
        phi: ArrayLike | None,
        limit: Positive,
        scale: Positive,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.limit, self.scale = float(limit), float(scale)
        self.start = np.asarray(start, "float32")
        given = self.start if phi is None else np.asarray(phi, "float32")
        shape = list(self.start.shape)
        check(given.shape == self.start.shape, "phi", list(given.shape), f"of shape {shape}")
        make = {"trainable": False, "dtype": "float32"}
        self.phi = keras.Variable(given, name="phi", **make)
        self.warm = keras.Variable(0.0, name="warm", **make)
        self.counting = keras.Variable(0.0, name="counting", **make)

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B] for parameters `phi`."""
        raise NotImplementedError

    def fixed(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The fixed loss of each row [B]: by default that of Phi_0."""
        return self.value(ops.convert_to_tensor(self.start), y_true, y_pred)

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """`phi` after the steps `delta` [n] of all decisions, projected."""
        raise NotImplementedError

    def decided(self, phi: np.ndarray) -> np.ndarray:
        """The parameter that each decision is about [n]."""
        return np.asarray(phi).reshape(-1)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Two numbers for each decision [n, 2] of held-out predictions."""
        raise NotImplementedError

    @property
    def state(self) -> list[keras.Variable]:
        """What the loss has learned of the labels, for an exact resume."""
        return []

    def observe(self, y_true: Tensor, weight: Tensor | float = 1.0) -> None:
        """Learns of training labels what the loss depends on; by default nothing."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        if keras.backend.backend() == "tensorflow":  # where a callback can move a loss
            self.observe(y_true, ops.convert_to_tensor(self.counting))
        moving = self.value(ops.convert_to_tensor(self.phi), y_true, y_pred)
        return ops.where(self.warm > 0.5, self.fixed(y_true, y_pred), moving)

    def apply_action(self, delta: Tensor) -> None:
        """Moves `phi` by the steps `delta` [n]."""
        self.phi.assign(self.moved(ops.convert_to_tensor(self.phi), ops.cast(delta, "float32")))

    def get_config(self) -> dict[str, Any]:
        """With the present parameters."""
        return super().get_config() | {"phi": ops.convert_to_numpy(self.phi).tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ParametricLoss:
        """A loss of what `get_config` gave, today or in an earlier version."""
        return super().from_config(cls.earlier | config)
