"""Plots of the study: returns over training, and final returns for all data sets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tfzoo.experiments import statistics
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row

PANELS = (
    ("return", "return"),
    ("target_max", "greatest target"),
    ("mmd", "MMD to the behaviour"),
    ("weight", "mean weight"),
)


def curves(runs: Path, rows: Sequence[Row], path: Path) -> None:
    """Return, largest target, MMD and weights by epoch, one line per arm, averaged over seeds."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(PANELS), figsize=(15, 4.2), layout="constrained")
    arms = list(dict.fromkeys(r.arm for r in rows))
    for arm, colour in zip(arms, _colours(plt, len(arms)), strict=True):
        logs = [
            _log(runs / f"{r.arm}-seed{r.seed}" / "log.csv")
            for r in rows
            if r.arm == arm and not r.error
        ]
        for axis, (name, _) in zip(axes, PANELS, strict=True):
            seen = [log[name] for log in logs if name in log]
            if seen:
                axis.plot(logs[0]["step"], np.mean(seen, 0), color=colour, label=arm)
    for axis, (_, label) in zip(axes, PANELS, strict=True):
        axis.set(xlabel="gradient steps", title=label)
        axis.grid(alpha=0.3)
    drawn = axes[0].dataLim
    if drawn.y0 < 10 * drawn.y1:  # returns are negative; below a decade, few ticks remain
        axes[0].set_yscale("symlog", linthresh=1)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)))
    save_figure(figure, path)


def returns(output: Path, data: Sequence[str], path: Path) -> None:
    """Mean returns with 95 % intervals, one row of points per data set reported in `output`."""
    plt = _pyplot()
    files = {name: output / name.replace("/", "-") / "results.csv" for name in data}
    curves = {
        name: statistics.read(file, "return") for name, file in files.items() if file.is_file()
    }
    names = list(curves)
    arms = list(dict.fromkeys(r.arm for rows in curves.values() for r in rows))
    figure, axis = plt.subplots(figsize=(9, 2.2 + 0.75 * len(names)), layout="constrained")
    for i, (arm, colour) in enumerate(zip(arms, _colours(plt, len(arms)), strict=True)):
        places, means, halves = [], [], []
        for k, name in enumerate(names):
            values = list(statistics.values(curves[name], arm, "return").values())
            if values:
                interval = statistics.interval(values)
                places.append(k + 0.7 * (i / max(1, len(arms) - 1) - 0.5))
                means.append(interval.mean)
                halves.append(np.nan_to_num(interval.half))
        axis.errorbar(means, places, xerr=halves, fmt="o", ms=4, color=colour, label=arm)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(right=0)  # intervals cannot extend beyond 0
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel="return (0 is the best possible)")
    axis.invert_yaxis()
    axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    save_figure(figure, path)


def _log(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {k: np.array([float(r[k] or "nan") for r in rows]) for k in rows[0]}


def _colours(plt: ModuleType, count: int) -> list[Any]:
    return [plt.get_cmap("tab10")(i % 10) for i in range(count)]


def _pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
