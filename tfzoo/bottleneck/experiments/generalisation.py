"""Test accuracy at the step chosen on validation; reported without a claim."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfzoo.bottleneck.dynamics import CROSS_ENTROPY, SQUARED, Loss, descend
from tfzoo.bottleneck.experiments import tasks
from tfzoo.bottleneck.experiments.plots import curves
from tfzoo.bottleneck.experiments.tasks import Baseline, Network, Task
from tfzoo.experiments import study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row


@dataclass(frozen=True)
class Setting:
    """One data set and its training settings.

    Attributes:
        dims: values of d.
        steps: steps of gradient descent.
        rate: c, relative to each network's own lambda_max.
        loss: loss of the outputs.
        says: description for the table's note.
    """

    dims: Sequence[int]
    steps: int
    rate: float
    loss: Loss
    says: str


SETTINGS = {
    "teacher": Setting(
        (4, 16, 64), 1000, 0.5, SQUARED, "512 points in 30 dimensions, y = 5 sign(x.w1 x.w2)"
    ),
    "digits": Setting((16, 64), 800, 0.5, SQUARED, "600 digits, regression on one-hot rows"),
    "digits_ce": Setting((16, 64), 800, 1.0, CROSS_ENTROPY, "600 digits, cross-entropy"),
    "mnist": Setting((16, 64), 400, 0.5, SQUARED, "the first 1,000 MNIST images, regression"),
}
LOOK = 20
"""Steps between validations."""


def task_of(name: str, seed: int, mnist: str) -> Task:
    """Train, validation and test parts."""
    if name == "teacher":
        parts = tasks.teacher([512, 300, 1000], 30, 5.0, seed)
    elif name == "mnist":
        parts = tasks.mnist(mnist, [1000, 500, 2000])
    else:
        parts = tasks.digits(600)
    return Task(parts, SETTINGS[name].loss)


def run(
    name: str,
    seeds: Sequence[int],
    output: Path,
    mnist: str = "",
    steps: int | None = None,
) -> list[Row]:
    """Trains each d with each seed; writes CSV, table and curves of validation accuracy."""
    setting, most = SETTINGS[name], steps or SETTINGS[name].steps
    rows: list[Row] = []
    paths: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        arguments = name, seed, most, mnist
        rows_of = kept(output, f"{name}, seed {seed}", (setting, arguments), _of_seed, *arguments)
        for row, path in rows_of:
            rows.append(row)
            paths.setdefault(row.arm, []).append(path)
    notes = [
        f"Test error at the step of best validation accuracy (looked at every {LOOK} steps). "
        f"{setting.says}; {most} steps, learning rate {setting.rate:g} N / "
        "(curvature lambda_max) of each network's own kernel. Reported, not claimed."
    ]
    print(study.report(f"bottleneck-{name}", rows, "test_error", output, notes=notes))
    curves(paths, output / "validation.png", "validation accuracy", setting.says, log=False)
    return rows


def _of_seed(name: str, seed: int, steps: int, mnist: str) -> list[tuple[Row, np.ndarray]]:
    """A row for each arm, and validation accuracy by step, [looks, 2]."""
    setting, task, errors = SETTINGS[name], task_of(name, seed, mnist), []
    arms: dict[str, Baseline | Network] = {"no bottleneck": task.baseline()}
    arms |= {f"d={d}": task.network(d, seed) for d in setting.dims}
    for arm, network in arms.items():
        start = time.monotonic()

        def look(step, state, network=network):
            outputs = network.outputs(state)
            return [task.accuracy(outputs, part) for part in range(3)]

        ended = descend(
            network.problem, steps, rate=setting.rate, look_every=5, note=look, note_every=LOOK
        )
        held = {step: noted[1] for step, noted in ended.noted.items()}
        best = max(held, key=held.__getitem__)
        metrics = {
            "test_error": 1 - ended.noted[best][2],
            "test_error_last": 1 - ended.noted[ended.steps][2],
            "train_error_last": 1 - ended.noted[ended.steps][0],
            "train_loss_last": float(ended.losses[-1] / ended.losses[0]),
            "best_step": best,
        }
        row = Row(arm, seed, metrics=metrics, seconds=time.monotonic() - start)
        print(f"{name}, {arm}, seed {seed}: {metrics}", flush=True)
        errors.append((row, np.array([[step, value] for step, value in held.items()])))
    return errors
