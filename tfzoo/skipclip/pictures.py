"""The study's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo import study
from tfzoo.study import Row


def bars(rows: Sequence[Row], path: Path) -> None:
    """Each metric of each arm: the mean, and a dot for every seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    arms = list(dict.fromkeys(r.arm for r in rows))
    metrics = list(dict.fromkeys(m for r in rows for m in r.metrics))
    figure, panels = plt.subplots(
        1, len(metrics), figsize=(2.6 * len(metrics) + 2, 0.45 * len(arms) + 1.2), squeeze=False
    )
    for axes, metric in zip(panels[0], metrics, strict=True):
        for i, arm in enumerate(arms):
            found = [r.metrics[metric] for r in rows if r.arm == arm and metric in r.metrics]
            if found:
                axes.barh(i, sum(found) / len(found), color="C0", alpha=0.4)
                axes.plot(found, [i] * len(found), "k.", ms=4)
        axes.set_yticks(range(len(arms)), arms if axes is panels[0][0] else [])
        axes.invert_yaxis()
        axes.set_title(metric.replace("_", " "), fontsize=9)
    study.save_figure(figure, path)
