"""scikit-learn's scorers and metric functions, applied to a network's predictions.

Each gets what it requires: classes, probabilities or scores.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.metrics.predictions import class_numbers, positive_score, predicted, probabilities
from tfzoo.registry import serializable

_OF_PROBABILITIES = ("log_loss", "d2_log_loss_score")
"""Functions whose `y_pred` are probabilities; the others take classes."""


@serializable("metrics")
def by_scorer(y_true: ArrayLike, y_pred: ArrayLike, scorer: str, threshold: float = 0.5) -> float:
    """The result of a scikit-learn scorer; higher is better, errors are negated.

    Args:
        y_true: class indices [N], one-hot rows [N, C], or numbers for a regression scorer.
        y_pred: logits or probabilities [N, C], [N, 1] or [N]; or numbers.
        scorer: a name of `sklearn.metrics.get_scorer_names()`.
        threshold: above it class 1 is predicted, for two classes in one column.
    """
    from sklearn.metrics import get_scorer

    estimate = get_scorer(scorer)
    return estimate(*_estimated(getattr(estimate, "_score_func", None), y_true, y_pred, threshold))


@serializable("metrics")
def by_function(
    y_true: ArrayLike, y_pred: ArrayLike, function: str, threshold: float = 0.5, **options: Any
) -> float:
    """The result of a function of `sklearn.metrics`, by name, with its own options."""
    import sklearn.metrics

    call = getattr(sklearn.metrics, function)
    if _of_numbers(call):
        return call(np.ravel(y_true), np.ravel(y_pred), **options)
    labels, scores = class_numbers(y_true), np.asarray(y_pred, "float64")
    if function in _OF_PROBABILITIES:
        return call(labels, probabilities(scores), **options)
    second = list(inspect.signature(call).parameters)[1]
    if second in ("y_proba", "y_prob"):
        p = probabilities(scores)
        return call(labels, p[:, 1] if p.shape[1] == 2 else p, **options)
    if second not in ("y_score", "pred_decision"):  # `y_pred`, or `y2` for agreement metrics
        return call(labels, predicted(scores, threshold), **options)
    two = scores.ndim == 1 or scores.shape[1] <= 2
    return call(labels, positive_score(scores) if two else scores, **options)


def function_name(metric: Any) -> str | None:
    """The name of a function of `sklearn.metrics`; None for anything else."""
    if not inspect.isfunction(metric) or not metric.__module__.startswith("sklearn.metrics"):
        return None
    import sklearn.metrics

    name = metric.__name__
    return name if getattr(sklearn.metrics, name, None) is metric else None


def function_mode(name: str) -> str:
    """`min` or `max`, by scikit-learn's rule for names."""
    return "min" if name.endswith(("_loss", "_error", "_deviance")) else "max"


def scorer_names() -> list[str]:
    """scikit-learn's names of scorers."""
    from sklearn.metrics import get_scorer_names

    return get_scorer_names()


def _of_numbers(function: Callable | None) -> bool:
    return str(getattr(function, "__module__", "")).endswith("_regression")


def _estimated(
    function: Callable | None, y_true: ArrayLike, y_pred: ArrayLike, threshold: float
) -> tuple[Any, np.ndarray, np.ndarray]:
    """A fitted estimator that returns its inputs as predictions, those inputs, and the labels."""
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

    class Number(RegressorMixin, BaseEstimator):
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.ravel(x)

    class Class(ClassifierMixin, BaseEstimator):
        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict(self, x: np.ndarray) -> np.ndarray:
            return predicted(x, threshold)

        def predict_proba(self, x: np.ndarray) -> np.ndarray:
            return probabilities(x)

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            return positive_score(x) if len(self.classes_) == 2 else x

    scores = np.asarray(y_pred, "float64")
    if _of_numbers(function):
        return Number(), scores, np.ravel(y_true)
    estimator = Class()
    estimator.classes_ = np.arange(max(2, scores.shape[1] if scores.ndim > 1 else 2))
    return estimator, scores, class_numbers(y_true)
