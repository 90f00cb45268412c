"""The plot of AFT's study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.experiments import statistics
from tfzoo.experiments.plots import save_figure

METRIC = "bits_per_byte"
WINDOWS = (1, 4, 16, 32, 64)


def plot(rows: Sequence[statistics.Row], path: Path, kind: str) -> None:
    """Bits per byte over the window, with other arms as lines."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    curves = {
        name: statistics.interval(list(statistics.values(rows, name, METRIC).values()))
        for name in dict.fromkeys(r.arm for r in rows)
    }
    windows = [(0, "simple")] + [(s, f"local-{s}") for s in WINDOWS]
    points = [(s, curves[n]) for s, n in windows if n in curves and curves[n].count]
    figure, axes = plt.subplots(figsize=(6.5, 4))
    axes.errorbar(
        [s for s, _ in points],
        [p.mean for _, p in points],
        [p.half for _, p in points],
        marker="o",
        capsize=3,
        label="AFT-local (0: AFT-simple)",
    )
    for i, name in enumerate(n for n in ("attention", "full", "full-naive", "conv") if n in curves):
        if curves[name].count:
            axes.axhline(curves[name].mean, color=f"C{i + 1}", ls="--", label=name)
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks([s for s, _ in points], [str(s) for s, _ in points])
    axes.set_xlim(left=-0.3)
    axes.set_xlabel("window s")
    axes.set_ylabel("test bits per byte")
    axes.set_title(f"Position bias of a byte language model ({kind}); mean and 95 % interval")
    axes.legend(fontsize=8)
    save_figure(figure, path)
