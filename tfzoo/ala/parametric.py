"""A loss whose parameters a controller moves."""

from __future__ import annotations

from typing import Any

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
        warm: bool variable; while it is true, the loss is `fixed`.
        decisions: n, how many numbers the controller decides on.

    Raises:
        InputError: a limit or scale that is not positive, or parameters of another shape.
    """

    decisions: int

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
        found = self.start if phi is None else np.asarray(phi, "float32")
        shape = list(self.start.shape)
        check(found.shape == self.start.shape, "phi", list(found.shape), f"of shape {shape}")
        make = {"trainable": False, "dtype": "float32"}
        self.phi = keras.Variable(found, name="phi", **make)
        self.warm = keras.Variable(0.0, name="warm", **make)

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

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        moving = self.value(ops.convert_to_tensor(self.phi), y_true, y_pred)
        return ops.where(self.warm > 0.5, self.fixed(y_true, y_pred), moving)

    def apply_action(self, delta: Tensor) -> None:
        """Moves `phi` by the steps `delta` [n]."""
        self.phi.assign(self.moved(ops.convert_to_tensor(self.phi), ops.cast(delta, "float32")))

    def get_config(self) -> dict[str, Any]:
        """With the present parameters."""
        return super().get_config() | {"phi": ops.convert_to_numpy(self.phi).tolist()}
