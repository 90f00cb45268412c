"""The study's plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.experiments import statistics
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def monitoring(curves: dict[int, list[dict]], path: Path, title: str) -> None:
    """Squared distances from the model by step: real and fresh generated images, and the floor."""
    figure, axes = _pyplot().subplots(figsize=(5.5, 3.8))
    looks = {"train": "C0", "test": "C1", "fake": "C2"}
    labels = {"train": "training images", "test": "test images", "fake": "generated images"}
    for i, curve in enumerate(curves.values()):
        steps = [row["step"] for row in curve]
        for name, color in looks.items():
            values = [row[f"distance_{name}"] for row in curve]
            axes.plot(steps, values, color=color, lw=1, label=None if i else labels[name])
    floor = [row["floor"] for row in next(iter(curves.values()))]
    axes.plot(steps, floor, "k:", lw=1, label="noise floor 1/n + 1/S")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("squared Fisher distance from the model")
    axes.set_title(f"{title}, one line a seed")
    axes.legend(fontsize=8)
    save_figure(figure, path)


def errors(
    rows: Sequence[Row], arms: Sequence[str], labels: Sequence[int], path: Path, title: str
) -> None:
    """Test error by the number of labels, mean and range over seeds."""
    figure, axes = _pyplot().subplots(figsize=(5.5, 3.8))
    for i, arm in enumerate(arms):
        errors_of = [list(statistics.values(rows, arm, f"error_{n}").values()) for n in labels]
        means = [np.mean(f) for f in errors_of]
        axes.plot(labels, means, "o-", color=f"C{i}", ms=3, lw=1, label=arm)
        low, high = ([function(f) for f in errors_of] for function in (min, max))
        axes.fill_between(labels, low, high, color=f"C{i}", alpha=0.2, lw=0)
    axes.set_xscale("log")
    axes.set_xticks(list(labels), [f"{n:,}" for n in labels])
    axes.minorticks_off()
    axes.set_xlabel("labelled images")
    axes.set_ylabel("test error")
    axes.set_title(title)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def matrix(values: np.ndarray, names: Sequence[str], path: Path, title: str) -> None:
    """Squared distances between classes."""
    figure, axes = _pyplot().subplots(figsize=(5, 4.4))
    shown = axes.imshow(values, cmap="viridis")
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_title(f"{title}: squared Fisher distance of classes", fontsize=10)
    figure.colorbar(shown)
    save_figure(figure, path)


def neighbours(
    images: np.ndarray, queries: Sequence[int], order: dict[str, np.ndarray], path: Path
) -> None:
    """Each query with its nearest images by each measure."""
    near = next(iter(order.values())).shape[1]
    plt = _pyplot()
    columns = len(order) * (near + 1) + 1
    figure, panels = plt.subplots(
        len(queries), columns, figsize=(0.42 * columns, 0.46 * len(queries) + 0.4), squeeze=False
    )
    for axis in panels.ravel():
        axis.axis("off")
    for row, query in zip(panels, queries, strict=True):
        _show(row[0], images[query])
        for i, rows_of in enumerate(order.values()):
            for j in range(near):
                _show(row[2 + i * (near + 1) + j], images[rows_of[query, j]])
    panels[0][0].set_title("query", fontsize=8)
    for i, name in enumerate(order):
        panels[0][2 + i * (near + 1) + near // 2].set_title(f"nearest by {name}", fontsize=8)
    save_figure(figure, path)


def _show(axis: Axes, image: np.ndarray) -> None:
    axis.imshow(np.clip((image + 1) / 2, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
