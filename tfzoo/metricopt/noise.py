"""How much a metric on a small split can be trusted."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfzoo.metrics import BlackBoxMetric

HALVES = 12
NOISY, NOISY_SHARE = 0.05, 0.1
"""Noise above this causes a warning: absolute for a metric between 0 and 1, otherwise relative."""


def noise(metric: BlackBoxMetric, labels: Any, outputs: Any) -> float:
    """The standard deviation of a metric over the random choice of a split's examples.

    Estimated on random halves, whose deviation equals that of the whole's value if the metric is a
    mean over examples. The metric's function is called 12 times, which `calls` does not count.
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
    """Whether this noise hides what tuning could gain."""
    limit = NOISY if 0 <= value <= 1 else NOISY_SHARE * abs(value)
    return not deviation <= limit
