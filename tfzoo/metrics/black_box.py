"""A metric that is only called, never traced or differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import keras

from tfzoo.config import OneOf
from tfzoo.registry import serializable

MODES = ("min", "max")


class MetricError(ValueError):
    """A metric raised, or returned a non-finite value."""


@serializable("metrics")
class BlackBoxMetric:
    """A function of labels and predictions, and whether higher or lower is better.

    Args:
        function: `(y_true, y_pred) -> float`, called with NumPy arrays (or the model's structure of
            arrays); any callable, e.g. from scikit-learn.
        mode: `"max"` if higher is better, `"min"` if lower is.
        name: its name in logs; default: the function's name.
        options: keyword arguments for every call of `function`.

    Attributes:
        calls: number of evaluations.

    Raises:
        TypeError: `function` is not callable.
        InputError: an unknown mode.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        mode: Annotated[str, OneOf(*MODES)],
        name: str | None = None,
        options: dict[str, Any] | None = None,
    ):
        if not callable(function):
            raise TypeError(f"function={function!r}: must be callable as (y_true, y_pred) -> float")
        self.function, self.mode, self.options = function, mode, dict(options or {})
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.calls = 0

    def __call__(self, y_true: Any, y_pred: Any) -> float:
        """The metric's value.

        Raises:
            MetricError: the function raised, or returned NaN, infinity or something not a number.
        """
        self.calls += 1
        try:
            value = self.function(y_true, y_pred, **self.options)
        except Exception as error:
            raise MetricError(
                f"metric {self.name!r}: raised {type(error).__name__} at call {self.calls}, for "
                f"labels {_form(y_true)} and predictions {_form(y_pred)}: {error}"
            ) from error
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise MetricError(
                f"metric {self.name!r}: returned {value!r} at call {self.calls}, must be a finite "
                f"number (labels {_form(y_true)}, predictions {_form(y_pred)})"
            )
        return number

    def cost(self, value: float) -> float:
        """The value as a cost, where lower is better: itself, or its negative."""
        return value if self.mode == "min" else -value


def _form(x: Any) -> str:
    return ", ".join(
        f"{a.dtype}{list(a.shape)}" for a in keras.tree.flatten(x) if hasattr(a, "shape")
    )
