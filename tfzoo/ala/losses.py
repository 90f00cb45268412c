"""Parametric losses for classification."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import keras
import numpy as np
from annotated_types import Ge
from keras import ops
from numpy.typing import ArrayLike
from scipy import special

from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import OneOf, check
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

LINKS = ("sigmoid", "identity")
PER = ("example", "class")
_TINY = 1e-7


class _OfClasses(ParametricLoss):
    """Base of losses on class probabilities.

    Labels are class indices [B] or [B, 1], or one-hot [B, C]; predictions [B, C].
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
        """Labels as one-hot rows [B, C]."""
        if len(y_true.shape) == 2 and y_true.shape[-1] == self.num_classes:
            return ops.cast(y_true, "float32")
        numbers = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        return ops.one_hot(numbers, self.num_classes, dtype="float32")

    def fixed(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Cross-entropy of each row [B]."""
        return -ops.sum(self.one_hot(y_true) * self.log_p(y_pred), -1)

    def matrix(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_ij = -(1/N_i) sum over rows of class i of log f^j (Eq. 7) [C, C]; 0 without rows."""
        labels, said = np.asarray(y_true), np.asarray(y_pred, "float32")
        if labels.ndim < 2 or labels.shape[-1] != self.num_classes:
            labels = np.eye(self.num_classes, dtype="float32")[labels.reshape(-1).astype(int)]
        y = labels.astype("float32")
        # numpy, for callbacks: a dozen small backend operations take far longer
        if self.from_logits:
            log_p = special.log_softmax(said, -1)
        else:
            log_p = np.log(np.clip(said / said.sum(-1, keepdims=True), _TINY, 1.0 - _TINY))
        return -(y.T @ log_p) / np.maximum(y.sum(0), 1.0)[:, None]


@serializable("ala")
class CorrelationLoss(_OfClasses):
    """Class correlations in softmax: l = -sigmoid(y^T Phi log f) (arXiv:1905.05895, Eq. 6).

    Phi is symmetric [C, C] with ones on its diagonal; each pair of classes i < j is one decision,
    which changes Phi_ij and Phi_ji. It starts at Phi_0 = I, where l = -p / (1 + p) and dl/dlog p =
    -p / (1 + p)^2, p the true class's probability: this is **not** cross-entropy: it ignores
    examples that the model finds hard, and in practice requires a warm-up with cross-entropy.

    Args:
        num_classes: number of classes C.
        from_logits: whether predictions are logits.
        link: `sigmoid`, the paper's; or `identity`, -y^T Phi log f (cross-entropy at I), whose
            off-diagonal entries are kept non-negative, since a negative one rewards f_j -> 0
            without bound.
        limit: limit of the off-diagonal entries' magnitude.
        scale: scale of the steps; 1 / (C - 1) makes the steps of a row of Phi as large as those of
            one entry.
        phi: parameters to continue from.
        **keywords: arguments of `keras.losses.Loss`.
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
        place = np.zeros((num_classes, num_classes), "int32")  # index in delta of an entry's step
        place[self.rows, self.columns] = np.arange(self.decisions)
        self._place = np.maximum(place, place.T)
        self._off = (1.0 - np.eye(num_classes)).astype("float32")

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]: in (-1, 0) with the sigmoid."""
        total = ops.sum(ops.matmul(self.one_hot(y_true), phi) * self.log_p(y_pred), -1)
        return -ops.sigmoid(total) if self.link == "sigmoid" else -total

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Applies the pairs' steps, clips off-diagonal entries and keeps ones on the diagonal."""
        steps = ops.take(ops.cast(delta, "float32"), self._place.reshape(-1))
        steps = ops.reshape(steps, (self.num_classes, self.num_classes))
        low = -self.limit if self.link == "sigmoid" else 0.0
        value = ops.clip(phi + self.scale * steps, low, self.limit)
        return value * self._off + (1.0 - self._off)

    def decided(self, phi: np.ndarray) -> np.ndarray:
        """Phi_ij of the pairs."""
        return np.asarray(phi)[self.rows, self.columns]

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_ij and C_ji of the pairs (Eq. 7)."""
        c = self.matrix(y_true, y_pred)
        pairs = np.stack([c[self.rows, self.columns], c[self.columns, self.rows]], -1)
        return pairs.astype("float32")


def effective_number(counts: ArrayLike, beta: float) -> np.ndarray:
    """Phi of class weights from effective numbers of examples (arXiv:1901.05555, Eq. 2).

    Weights are proportional to (1 - beta) / (1 - beta^n).

    Args:
        counts: training examples n of each class [C]; 0 counts as 1.
        beta: from 0 (cross-entropy) to below 1; near 1, inverse frequencies.

    Returns:
        Phi [C], of mean 0.
    """
    phi = np.log((1.0 - beta) / (1.0 - beta ** np.maximum(np.asarray(counts), 1.0)))
    return (phi - phi.mean()).astype("float32")


@serializable("ala")
class ClassWeightLoss(_OfClasses):
    """Cross-entropy with a weight for each class. **Ours, not in the paper.**

    The weight of class c is exp(Phi_c) / sum_k f_k exp(Phi_k), f the class frequencies of the
    training examples: the mean weight of an example is 1 for any Phi. So Phi determines which
    classes count without changing the effective learning rate; weights with mean 1 over *classes*
    (`per="class"`, f_k = 1 / C, as in earlier versions) lower the rate for all examples when rare
    classes are raised. It starts at Phi_0 = 0, which is cross-entropy; each class is one decision.
    Phi's mean is kept at 0, since a common factor has no effect.

    The frequencies are counted while the callback or `Children` train (TensorFlow only), starting
    from `counts`.

    Args:
        num_classes: number of classes C.
        from_logits: whether predictions are logits.
        limit: limit of Phi's magnitude.
        scale: scale of the steps.
        phi: parameters to continue from.
        per: over what the weights' mean is 1: `example` or `class`.
        counts: training examples of each class [C] counted before; None: 1 each.
        **keywords: arguments of `keras.losses.Loss`.

    Raises:
        InputError: counts of another shape, or negative ones.
    """

    relative: ClassVar[bool] = True
    earlier: ClassVar[dict[str, Any]] = {"per": "class"}

    def __init__(
        self,
        num_classes: int,
        from_logits: bool = False,
        limit: float = 3.0,
        scale: float = 1.0,
        phi: ArrayLike | None = None,
        per: Annotated[str, OneOf(*PER)] = "example",
        counts: ArrayLike | None = None,
        **keywords: Any,
    ):
        keywords.setdefault("name", "class_weight_loss")
        keywords |= {"phi": phi, "limit": limit, "scale": scale}
        super().__init__(num_classes, from_logits, np.zeros(num_classes), **keywords)
        self.decisions, self.per = num_classes, per
        given = np.ones(num_classes) if counts is None else np.asarray(counts, "float32")
        fits = given.shape == (num_classes,) and given.min() >= 0 and given.max() > 0
        says = f"{num_classes} numbers of 0 or above, one of them above"
        check(fits, "counts", given.tolist(), says)
        # the mean over replicas, whose batches are of equal size
        make = {"trainable": False, "dtype": "float32", "aggregation": "mean"}
        self.counts = keras.Variable(given, name="counts", **make)

    @property
    def state(self) -> list[keras.Variable]:
        """The class counts [C], which `observe` updates."""
        return [self.counts]

    def observe(self, y_true: Tensor, weight: Tensor | float = 1.0) -> None:
        """Adds the labels to the counts."""
        self.counts.assign_add(weight * ops.sum(self.one_hot(y_true), 0))

    def weights(self, phi: Tensor) -> Tensor:
        """The classes' weights [C]."""
        if self.per == "class":
            shares = ops.full((self.num_classes,), 1.0 / self.num_classes)
        else:
            shares = ops.convert_to_tensor(self.counts) / ops.sum(self.counts)
        rises = ops.expm1(ops.cast(phi, "float32"))
        return (1.0 + rises) / (1.0 + ops.sum(shares * rises))  # exactly 1 at 0

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each row [B]."""
        return -ops.sum(self.one_hot(y_true) * self.weights(phi) * self.log_p(y_pred), -1)

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Applies the classes' steps, centres and clips."""
        new = phi + self.scale * ops.cast(delta, "float32")
        return ops.clip(new - ops.mean(new), -self.limit, self.limit)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """C_cc, and the mean of C_ic over the other classes i (Eq. 7)."""
        c = self.matrix(y_true, y_pred)
        own = np.diagonal(c)
        others = (c.sum(0) - own) / (self.num_classes - 1)
        return np.stack([own, others], -1).astype("float32")

    def get_config(self) -> dict[str, Any]:
        """The config with the current parameters and counts."""
        counts = ops.convert_to_numpy(self.counts).tolist()
        return super().get_config() | {"counts": counts}
