"""Parametric losses for classification."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import OneOf
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

LINKS = ("sigmoid", "identity")
_TINY = 1e-7


class _OfClasses(ParametricLoss):
    """What losses on class probabilities share.

    Labels are class numbers [B] or [B, 1], or one-hot [B, C]; predictions [B, C].
    """

    def __init__(
        self,
        num_classes: Annotated[int, Ge(2)],
        from_logits: bool,
        start: ArrayLike,
        **keywords: Any,
    ):
        super().__init__(start, **keywords)
        self.num_classes, self.from_logits = num_classes, bool(from_logits)

    def log_p(self, y_pred: Tensor) -> Tensor:
        """log f [B, C]; probabilities are clipped to 1e-7 as Keras does, log-softmax is not."""
        y_pred = ops.cast(y_pred, "float32")
        if self.from_logits:
            return ops.log_softmax(y_pred, -1)
        p = y_pred / ops.sum(y_pred, -1, keepdims=True)
        return ops.log(ops.clip(p, _TINY, 1.0 - _TINY))

    def one_hot(self, y_true: Tensor) -> Tensor:
        """Labels as rows [B, C]."""
        if len(y_true.shape) == 2 and y_true.shape[-1] == self.num_classes:
            return ops.cast(y_true, "float32")
        numbers = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        return ops.one_hot(numbers, self.num_classes, dtype="float32")

    def fixed(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Cross-entropy of each row [B]."""
        return -ops.sum(self.one_hot(y_true) * self.log_p(y_pred), -1)

    def matrix(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_ij = -(1/N_i) sum over rows of class i of log f^j (Eq. 7) [C, C]; 0 without rows."""
        y = ops.convert_to_numpy(self.one_hot(np.asarray(y_true)))
        log_p = ops.convert_to_numpy(self.log_p(np.asarray(y_pred)))
        return -(y.T @ log_p) / np.maximum(y.sum(0), 1.0)[:, None]


@serializable("ala")
class CorrelationLoss(_OfClasses):
    """Class correlations in softmax: l = -sigmoid(y^T Phi log f) (arXiv:1905.05895, Eq. 6).

    Phi is symmetric [C, C] with ones on its diagonal; each pair of classes i < j is one decision,
    which moves Phi_ij and Phi_ji. It starts at Phi_0 = I, where l = -p / (1 + p) and
    dl/dlog p = -p / (1 + p)^2, p the true class's probability: this is **not** cross-entropy, it
    ignores examples that the model finds hard, and in practice needs a warm-up by cross-entropy.

    Args:
        num_classes: C.
        from_logits: whether predictions are logits.
        link: `sigmoid`, the paper's; or `identity`, -y^T Phi log f (cross-entropy at I), whose
            off-diagonal entries are kept at 0 or above, since a negative one rewards f_j -> 0
            without bound.
        limit: of the off-diagonal entries' size.
        scale: of the steps; 1 / (C - 1) gives a row of Phi steps like those of one entry.
        phi: parameters to go on from.
        **keywords: of `keras.losses.Loss`.
    """

    def __init__(
        self,
        num_classes: int,
        from_logits: bool = False,
        link: Annotated[str, OneOf(*LINKS)] = "sigmoid",
        limit: float = 1.0,
        scale: float = 1.0,
        phi: ArrayLike | None = None,
        **keywords: Any,
    ):
        keywords.setdefault("name", "correlation_loss")
        keywords |= {"phi": phi, "limit": limit, "scale": scale}
        super().__init__(num_classes, from_logits, np.eye(num_classes), **keywords)
        self.link = link
        self.rows, self.columns = np.triu_indices(num_classes, 1)
        self.decisions = len(self.rows)
        place = np.zeros((num_classes, num_classes), "int32")  # where in delta an entry's step is
        place[self.rows, self.columns] = np.arange(self.decisions)
        self._place = np.maximum(place, place.T)
        self._off = (1.0 - np.eye(num_classes)).astype("float32")

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]: in (-1, 0) with the sigmoid."""
        total = ops.sum(ops.matmul(self.one_hot(y_true), phi) * self.log_p(y_pred), -1)
        return -ops.sigmoid(total) if self.link == "sigmoid" else -total

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Steps of the pairs, off-diagonal entries clipped, ones on the diagonal."""
        steps = ops.take(ops.cast(delta, "float32"), self._place.reshape(-1))
        steps = ops.reshape(steps, (self.num_classes, self.num_classes))
        low = -self.limit if self.link == "sigmoid" else 0.0
        found = ops.clip(phi + self.scale * steps, low, self.limit)
        return found * self._off + (1.0 - self._off)

    def decided(self, phi: np.ndarray) -> np.ndarray:
        """Phi_ij of the pairs."""
        return np.asarray(phi)[self.rows, self.columns]

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_ij and C_ji of the pairs (Eq. 7)."""
        c = self.matrix(y_true, y_pred)
        pairs = np.stack([c[self.rows, self.columns], c[self.columns, self.rows]], -1)
        return pairs.astype("float32")


@serializable("ala")
class ClassWeightLoss(_OfClasses):
    """Cross-entropy with a weight C softmax(Phi)_c for each class c. **Ours, not in the paper.**

    It starts at Phi_0 = 0, which is cross-entropy; each class is one decision. The weights' mean is
    1 and Phi's 0: what all classes share is a learning rate, and a policy that raises all of them,
    or a few by exp(3), would otherwise make it too large to train with.

    Args:
        num_classes: C.
        from_logits: whether predictions are logits.
        limit: of Phi's size.
        scale: of the steps.
        phi: parameters to go on from.
        **keywords: of `keras.losses.Loss`.
    """

    def __init__(
        self,
        num_classes: int,
        from_logits: bool = False,
        limit: float = 3.0,
        scale: float = 1.0,
        phi: ArrayLike | None = None,
        **keywords: Any,
    ):
        keywords.setdefault("name", "class_weight_loss")
        keywords |= {"phi": phi, "limit": limit, "scale": scale}
        super().__init__(num_classes, from_logits, np.zeros(num_classes), **keywords)
        self.decisions = num_classes

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        weights = ops.exp(phi)
        weights = weights / ops.mean(weights)
        return -ops.sum(self.one_hot(y_true) * weights * self.log_p(y_pred), -1)

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Steps of the classes, brought to mean zero, clipped."""
        found = phi + self.scale * ops.cast(delta, "float32")
        return ops.clip(found - ops.mean(found), -self.limit, self.limit)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_cc, and the mean of C_ic over the other classes i (Eq. 7)."""
        c = self.matrix(y_true, y_pred)
        own = np.diagonal(c)
        others = (c.sum(0) - own) / (self.num_classes - 1)
        return np.stack([own, others], -1).astype("float32")
