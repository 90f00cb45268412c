"""A loss whose parameters are changed by a controller."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.config import Positive, check
from tfzoo.typing import Tensor


class ParametricLoss(keras.losses.Loss):
    """l_Phi: a loss with parameters `phi`, which are variables, not constants of the graph.

    A subclass defines the loss for given parameters (`value`), the fixed loss of a warm-up
    (`fixed`), how decisions change the parameters (`moved`), and the statistics of held-out
    predictions for the controller (`statistics`). All but the last are pure functions, so that
    several child models can have their own parameters in one graph.

    Args:
        start: initial parameters Phi_0.
        phi: the current parameters, e.g. of a saved file; None: `start`.
        limit: see the subclass.
        scale: factor of a decision's step.
        **keywords: arguments of `keras.losses.Loss`.

    Attributes:
        phi: non-trainable float32 variable.
        warm: variable; while it is 1, the loss is `fixed`.
        counting: variable; while it is 1, `call` lets the loss `observe` the labels. The callback
            sets it while `fit` trains, so that labels of an evaluation are not among them.
        decisions: number n of decisions of the controller.
        relative: whether only differences of decisions matter, a common step changing nothing.
        earlier: values of arguments missing from files that are older than the arguments.

    Raises:
        InputError: a limit or scale that is not positive, or parameters of another shape.
    """

    decisions: int
    relative: ClassVar[bool] = False
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
        """`phi` after the steps `delta` [n] of all decisions, with projection."""
        raise NotImplementedError

    def decided(self, phi: np.ndarray) -> np.ndarray:
        """The parameter of each decision [n]."""
        return np.asarray(phi).reshape(-1)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Two statistics of held-out predictions for each decision [n, 2]."""
        raise NotImplementedError

    @property
    def state(self) -> list[keras.Variable]:
        """The loss's state about the labels, for an exact resume."""
        return []

    def observe(self, y_true: Tensor, weight: Tensor | float = 1.0) -> None:
        """Observes training labels that the loss depends on; does nothing by default."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        if keras.backend.backend() == "tensorflow":  # where a callback can change a loss
            self.observe(y_true, ops.convert_to_tensor(self.counting))
        moving = self.value(ops.convert_to_tensor(self.phi), y_true, y_pred)
        return ops.where(self.warm > 0.5, self.fixed(y_true, y_pred), moving)

    def apply_action(self, delta: Tensor) -> None:
        """Applies the steps `delta` [n] to `phi`."""
        self.phi.assign(self.moved(ops.convert_to_tensor(self.phi), ops.cast(delta, "float32")))

    def get_config(self) -> dict[str, Any]:
        """The config with the current parameters."""
        return super().get_config() | {"phi": ops.convert_to_numpy(self.phi).tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ParametricLoss:
        """A loss from a config of this or an earlier version."""
        return super().from_config(cls.earlier | config)
