"""Kernel drift at equal training loss, which decreases with the number of members."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo.collegial.experiments import digits
from tfzoo.collegial.experiments.descent import descend, greatest_eigenvalue
from tfzoo.collegial.mlp import CollegialMLP
from tfzoo.collegial.ntk import drift, empirical_ntk
from tfzoo.experiments import statistics, study
from tfzoo.experiments.bench import slope
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row

MEMBERS, WIDTH, DEPTH = (1, 4, 16, 64), 16, 2
UNTIL, STEPS, PROBES = 0.25, 4000, 64


def run(seeds: Sequence[int], output: Path, members: Sequence[int] = MEMBERS) -> list[Row]:
    """Trains to equal loss with several m; writes CSV, table and plot."""
    train, test = digits.load("train"), digits.load("test")
    rows = []
    for seed in seeds:
        for m in members:
            rows.append(kept(output, f"m={m}, seed {seed}", None, _one, m, seed, train, test))
            print(f"drift m={m}, seed {seed}: {rows[-1].metrics}", flush=True)
    names = [f"m={m}" for m in members]
    claims = [
        (f"the kernel drifts less with {b} than with {a}", b, a)
        for a, b in zip(names[:-1], names[1:], strict=True)
    ]
    means = [
        float(np.mean(list(statistics.values(rows, name, "kernel_drift").values())))
        for name in names
    ]
    notes = [
        f"Members of width {WIDTH} with {DEPTH} hidden layers, trained until the loss (0.5 at the "
        f"start) is {UNTIL}; kernel on {PROBES} training examples. The drift falls as "
        f"m^{slope(members, means):.2f}."
    ]
    print(study.report("collegial-drift", rows, "kernel_drift", output, claims, notes))
    plot(members, rows, output / "drift.png")
    return rows


def _one(m: int, seed: int, train: digits.Digits, test: digits.Digits) -> Row:
    start = time.monotonic()
    keras.utils.set_random_seed(seed)
    model = CollegialMLP((64,), 10, m, WIDTH, DEPTH)
    before = empirical_ntk(model, train.x[:PROBES])
    rate = 0.5 / greatest_eigenvalue(model, train.x)
    ended = descend(
        model, train.x, train.targets, test.x, learning_rate=rate, steps=STEPS, until=UNTIL
    )
    metrics = {
        "kernel_drift": drift(before, empirical_ntk(model, train.x[:PROBES])),
        "train_loss": ended.loss,
        "steps": ended.steps,
        "test_accuracy": test.accuracy(ended.answer),
    }
    seconds = time.monotonic() - start
    error = "" if ended.loss <= UNTIL * 1.01 else f"loss {ended.loss} after {STEPS} steps"
    return Row(f"m={m}", seed, model.count_params(), metrics, seconds, error)


def plot(members: Sequence[int], rows: Sequence[Row], path: Path) -> None:
    """Drift over m, log-log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drifts = [
        statistics.interval(list(statistics.values(rows, f"m={m}", "kernel_drift").values()))
        for m in members
    ]
    figure, axes = plt.subplots(figsize=(5, 3.6))
    half = [0 if np.isnan(f.half) else f.half for f in drifts]
    axes.errorbar(members, [f.mean for f in drifts], half, marker="o", capsize=3)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel(f"members m of width {WIDTH}")
    axes.set_ylabel("|K - K_0| / |K_0|")
    axes.set_title("Kernel drift after the same fall of the loss")
    save_figure(figure, path)
