"""Rows of a study, means with intervals, and verdicts on claims."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tfzoo.errors import InputError


@dataclass(frozen=True)
class Row:
    """The result of one arm with one seed."""

    arm: str
    seed: int
    parameters: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval (Student's t); `half` is NaN for a single value."""

    mean: float
    half: float
    count: int

    def __str__(self) -> str:
        if self.count == 0:
            return "-"
        return f"{self.mean:.4f} ± {self.half:.4f}" if self.count > 1 else f"{self.mean:.4f}"


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of values."""
    from scipy import stats

    count = len(values)
    if count == 0:
        return Interval(float("nan"), float("nan"), 0)
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, float("nan"), 1)
    error = float(np.std(values, ddof=1)) / count**0.5
    return Interval(mean, float(stats.t.ppf(0.975, count - 1)) * error, count)


def values(rows: Sequence[Row], arm: str, metric: str) -> dict[int, float]:
    """An arm's metric by seed, failed runs left out."""
    return {r.seed: r.metrics[metric] for r in rows if r.arm == arm and not r.error}


def paired(rows: Sequence[Row], first: str, second: str, metric: str) -> Interval:
    """The difference `first - second` over the seeds that both arms finished."""
    a, b = values(rows, first, metric), values(rows, second, metric)
    return interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def verdict(difference: Interval) -> str:
    """Verdict on whether a difference is below 0, as claimed by `first < second`.

    Returns:
        `supported` or `contradicted` if the 95 % interval lies on one side of 0, otherwise
        `inconclusive` with the side of the mean.
    """
    if difference.count > 1 and difference.mean + difference.half < 0:
        return "supported"
    if difference.count > 1 and difference.mean - difference.half > 0:
        return "contradicted"
    side = "for" if difference.mean < 0 else "against"
    return f"inconclusive (mean {side} it)"


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number (Holm 1979), in their order."""
    order, most = np.argsort(values, kind="stable"), 0.0
    adjusted = [0.0] * len(values)
    for rank, i in enumerate(order):
        most = max(most, min((len(values) - rank) * values[i], 1.0))
        adjusted[i] = most
    return adjusted


def p_value(difference: Interval) -> float:
    """Student's paired two-sided test of a paired difference; 1 if its spread is 0 or unknown."""
    from scipy import stats

    error = difference.half / stats.t.ppf(0.975, max(difference.count - 1, 1))
    if difference.count < 2 or not error > 0:
        return 1.0
    return float(2 * stats.t.sf(abs(difference.mean) / error, difference.count - 1))


def against_each(
    rows: Sequence[Row], ours: str, others: Sequence[str], metric: str, more: bool = False
) -> list[tuple[Interval, float, str]]:
    """One arm's differences from each other arm, paired by seed, with Holm's verdicts.

    Args:
        rows: the study's rows.
        ours: the arm to compare.
        others: the arms it is compared with; the adjustment covers all comparisons.
        metric: the metric to compare.
        more: whether higher is better.

    Returns:
        For each of `others` the difference, the adjusted p-value of Student's paired two-sided
        test, and the verdict.
    """
    differences = [paired(rows, ours, other, metric) for other in others]
    ps = [p_value(difference) for difference in differences]
    results = []
    for difference, p in zip(differences, holm(ps), strict=True):
        says = "no difference shown"
        if p < 0.05:
            says = "better" if (difference.mean > 0) == more else "worse"
        results.append((difference, p, says))
    return results


def against_all(
    rows: Sequence[Row], ours: str, others: Sequence[str], metric: str, more: bool = False
) -> list[str]:
    """The results of `against_each` as lines of Markdown."""
    lines = [f"| {ours} against | difference | p, adjusted | verdict |", "|---|---|---|---|"]
    results = against_each(rows, ours, others, metric, more)
    for other, (difference, p, says) in zip(others, results, strict=True):
        lines.append(f"| {other} | {difference} | {p:.3f} | {says} |")
    return lines


def read(path: Path, metric: str) -> list[Row]:
    """Rows of a study's CSV with one metric.

    Raises:
        InputError: no such file or column.
    """
    if not path.is_file():
        raise InputError(f"results {str(path)!r}: no such file")
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    if not lines or metric not in lines[0]:
        raise InputError(f"results {str(path)!r}: no column {metric!r}")
    return [
        Row(r["arm"], int(r["seed"]), metrics={metric: float(r[metric])}, error=r["error"])
        for r in lines
        if r[metric]
    ]


def all_metrics(rows: Sequence[Row]) -> list[str]:
    """A column for each arm, a row for each metric."""
    arms = list(dict.fromkeys(r.arm for r in rows))
    names = list(dict.fromkeys(m for r in rows for m in r.metrics))
    lines = [f"| | {' | '.join(arms)} |", "|---" * (len(arms) + 1) + "|"]
    for name in names:
        cells = []
        for arm in arms:
            seen = [r.metrics[name] for r in rows if r.arm == arm and name in r.metrics]
            cells.append(str(interval(seen)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def claims_about(
    arm: str, rows: Sequence[Row], claims: Sequence[tuple[str, str, str]]
) -> list[str]:
    """A Markdown line for each claim (text, greater metric, lesser metric) about one arm."""
    lines = [f"| claim about {arm} | difference | verdict |", "|---|---|---|"]
    mine = [r for r in rows if r.arm == arm and not r.error]
    for says, more, less in claims:
        if not mine or more not in mine[0].metrics:
            continue
        difference = interval([r.metrics[more] - r.metrics[less] for r in mine])
        # `verdict` expects a difference claimed to be below 0
        told = verdict(Interval(-difference.mean, difference.half, difference.count))
        lines.append(f"| {says} | {difference} | {told} |")
    return lines
