"""Parametric losses for embeddings, based on the paper's description; the details are ours."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt
from keras import ops
from numpy.typing import ArrayLike

from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import NonNegative
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

ROWS = 512
"""Number of held-out rows whose pairs the controller sees."""

POWERS = (1.0, 0.5, 2.0, 3.0, 4.0)
"""h_k(d) = 2 (d / 2)^power: increasing from 0 to 2 over the distances of unit vectors."""


def distances(x: Tensor) -> Tensor:
    """Euclidean distances [B, B] of rows scaled to unit length, with finite gradients at 0."""
    x = ops.cast(x, "float32")
    x = x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), -1, keepdims=True), 1e-12))
    squared = 2.0 - 2.0 * ops.matmul(x, ops.transpose(x))
    return ops.sqrt(ops.maximum(squared, 1e-6))


def _pairs(y_true: Tensor) -> tuple[Tensor, Tensor]:
    """Float masks [B, B] of positive and negative pairs; a row does not pair with itself."""
    y = ops.reshape(ops.cast(y_true, "int32"), (-1,))
    same = ops.cast(y[:, None] == y[None, :], "float32")
    return same * (1.0 - ops.eye(ops.shape(y)[0], dtype=same.dtype)), 1.0 - same


def _held_out(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positive and negative distances of the first rows, never empty."""
    y, x = np.asarray(y_true).reshape(-1)[:ROWS], np.asarray(y_pred)[:ROWS]
    d, upper = ops.convert_to_numpy(distances(x)), np.triu(np.ones((len(y), len(y)), bool), 1)
    same = y[:, None] == y[None, :]
    positive, negative = d[same & upper], d[~same & upper]
    none = np.zeros(1, "float32")
    return (positive if len(positive) else none), (negative if len(negative) else none)


@serializable("ala")
class DistanceMixtureLoss(ParametricLoss):
    """Triplets on mixed distances: max(0, F+(d_ap) - F-(d_an) + m), F(d) = sum_k Phi_k h_k(d).

    The h_k are the fixed increasing functions of `POWERS`; F+ and F- have separate parameters, Phi
    [2, 5], ten decisions. It starts at Phi_0 = 1 for h(d) = d and 0 for the others: the triplet
    loss over all triplets of a batch, averaged over those that violate the margin. Based on
    arXiv:1905.05895's metric-learning losses; the functions, the averaging and the projection are
    ours: after a step entries are clipped to [0, `limit`], that of d to at least 0.1, so that F
    increases; then each side is divided by its sum, so that F(2) = 2 as at the start: Phi
    determines which distances count, not the size of margin and gradient.

    Labels are class numbers [B], predictions embeddings [B, D], which are scaled to unit length
    here.

    Args:
        margin: margin m.
        limit: limit of the entries.
        scale: scale of the steps.
        phi: parameters to continue from.
        **keywords: arguments of `keras.losses.Loss`.

    Raises:
        InputError: a negative margin.
    """

    decisions = 2 * len(POWERS)

    def __init__(
        self,
        margin: NonNegative = 0.2,
        limit: float = 2.0,
        scale: float = 1.0,
        phi: ArrayLike | None = None,
        **keywords: Any,
    ):
        keywords.setdefault("name", "distance_mixture_loss")
        start = np.zeros((2, len(POWERS)), "float32")
        start[:, 0] = 1.0
        super().__init__(start, phi, limit, scale, **keywords)
        self.margin = float(margin)
        self._low = (0.1 * start).astype("float32")

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Each anchor's contribution [B]; their mean is the mean over all active triplets."""
        positive, negative = _pairs(y_true)
        h = _powers(distances(y_pred))
        far, near = (ops.tensordot(h, phi[i], axes=1) for i in range(2))
        gap = far[:, :, None] - near[:, None, :] + self.margin  # anchor, positive, negative
        loss = ops.relu(gap) * positive[:, :, None] * negative[:, None, :]
        rows = ops.sum(loss, (1, 2))
        active = ops.sum(ops.cast(loss > 0, "float32"))
        count = ops.cast(ops.shape(rows)[0], "float32")
        return rows * count / ops.maximum(active, 1.0)

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Applies the ten entries' steps, clips, and normalises each side to sum 1."""
        steps = ops.reshape(ops.cast(delta, "float32"), (2, len(POWERS)))
        new = ops.clip(phi + self.scale * steps, self._low, self.limit)
        return new / ops.sum(new, -1, keepdims=True)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """The mean of h_k over positive and over negative pairs, equal for F+ and F-."""
        means = [
            ops.convert_to_numpy(_powers(ops.convert_to_tensor(d))).mean(0)
            for d in _held_out(y_true, y_pred)
        ]
        one = np.stack(means, -1)
        return np.concatenate([one, one]).astype("float32")


@serializable("ala")
class FocalPairLoss(ParametricLoss):
    """Focal weighting of pairs, with two sharpness parameters S_1 and S_2.

    1/S_1 log(1 + sum_pos exp(S_1 (d - a))) + 1/S_2 log(1 + sum_neg exp(-S_2 (d - a))), summed over
    an anchor's positive and negative pairs. Sharper losses emphasise the hardest pairs; the
    derivatives by all distances of a side sum to at most 1 for any sharpness. Based on
    arXiv:1905.05895; the parametrisation Phi = (log S_1, log S_2) and its start Phi_0 = (log 4, log
    4) are ours.

    Labels are class numbers [B], predictions embeddings [B, D], which are scaled to unit length
    here.

    Args:
        offset: offset a.
        limit: limit of Phi's distance from Phi_0.
        scale: scale of the steps.
        phi: parameters to continue from.
        **keywords: arguments of `keras.losses.Loss`.

    Raises:
        InputError: an offset outside (0, 2).
    """

    decisions = 2

    def __init__(
        self,
        offset: Annotated[float, Gt(0), Lt(2)] = 1.0,
        limit: float = 2.0,
        scale: float = 1.0,
        phi: ArrayLike | None = None,
        **keywords: Any,
    ):
        keywords.setdefault("name", "focal_pair_loss")
        super().__init__(np.log([4.0, 4.0]), phi, limit, scale, **keywords)
        self.offset = float(offset)

    def value(self, phi: Tensor, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The loss of each anchor [B]."""
        gap = distances(y_pred) - self.offset
        total = 0.0
        for k, (mask, sign) in enumerate(zip(_pairs(y_true), (1.0, -1.0), strict=True)):
            sharp = ops.exp(phi[k])
            inside = sign * sharp * gap - 1e9 * (1.0 - mask)
            padded = ops.pad(inside, ((0, 0), (0, 1)))  # the 1 in the logarithm
            total = total + ops.logsumexp(padded, -1) / sharp
        return total

    def moved(self, phi: Tensor, delta: Tensor) -> Tensor:
        """Applies both steps, with clipping."""
        value = phi + self.scale * ops.cast(delta, "float32")
        return ops.clip(value, self.start - self.limit, self.start + self.limit)

    def statistics(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """The mean and the hardest tenth of positive distances, and of negative ones."""
        positive, negative = _held_out(y_true, y_pred)
        rows = [
            (positive.mean(), np.quantile(positive, 0.9)),
            (negative.mean(), np.quantile(negative, 0.1)),
        ]
        return np.asarray(rows, "float32")


def _powers(d: Tensor) -> Tensor:
    """h_k(d) of distances [...] -> [..., 5]."""
    return ops.stack([2.0 * ops.power(d / 2.0, p) for p in POWERS], -1)
