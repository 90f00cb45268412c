"""The study's plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from tfzoo.experiments.plots import save_figure


def _pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def curves(
    losses: Mapping[str, Sequence[np.ndarray]], path: Path, label: str, title: str, log: bool = True
) -> None:
    """Every seed's curve, [steps] or pairs of step and value, one colour per name."""
    figure, axes = _pyplot().subplots(figsize=(5.5, 3.8))
    for i, (name, values) in enumerate(losses.items()):
        for j, curve in enumerate(values):
            points = curve.T if curve.ndim == 2 else [curve]
            axes.plot(*points, color=f"C{i}", lw=1, label=name if j == 0 else None)
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.legend(fontsize=8)
    save_figure(figure, path)


def moving_points(points: dict[int, np.ndarray], labels: np.ndarray, path: Path) -> None:
    """The bottleneck's values at several steps, on the last step's two principal axes."""
    last = points[max(points)]
    _, _, axes_of = np.linalg.svd(last - last.mean(0), full_matrices=False)
    plt = _pyplot()
    figure, panels = plt.subplots(1, len(points), figsize=(3 * len(points), 3), sharex=True)
    for axis, (step, z) in zip(np.atleast_1d(panels), points.items(), strict=True):
        flat = (z - last.mean(0)) @ axes_of[:2].T
        axis.scatter(*flat.T, c=labels, cmap="coolwarm", s=12)
        axis.set_title(f"step {step}")
    save_figure(figure, path)
