"""The search for an ensemble's shape, members and width, without training.

The variance of a network's neural tangent kernel over initialisations measures its distance from
the trainable infinite limit (arXiv:2006.07678, proposition 1; Hanin and Nica, 1909.05989):

    V(m, n) = (exp(a / n) - 1) / m,    a = alpha * hidden layers,

and m members of width n cost m c(n) parameters. The best width depends on neither the budget nor
the variance limit: it solves n c'(n) / c(n) = x / (1 - exp(-x)), x = a / n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

ALPHA = 3.0
"""Default of alpha: both published optima (37x10d, 12x10d) follow from it, and a bias-free ReLU
layer's exact value at large width is 3. The authors' value is unknown to us."""
WIDTHS = range(2, 129)

Cost = Callable[[int, int], float]


@dataclass(frozen=True)
class Shape:
    """An ensemble's shape.

    Attributes:
        members: number of members m.
        width: width n of each member.
        parameters: `cost(m, n)`.
        variance: V(m, n), squared coefficient of variation of the NTK's diagonal.
    """

    members: int
    width: int
    parameters: int
    variance: float

    def __str__(self) -> str:
        return f"{self.members}x{self.width}d"


class Polynomial:
    """A cost m (c_1 n + c_2 n^2 + ...) + fixed, for which the best width has a closed form.

    Args:
        coefficients: c_1, c_2, ... of a member's parameter count, by power of the width n.
        fixed: parameters that do not depend on the shape (stem, classifier).

    Raises:
        ValueError: a coefficient is negative, or all are 0.
    """

    def __init__(self, coefficients: Sequence[float], fixed: float = 0.0):
        self.coefficients, self.fixed = tuple(map(float, coefficients)), float(fixed)
        if not any(self.coefficients) or min(self.coefficients) < 0:
            raise ValueError(f"coefficients={list(coefficients)}: must be at least 0, not all 0")

    def __call__(self, members: int, width: int) -> float:
        """Parameters of m members of width n."""
        return self.fixed + members * self.member(width)

    def member(self, width: float) -> float:
        """c(n) for any real n."""
        return sum(c * width**k for k, c in enumerate(self.coefficients, 1))

    def degree_at(self, width: float) -> float:
        """n c'(n) / c(n), between the lowest and the highest power."""
        parts = [c * width**k for k, c in enumerate(self.coefficients, 1)]
        return sum(k * p for k, p in enumerate(parts, 1)) / sum(parts)


def dense_cost(inputs: int, depth: int, outputs: int) -> Polynomial:
    """Kernel parameters of a dense member with `depth` hidden layers: n0 n + (L-1) n^2 + n k.

    Raises:
        ValueError: a number is below 1.
    """
    for name, value in (("inputs", inputs), ("depth", depth), ("outputs", outputs)):
        _at_least(name, value, 1)
    return Polynomial((inputs + outputs, depth - 1))


def counted_cost(build: Callable[[int], keras.layers.Layer]) -> Polynomial:
    """The cost of a user's Keras block, counted at four widths.

    Args:
        build: width -> a built `keras.layers.Layer` or `keras.Model`, one member.

    Raises:
        ValueError: the parameter count is not a quadratic polynomial of the width without a
            constant part (a bias of fixed size, for example, does not scale with the width).
    """
    widths = (4, 8, 12, 16)
    counts = [build(n).count_params() for n in widths]
    powers = np.array([[1, n, n**2] for n in widths[:3]], float)
    constant, first, second = (float(v) for v in np.round(np.linalg.solve(powers, counts[:3]), 6))
    if abs(constant + first * 16 + second * 256 - counts[3]) > 0.5 or min(first, second) < 0:
        counted = ", ".join(f"{n}: {c}" for n, c in zip(widths, counts, strict=True))
        raise ValueError(f"build: parameters by width {counted} are not a quadratic polynomial")
    if abs(constant) > 0.5:
        raise ValueError(
            f"build: {constant:.0f} parameters do not depend on the width; exclude them from the "
            "member (or pass them as `Polynomial(..., fixed=...)`)"
        )
    return Polynomial((first, second))


def variance(members: float, width: float, alpha: float = ALPHA, depth: int = 1) -> float:
    """V(m, n) for members with `depth` hidden layers of width n.

    Raises:
        ValueError: a number is not above 0.
    """
    given = {"members": members, "width": width, "alpha": alpha, "depth": depth}
    for name, value in given.items():
        _above_zero(name, value)
    with np.errstate(over="ignore"):
        return float(np.expm1(alpha * depth / width) / members)


def best_width(cost: Polynomial, alpha: float = ALPHA, depth: int = 1) -> float:
    """The real-valued optimum n* of both problems, as the root of the stationarity condition.

    For c(n) ~ n^2 alone it is alpha depth / 1.593624. A cost without powers above the first has no
    optimum: narrower members are always better.

    Raises:
        ValueError: there is no optimum.
    """
    from scipy.optimize import brentq

    _above_zero("alpha", alpha)
    _above_zero("depth", depth)
    a = alpha * depth

    def gap(x: float) -> float:
        return cost.degree_at(a / x) - x / -np.expm1(-x)

    low, high = 1e-9, 1.0
    while gap(high) > 0 and high < 1e6:
        high *= 2
    if gap(low) <= 0 or gap(high) > 0:
        raise ValueError(f"coefficients={cost.coefficients}: need a power above the first")
    return a / brentq(gap, low, high, xtol=1e-14, rtol=1e-14)


def maximize_trainability(
    budget: float,
    cost: Cost,
    *,
    alpha: float = ALPHA,
    depth: int = 1,
    widths: Sequence[int] = WIDTHS,
    tolerance: float = 0.0,
) -> Shape:
    """Finds the lowest variance within a budget (the official code's "primal").

    Args:
        budget: maximum number of parameters.
        cost: parameters by (members, width), increasing in both.
        alpha: constant alpha of the variance law.
        depth: number of hidden layers of a member.
        widths: integers to try.
        tolerance: fraction by which the budget may be exceeded; the published ImageNet shape,
            12x10d, costs 0.74 % more than its baseline.

    Raises:
        ValueError: not even one member of the smallest width fits, or an argument is out of range.
    """
    shapes = frontier(budget, cost, alpha=alpha, depth=depth, widths=widths, tolerance=tolerance)
    return min(shapes, key=lambda s: s.variance)


def frontier(
    budget: float,
    cost: Cost,
    *,
    alpha: float = ALPHA,
    depth: int = 1,
    widths: Sequence[int] = WIDTHS,
    tolerance: float = 0.0,
) -> list[Shape]:
    """The whole curve: for each width, the maximum number of members within the budget.

    Arguments and errors as for `maximize_trainability`.
    """
    _above_zero("budget", budget)
    if tolerance < 0:
        raise ValueError(f"tolerance={tolerance}: must be at least 0")
    limit, shapes = budget * (1 + tolerance), []
    for width in _checked(widths):
        members = _most_members(limit, cost, width)
        if members:
            shapes.append(_shape(members, width, cost, alpha, depth))
    if not shapes:
        least = cost(1, min(widths))
        raise ValueError(f"budget={budget}: must be at least {least:.0f}, one member's cost")
    return shapes


def minimize_parameters(
    variance_limit: float,
    cost: Cost,
    *,
    alpha: float = ALPHA,
    depth: int = 1,
    widths: Sequence[int] = WIDTHS,
) -> Shape:
    """Finds the fewest parameters with at most a given variance (the official code's "dual").

    Args:
        variance_limit: maximum V, e.g. that of a wide network, `variance(1, 128)`.
        cost: parameters by (members, width), increasing in both.
        alpha: constant alpha of the variance law.
        depth: number of hidden layers of a member.
        widths: integers to try.

    Raises:
        ValueError: an argument is out of range.
    """
    _above_zero("variance_limit", variance_limit)
    shapes = []
    for width in _checked(widths):
        needed = variance(1, width, alpha, depth) / variance_limit
        if math.isfinite(needed):
            members = max(1, math.ceil(needed * (1 - 1e-12)))
            shapes.append(_shape(members, width, cost, alpha, depth))
    if not shapes:
        raise ValueError(f"widths={list(widths)}: all too narrow, their variance is infinite")
    return min(shapes, key=lambda s: (s.parameters, s.variance))


def _shape(members: int, width: int, cost: Cost, alpha: float, depth: int) -> Shape:
    spread = variance(members, width, alpha, depth)
    return Shape(members, width, round(cost(members, width)), spread)


def _most_members(limit: float, cost: Cost, width: int) -> int:
    """The largest m with cost(m, width) <= limit, by doubling and bisection."""
    if cost(1, width) > limit:
        return 0
    low, high = 1, 2
    while cost(high, width) <= limit:
        low, high = high, 2 * high
        if high > 2**40:
            raise ValueError("cost: must increase with the number of members")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle, width) <= limit else (low, middle)
    return low


def _checked(widths: Sequence[int]) -> Sequence[int]:
    if not len(widths) or min(widths) < 1:
        raise ValueError(f"widths={list(widths)}: must be whole numbers, at least 1")
    return widths


def _above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value}: must be above 0")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name}={value}: must be at least {least}")
