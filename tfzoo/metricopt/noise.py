"""How far a metric of a small split can be trusted."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfzoo.metrics import BlackBoxMetric

HALVES = 12
NOISY, NOISY_SHARE = 0.05, 0.1
"""A noise above this is warned of: of a metric between 0 and 1, and as a share of any other."""


def noise(metric: BlackBoxMetric, labels: Any, outputs: Any) -> float:
    """The standard deviation of a metric by the examples that a split happens to have.

    That of the metric on random halves, whose deviation is that of the whole's value where it is a
    mean of examples. The metric's function is called 12 times, which `calls` does not count.
    Infinite if it fails on a half, e.g. one without positive labels.
    """
    count = len(keras.tree.flatten(labels)[0])
    random, values = np.random.default_rng(0), []
    for _ in range(HALVES):
        rows = random.permutation(count)[: count // 2]
        part = [keras.tree.map_structure(lambda a, r=rows: a[r], t) for t in (labels, outputs)]
        try:
            values.append(float(metric.function(*part, **metric.options)))
        except Exception:
            return float("inf")
    return float(np.std(values))


def is_noisy(value: float, deviation: float) -> bool:
    """Whether so much noise hides what tuning could gain."""
    limit = NOISY if 0 <= value <= 1 else NOISY_SHARE * abs(value)
    return not deviation <= limit
