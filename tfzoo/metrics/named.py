"""Metrics by name: scikit-learn's, and retrieval metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.config import choices
from tfzoo.metrics.black_box import BlackBoxMetric
from tfzoo.metrics.predictions import class_numbers, positive_score, predicted
from tfzoo.metrics.retrieval import mean_average_precision, recall_at_k
from tfzoo.metrics.scorers import (
    by_function,
    by_scorer,
    function_mode,
    function_name,
    scorer_names,
)
from tfzoo.registry import serializable


def get(
    metric: BlackBoxMetric | Callable | str, mode: str | None = None, **options: Any
) -> BlackBoxMetric:
    """A `BlackBoxMetric` from a name, a function or a `BlackBoxMetric`.

    Labels may be class indices [N] or one-hot [N, C]; predictions are logits or probabilities: [N,
    C], or [N], [N, 1] for two classes, where class 1 is predicted above `threshold`, by default 0.5
    (for logits, pass `threshold=0.0`).

    scikit-learn's scorers and functions get the inputs that they require: classes, probabilities,
    scores or regression outputs. Any other callable gets labels and predictions unchanged.

    Args:
        metric: one of `names()`; a function of `sklearn.metrics`; or any callable, with its `mode`.
        mode: `"min"` or `"max"`; only for a callable; not needed for scikit-learn's.
        **options: the metric's own, e.g. `precision=0.9`, `k=4`.

    Raises:
        InputError: an unknown name, or a callable without `mode`.
        TypeError: `metric` is neither a name nor callable.
    """
    if isinstance(metric, BlackBoxMetric):
        return metric
    if isinstance(metric, str):
        if metric in _NAMED:
            function, better = _NAMED[metric]
            return BlackBoxMetric(function, better, metric, options)
        choices("metric", metric, names())
        return BlackBoxMetric(by_scorer, "max", metric, {"scorer": metric, **options})
    name = function_name(metric)
    if name is not None:
        mode = mode or function_mode(name)
        choices("mode", mode, ("min", "max"))
        return BlackBoxMetric(by_function, mode, name, {"function": name, **options})
    choices("mode", mode, ("min", "max"))
    assert mode is not None  # as it is one of these
    return BlackBoxMetric(metric, mode, options=options)


def names() -> list[str]:
    """The names that `get` accepts: this package's, then scikit-learn's scorers."""
    return [*sorted(_NAMED), *(name for name in scorer_names() if name not in _NAMED)]


@serializable("metrics")
def misclassification_rate(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> float:
    """Fraction of misclassified rows: `sklearn.metrics.zero_one_loss`.

    Reimplemented, since scikit-learn takes fifty times as long and a controller calls it every few
    steps.
    """
    return float(np.mean(class_numbers(y_true) != predicted(y_pred, threshold)))


@serializable("metrics")
def balanced_error(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> float:
    """The mean over classes of their error rates: 1 - `sklearn.metrics.balanced_accuracy_score`.

    Reimplemented for speed, as `misclassification_rate`. Classes without examples do not count.
    """
    labels = class_numbers(y_true)
    counts = np.bincount(labels)
    wrong = np.bincount(labels, predicted(y_pred, threshold) != labels)
    return float(np.mean(wrong[counts > 0] / counts[counts > 0]))


@serializable("metrics")
def f1(
    y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5, average: str = "auto"
) -> float:
    """F1 (`sklearn.metrics.f1_score`) of class 1 for two classes, else the mean over classes."""
    from sklearn.metrics import f1_score

    labels, said = class_numbers(y_true), predicted(y_pred, threshold)
    if average == "auto":
        average = "binary" if max(labels.max(), said.max()) <= 1 else "macro"
    return f1_score(labels, said, average=average, zero_division=0.0)


@serializable("metrics")
def jaccard(
    y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5, average: str = "auto"
) -> float:
    """Jaccard index (`sklearn.metrics.jaccard_score`): as `f1`, of class 1 or over classes."""
    from sklearn.metrics import jaccard_score

    labels, said = class_numbers(y_true), predicted(y_pred, threshold)
    if average == "auto":
        average = "binary" if max(labels.max(), said.max()) <= 1 else "macro"
    return jaccard_score(labels, said, average=average, zero_division=0.0)


@serializable("metrics")
def average_precision(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Area under precision and recall, as `sklearn.metrics.average_precision_score` defines it.

    Of class 1 for two classes, otherwise the mean over classes, each against the rest.
    """
    from sklearn.metrics import average_precision_score

    labels, scores = class_numbers(y_true), np.asarray(y_pred, "float64")
    if scores.ndim == 1 or scores.shape[1] <= 2:
        return average_precision_score(labels, positive_score(scores))
    one_hot = np.eye(scores.shape[1])[labels]
    seen = one_hot.any(0)  # precision is undefined for a class without examples
    return average_precision_score(one_hot[:, seen], scores[:, seen], average="macro")


@serializable("metrics")
def recall_at_precision(y_true: ArrayLike, y_pred: ArrayLike, precision: float = 0.95) -> float:
    """The highest recall of class 1 at which precision is at least `precision`; 0 if there is none.

    Raises:
        ValueError: `precision` is not in (0, 1], or there are no positive labels.
    """
    from sklearn.metrics import precision_recall_curve

    if not 0 < precision <= 1:
        raise ValueError(f"precision={precision}: must be above 0 and up to 1")
    labels = class_numbers(y_true)
    if not (labels == 1).any():
        raise ValueError("labels hold no example of class 1")
    precisions, recalls, _ = precision_recall_curve(labels, positive_score(y_pred))
    return recalls[precisions >= precision].max()  # the curve's last point is precision 1, recall 0


_NAMED = {
    "average_precision": (average_precision, "max"),
    "balanced_error": (balanced_error, "min"),
    "f1": (f1, "max"),
    "jaccard": (jaccard, "max"),
    "mean_average_precision": (mean_average_precision, "max"),
    "misclassification_rate": (misclassification_rate, "min"),
    "recall_at_k": (recall_at_k, "max"),
    "recall_at_precision": (recall_at_precision, "max"),
}
