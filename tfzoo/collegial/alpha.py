"""Measures alpha of the variance law for a user's block by Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from tfzoo.collegial.ntk import diagonal
from tfzoo.environment import only_on


@dataclass(frozen=True)
class AlphaFit:
    """The result of `measure_alpha`.

    Attributes:
        alpha: slope of log(1 + V) over L/n through the origin.
        low: lower end of its 95 % interval, by bootstrap over the samples.
        high: upper end.
        r_squared: R^2 of the fit, 1 - residual / total about the mean.
        widths: the widths n.
        variances: measured V at each width: variance / mean^2 of K(x, x).
    """

    alpha: float
    low: float
    high: float
    r_squared: float
    widths: tuple[int, ...]
    variances: tuple[float, ...]


@only_on("tensorflow", why="which takes gradients on TensorFlow's tapes")
def measure_alpha(
    block_fn: Callable[[int], keras.Model],
    widths: Sequence[int],
    *,
    depth: int,
    samples: int = 4000,
    x: np.ndarray | None = None,
    seed: int = 0,
) -> AlphaFit:
    """Fits V(1, n) = exp(alpha L / n) - 1 to a block's kernel over initialisations.

    V is heavy-tailed: narrow blocks need 4,000 samples or more.

    Args:
        block_fn: width -> a built model with one input and outputs [B, k].
        widths: widths n to measure, at least two.
        depth: hidden layers L of the block.
        samples: initialisations per width.
        x: one example; None: a random one.
        seed: seed of the draws.

    Raises:
        ValueError: an argument is out of range.
    """
    if len(set(widths)) < 2 or min(widths) < 1:
        raise ValueError(f"widths={list(widths)}: must be two or more whole numbers, at least 1")
    for name, value, least in (("depth", depth, 1), ("samples", samples, 2)):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")
    drawn = [diagonal(block_fn(n), samples, x=x, seed=seed + i) for i, n in enumerate(widths)]
    inverse = depth / np.array(widths, float)

    def fit(parts: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
        logs = np.log1p([squared_variation(part) for part in parts])
        return float(inverse @ logs / (inverse @ inverse)), logs

    alpha, logs = fit(drawn)
    residual = np.sum((logs - alpha * inverse) ** 2) / np.sum((logs - logs.mean()) ** 2)
    rng = np.random.default_rng(seed)
    again = [
        fit([part[rng.integers(0, samples, samples)] for part in drawn])[0] for _ in range(200)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    variances = tuple(float(v) for v in np.expm1(logs))
    return AlphaFit(alpha, float(low), float(high), float(1 - residual), tuple(widths), variances)


def squared_variation(values: np.ndarray) -> float:
    """Variance divided by squared mean."""
    return float(np.var(values, ddof=1) / np.mean(values) ** 2)
