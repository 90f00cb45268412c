"""A metric that is only ever called: never traced, never differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import keras

from tfzoo.config import OneOf
from tfzoo.registry import serializable

MODES = ("min", "max")


class MetricError(ValueError):
    """A metric raised, or gave something that is no finite number."""


@serializable("metrics")
class BlackBoxMetric:
    """A function of labels and predictions, with the side that is better.

    Args:
        function: `(y_true, y_pred) -> float`, given NumPy arrays (or the structure of arrays that
            the model gives); anything callable, e.g. of scikit-learn.
        mode: `"max"` if more is better, `"min"` if less is.
        name: in logs; the function's own name by default.
        options: keywords for every call of `function`.

    Attributes:
        calls: how often it was evaluated.

    Raises:
        TypeError: `function` is not callable.
        InputError: another mode.
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
            MetricError: the function raised, or gave NaN, infinity or no number.
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
                f"metric {self.name!r}: gave {value!r} at call {self.calls}, must be a finite "
                f"number (labels {_form(y_true)}, predictions {_form(y_pred)})"
            )
        return number

    def cost(self, value: float) -> float:
        """A value turned so that less is better: itself, or its negative."""
        return value if self.mode == "min" else -value


def _form(x: Any) -> str:
    return ", ".join(
        f"{a.dtype}{list(a.shape)}" for a in keras.tree.flatten(x) if hasattr(a, "shape")
    )
