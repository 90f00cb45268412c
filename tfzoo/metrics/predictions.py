"""Converts a network's outputs to what metrics take: classes, probabilities or scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax


def class_numbers(y: ArrayLike) -> np.ndarray:
    """Labels as integers [N], from integers or from one-hot rows [N, C]."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    return y.argmax(-1) if y.ndim == 2 else y.astype("int64")


def predicted(y_pred: ArrayLike, threshold: float = 0.5) -> np.ndarray:
    """The predicted class of each row [N]."""
    y_pred = np.asarray(y_pred)
    if y_pred.ndim == 2 and y_pred.shape[1] > 1:
        return y_pred.argmax(-1)
    return (y_pred.reshape(len(y_pred)) > threshold).astype("int64")


def positive_score(y_pred: ArrayLike) -> np.ndarray:
    """For two classes, a score [N] that increases with class 1's.

    Raises:
        ValueError: there are more than two classes.
    """
    y_pred = np.asarray(y_pred, "float64")
    if y_pred.ndim == 1 or y_pred.shape[1] == 1:
        return y_pred.reshape(len(y_pred))
    if y_pred.shape[1] != 2:
        raise ValueError(f"predictions [N, {y_pred.shape[1]}]: must be for two classes")
    return y_pred[:, 1] - y_pred[:, 0]


def probabilities(y_pred: ArrayLike) -> np.ndarray:
    """Probabilities [N, C] from probabilities or logits; one column gives both classes, [N, 2]."""
    y = np.asarray(y_pred, "float64")
    if y.ndim == 1 or y.shape[1] == 1:
        p = y.reshape(len(y))
        p = p if p.min() >= 0 and p.max() <= 1 else expit(p)
        return np.stack([1 - p, p], 1)
    sums = y.sum(1)
    return y if y.min() >= 0 and np.allclose(sums, 1, atol=1e-3) else softmax(y, 1)
