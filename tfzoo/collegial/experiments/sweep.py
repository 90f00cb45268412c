"""Equal parameters, many shapes: does the lowest variance train best? (spec: paper, sec. 5)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo.collegial import search
from tfzoo.collegial.experiments import digits
from tfzoo.collegial.experiments.descent import descend, greatest_eigenvalue
from tfzoo.collegial.mlp import CollegialMLP
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row

DEPTH, STEPS = 4, 150
COST = search.dense_cost(64, DEPTH, 10)
BUDGET = int(COST(1, 128))
WIDTHS = (4, 6, 8, 12, 16, 19, 23, 30, 41, 59, 87, 128)
RATES = (0.5, 1.0)
"""Learning rates as multiples of N / lambda_max(K_0); the one with the lower training loss
counts."""


def shapes() -> list[tuple[int, int]]:
    """(members, width) with parameter counts within 2 % of the wide network's."""
    pairs = [(round(BUDGET / COST.member(n)), n) for n in WIDTHS]
    return [(m, n) for m, n in pairs if abs(COST(m, n) / BUDGET - 1) <= 0.02]


def run(seeds: Sequence[int], alpha: float, output: Path, only: Sequence = ()) -> list[Row]:
    """Trains every shape with every seed; writes CSV, table and plot."""
    train, test = digits.load("train"), digits.load("test")
    rows: list[Row] = []
    for seed in seeds:
        for members, width in only or shapes():
            part, arguments = f"{members}x{width}, seed {seed}", (members, width, seed)
            rows.append(kept(output, part, alpha, _one, *arguments, train, test, alpha))
            print(f"sweep {rows[-1].arm}, seed {seed}: {rows[-1].metrics}", flush=True)
    best = min({r.arm: r.metrics["variance"] for r in rows}.items(), key=lambda p: p[1])[0]
    wide = rows[len(only or shapes()) - 1].arm
    notes = [
        f"Four hidden layers, at most {BUDGET:,} + 2 % parameters, {STEPS} steps of gradient "
        f"descent. The variance is the law's, with alpha = {alpha:.2f}; the least "
        f"is at {best}, the analytic width is {search.best_width(COST, alpha, DEPTH):.1f}.",
        correlations(rows),
    ]
    claims = [(f"{best} (least variance) trains better than {wide}", best, wide)]
    print(study.report("collegial-sweep", rows, "train_loss", output, claims, notes))
    plot(rows, output / "sweep.png")
    return rows


def _one(members: int, width: int, seed: int, train, test, alpha: float) -> Row:
    start, best = time.monotonic(), None
    for rate in RATES:
        keras.utils.set_random_seed(seed)
        model = CollegialMLP((64,), 10, members, width, DEPTH)
        ended = descend(
            model,
            train.x,
            train.targets,
            test.x,
            learning_rate=rate / greatest_eigenvalue(model, train.x),
            steps=STEPS,
        )
        if np.isfinite(ended.loss) and (best is None or ended.loss < best.loss):
            best = ended
    name = f"{members}x{width}"
    if best is None:
        return Row(name, seed, model.count_params(), error="diverged at every learning rate")
    metrics = {
        "train_loss": best.loss,
        "test_accuracy": test.accuracy(best.answer),
        "variance": search.variance(members, width, alpha, DEPTH),
    }
    return Row(name, seed, model.count_params(), metrics, time.monotonic() - start)


def correlations(rows: Sequence[Row]) -> str:
    """Spearman's rank correlation of variance and loss, over the shapes of each seed."""
    from scipy import stats

    values = []
    for seed in dict.fromkeys(r.seed for r in rows):
        mine = [r.metrics for r in rows if r.seed == seed and not r.error]
        if len(mine) > 2:
            pairs = [m["variance"] for m in mine], [m["train_loss"] for m in mine]
            values.append(float(stats.spearmanr(*pairs).statistic))
    names = [
        a for a in dict.fromkeys(r.arm for r in rows) if statistics.values(rows, a, "train_loss")
    ]
    means = [
        [float(np.mean(list(statistics.values(rows, name, metric).values()))) for name in names]
        for metric in ("variance", "train_loss")
    ]
    return (
        "Spearman's rank correlation of the law's variance and the training loss: "
        f"{statistics.interval(values)} over seeds, "
        f"{stats.spearmanr(*means).statistic:.4f} of the means."
    )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Variance, loss and accuracy over the width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r.arm for r in rows))
    widths = [int(name.split("x")[1]) for name in names]
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.5))
    labels = ("variance V(m, n), by the law", "training loss", "test accuracy")
    for axis, metric, label in zip(
        axes, ("variance", "train_loss", "test_accuracy"), labels, strict=True
    ):
        points = [
            statistics.interval(list(statistics.values(rows, name, metric).values()))
            for name in names
        ]
        half = [0 if np.isnan(f.half) else f.half for f in points]
        axis.errorbar(widths, [f.mean for f in points], half, marker="o", capsize=3)
        axis.set_xscale("log", base=2)
        axis.set_xlabel("width n of a member")
        axis.set_title(label)
    figure.suptitle(f"Equal parameters ({BUDGET:,}), 4 hidden layers, digits", y=1.04)
    save_figure(figure, path)
