"""Plots of adaptive losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.ala.experiments.methods import Arm, Outcome
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.ala.metric_losses import POWERS
from tfzoo.experiments import statistics
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parameters(
    outcomes: Mapping[str, Outcome], arms: Mapping[str, Arm], problem: Problem, path: Path
) -> None:
    """Loss parameters over actions, averaged over children, with one panel per adaptive arm."""
    shown = {name: o for name, o in outcomes.items() if arms[name].moves}
    figure, axes = _panels(len(shown), 3.6, 2.6)
    for axis, (name, outcome) in zip(axes, shown.items(), strict=True):
        alignment = outcome.learning.alignment
        decided = np.array([[alignment.loss.decided(p) for p in phi] for phi in outcome.phi])
        decided = decided.mean(1)  # [T, P, n] -> [T, n]
        for i, (label, color) in enumerate(_labels(alignment.loss.decisions, problem)):
            axis.plot(decided[:, i], color=color, label=label, linewidth=1, alpha=0.8)
        axis.axhline(0, color="0.8", linewidth=0.5)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("action")
        axis.set_ylabel(r"$\Phi$")
        if any(label for label in axis.get_legend_handles_labels()[1]):
            axis.legend(fontsize=6)
    save_figure(figure, path)


def matrix(outcome: Outcome, path: Path) -> None:
    """Phi of Eq. 6 at four times, the best child's."""
    times = np.unique(np.linspace(0, len(outcome.phi) - 1, 4).astype(int))
    figure, axes = _panels(len(times), 2.8, 2.6, 4)
    for axis, t in zip(axes, times, strict=True):
        phi = outcome.phi[t, outcome.child]
        off = phi * (1 - np.eye(len(phi)))
        image = axis.imshow(off, cmap="RdBu", vmin=-0.5, vmax=0.5)
        axis.set_title(f"after action {t + 1}", fontsize=9)
        figure.colorbar(image, ax=axis, shrink=0.7)
    save_figure(figure, path)


def progress(outcomes: Mapping[str, Outcome], metric: str, path: Path) -> None:
    """The validation metric over steps, averaged over children."""
    figure, (axis,) = _panels(1, 6.0, 3.6)
    for name, outcome in outcomes.items():
        values = outcome.learning.values
        axis.plot([s for s, _ in values], [v.mean() for _, v in values], label=name, linewidth=1)
    axis.set_xlabel("step")
    axis.set_ylabel(f"validation {metric}")
    axis.legend(fontsize=6)
    save_figure(figure, path)


def errors(rows: Sequence[Row], metric: str, path: Path) -> None:
    """Test metric of each arm with its 95 % interval."""
    names = list(dict.fromkeys(r.arm for r in rows))[::-1]
    figure, (axis,) = _panels(1, 5.0, 0.32 * len(names) + 1)
    for i, name in enumerate(names):
        mean = statistics.interval(list(statistics.values(rows, name, metric).values()))
        half = 0 if np.isnan(mean.half) else mean.half
        color = "C1" if name.startswith("ALA") else "C0"
        axis.errorbar(mean.mean, i, xerr=half, fmt="o", color=color, capsize=3)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlabel(f"test {metric}")
    save_figure(figure, path)


def _labels(count: int, problem: Problem) -> list[tuple[str, str]]:
    """The legend text (once each) and colour of every decision."""
    if not problem.classes:
        if count == 2:
            return [("positive pairs", "C0"), ("negative pairs", "C1")]
        texts = [f"{side} d^{p:g}" for side in ("F+", "F-") for p in POWERS]
        return [(text, f"C{i}") for i, text in enumerate(texts)]
    if count != problem.classes:
        return [("", "0.6")] * count
    rare = np.isin(np.arange(count), problem.rare)
    first = {bool(rare[i]): i for i in range(count - 1, -1, -1)}
    word = {True: "rare class", False: "other class" if rare.any() else ""}
    return [(word[r] if first[r] == i else "", "C1" if r else "C0") for i, r in enumerate(rare)]


def _panels(count: int, width: float, height: float, most: int = 3) -> tuple[Figure, list[Axes]]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(most, count)
    rows = -(-count // columns)
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, list(axes.flat[:count])
