"""Feature learning: the kernel's growth, its alignment with the target, the bottleneck's points."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from tfzoo.bottleneck.dynamics import Hybrid, KernelDescent, descend, largest
from tfzoo.bottleneck.dynamics.hybrid import State
from tfzoo.bottleneck.experiments.acceleration import INPUTS, POINTS
from tfzoo.bottleneck.experiments.plots import moving_points
from tfzoo.bottleneck.experiments.tasks import Task, teacher
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row

SCALE, RATE, STEPS, DIMS = 5, 0.1, 400, (4, 8, 64)


def run(
    seeds: Sequence[int], output: Path, dims: Sequence[int] = DIMS, steps: int = STEPS
) -> list[Row]:
    """Compares kernels before and after training; writes CSV, table and plot."""
    rows: list[Row] = []
    for seed in seeds:
        picture = output / "moving_features.png" if seed == seeds[0] else None
        settings = tuple(dims), steps
        rows += kept(output, f"seed {seed}", settings, _of_seed, seed, dims, steps, picture)
    claims = [
        (f"the kernel aligns with the target, {name}", name, "no bottleneck")
        for name in (f"d={d}" for d in dims)
    ]
    means = {
        name: [
            statistics.interval(list(statistics.values(rows, name, f"growth_{when}").values()))
            for when in ("start", "end")
        ]
        for name in dict.fromkeys(r.arm for r in rows)
    }
    notes = [
        "alignment_drop: alignment y.Theta y / (|y|^2 |Theta|_F) of Theta_F before training less "
        f"that after {steps} steps; below 0 it has risen. {POINTS} points, scale {SCALE}, "
        f"learning rate {RATE} N / lambda_max without a bottleneck, for all.",
        "Mean of the diagonal of Theta_g J J^T, before and after: "
        + "; ".join(f"{name} {a} and {b}" for name, (a, b) in means.items() if a.mean)
        + ".",
    ]
    print(study.report("bottleneck-features", rows, "alignment_drop", output, claims, notes))
    return rows


def _of_seed(seed: int, dims: Sequence[int], steps: int, picture: Path | None) -> list[Row]:
    rows = []
    task = Task(teacher([POINTS], INPUTS, SCALE, seed))
    baseline = task.baseline().problem
    rate = RATE / largest(baseline, baseline.start())
    arms: dict[str, KernelDescent | Hybrid] = {"no bottleneck": baseline}
    arms |= {f"d={d}": task.network(d, seed).problem for d in dims}
    arms[f"d={dims[1]}, z frozen"] = task.network(dims[1], seed, frozen=True).problem
    for name, problem in arms.items():
        start, noted = time.monotonic(), {}
        ended = descend(
            problem,
            steps,
            learning_rate=rate,
            look_every=5,
            note=_points(problem),
            note_every=max(steps // 4, 1),
        )
        for when, state in (("start", problem.start()), ("end", ended.state)):
            for key, value in measure(problem, state).items():
                noted[f"{key}_{when}"] = value
        noted["alignment_drop"] = noted["alignment_start"] - noted["alignment_end"]
        noted["loss_end"] = float(ended.losses[-1] / ended.losses[0])
        rows.append(Row(name, seed, metrics=noted, seconds=time.monotonic() - start))
        if picture is not None and name == f"d={dims[0]}":
            labels = np.sign(ops.convert_to_numpy(problem.y)[:, 0])
            moving_points(ended.noted, labels, picture)
    print(f"features: seed {seed}", flush=True)
    return rows


def _points(problem: Hybrid | KernelDescent) -> Callable[[int, State], np.ndarray] | None:
    """The `note` of `descend`: the bottleneck's values, if there is a bottleneck."""
    if not isinstance(problem, Hybrid):
        return None
    return lambda step, state: ops.convert_to_numpy(problem.features(state))


def measure(problem: Hybrid | KernelDescent, state: Any) -> dict[str, float]:
    """Alignment of Theta_F with the target, and mean diagonal of Theta_g J J^T (one output)."""
    y = problem.y
    if isinstance(problem, Hybrid):
        kernel = ops.reshape(problem.kernel(state), (len(y), len(y)))
        jacobian = problem.at(state).jacobian()[:, 0]
        growth = ops.diagonal(problem.theta) * ops.sum(ops.square(jacobian), -1)
        growth = 0.0 if problem.frozen else float(ops.mean(growth))
    else:
        kernel, growth = problem.theta, 0.0
    aligned = ops.sum(y * ops.matmul(kernel, y)) / (ops.norm(y) ** 2 * ops.norm(kernel))
    return {"alignment": float(aligned), "growth": growth}
