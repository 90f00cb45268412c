"""Kernel regression on all of MNIST: infinitely wide networks against two plain kernels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from tfzoo.bottleneck.experiments import tasks
from tfzoo.bottleneck.kernels import InfiniteMLP
from tfzoo.bottleneck.regression import KernelRegression
from tfzoo.experiments import study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row
from tfzoo.files import write_csv
from tfzoo.typing import Tensor

SIZES = (1000, 10_000, 60_000)
CHOICE = 10_000
"""Training rows with which settings are chosen; the last rows of the training file validate."""
HELD = 10_000
NOISES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
"""Ridge, relative to the kernel's diagonal."""
SPREAD_ROWS = 100
"""Test rows whose standard deviation is computed."""
MEMORY = 10 * 2**30


@dataclass(frozen=True)
class Radial:
    """exp(-|x - x'| / (b sqrt(n))) (`power` 1, Laplace), or of the squares (2, Gaussian).

    Attributes:
        bandwidth: b.
        power: 1 or 2.
    """

    bandwidth: float
    power: int

    def nngp(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """[N1, n], [N2, n] -> [N1, N2]."""
        x1 = ops.convert_to_tensor(x1)
        x2 = x1 if x2 is None else ops.convert_to_tensor(x2)
        first, second = (ops.mean(ops.square(x), -1) for x in (x1, x2))
        products = ops.matmul(x1, ops.transpose(x2)) / x1.shape[-1]
        distance = ops.maximum(first[:, None] + second[None, :] - 2 * products, 0.0)
        if self.power == 1:
            distance = ops.sqrt(distance)
        return ops.exp(-distance / self.bandwidth**self.power)

    ntk = nngp

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The diagonals of both kernels at x [N, n]: ones, [N] each."""
        ones = ops.ones_like(ops.convert_to_tensor(x)[:, 0])
        return ones, ones


ARMS: dict[str, tuple[tuple[Any, str], ...]] = {
    "NTK": ((InfiniteMLP(3), "ntk"),),
    "NNGP": ((InfiniteMLP(3), "nngp"),),
    "Laplace": tuple((Radial(width, 1), "ntk") for width in (0.5, 1.0, 2.0, 4.0)),
    "Gaussian": tuple((Radial(width, 2), "ntk") for width in (0.35, 0.5, 0.7, 1.0)),
}
"""Kernels to choose from; bandwidths are relative to the length of a row, which is the same."""


def run(output: Path, mnist: str, sizes: Sequence[int] = SIZES) -> list[Row]:
    """Chooses each kernel's settings on validation rows, then reports its test errors by size."""
    x, y, held_x, held_y, test_x, test_y = _data(mnist)
    rows: list[Row] = []
    choices: list[dict[str, Any]] = []
    for name, candidates in ARMS.items():
        scores = kept(
            output,
            f"{name}, choice",
            (candidates, CHOICE, NOISES),
            _choose,
            candidates,
            (x[:CHOICE], y[:CHOICE], held_x, held_y),
        )
        choices += [{"kernel": name, **score} for score in scores]
        best = min(scores, key=lambda score: score["error"])
        kernel, which = candidates[int(best["candidate"])]
        every_x, every_y = np.concatenate([x, held_x]), np.concatenate([y, held_y])
        for size in sizes:
            model = KernelRegression(
                kernel, which=which, noise=best["noise"], rank=min(3000, size // 10), memory=MEMORY
            )
            rows.append(
                kept(
                    output,
                    f"{name}, {size} rows",
                    (kernel, which, best["noise"], size),
                    _measure,
                    f"{name}, {size} rows",
                    model,
                    (every_x[:size], every_y[:size], test_x, test_y),
                    output / f"{name}-{size}.npz",
                )
            )
    write_csv(output / "choice.csv", choices)
    notes = [
        "Regression on one-hot rows of MNIST, rows of one length. Networks have three hidden ReLU "
        f"layers; bandwidth and noise were chosen on the last {HELD:,} training rows after "
        f"training on the first {CHOICE:,} "
        "(`choice.csv`). One draw: nothing but the preconditioner's points is random; the "
        "binomial standard error of an error of .0150 is .0012. Solved to a relative residual of "
        "1e-4."
    ]
    print(study.report("bottleneck-regression", rows, "test_error", output, notes=notes))
    return rows


def _data(mnist: str) -> tuple[np.ndarray, ...]:
    """Float32 rows and one-hot rows, centred: training, validation, test."""
    parts = tasks.mnist(mnist, [60_000 - HELD, HELD, 10_000])
    return tuple(a for x, y in parts for a in (x.astype("float32"), y - y.mean(1, keepdims=True)))


def _error(model: KernelRegression, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(model.predict(x).argmax(1) != y.argmax(1)))


def _choose(candidates: Sequence[tuple[Any, str]], parts: tuple) -> list[dict[str, float]]:
    """Validation errors of all candidates and noises."""
    x, y, held_x, held_y = parts
    scores = []
    for i, (kernel, which) in enumerate(candidates):
        of = ("nngp", "ntk").index(which)
        level = float(np.mean(np.asarray(kernel.diagonal(x[:100])[of])))
        for noise in NOISES:
            model = KernelRegression(
                kernel, which=which, noise=noise * level, rank=1000, memory=2 * 2**30
            )
            model.fit(x, y)
            error = _error(model, held_x, held_y)
            scores.append({"candidate": i, "noise": noise * level, "error": error})
            print(f"{kernel}, {which}, noise {noise:g}: {error:.4f}", flush=True)
    return scores


def _measure(name: str, model: KernelRegression, parts: tuple, checkpoint: Path) -> Row:
    """Fits on all rows and evaluates; the seconds are those of `fit`."""
    x, y, test_x, test_y = parts
    start = time.monotonic()
    model.fit(x, y, checkpoint=checkpoint)
    seconds = time.monotonic() - start
    metrics = {
        "test_error": _error(model, test_x, test_y),
        "iterations": model.iterations,
        "residual": model.residual,
    }
    start = time.monotonic()
    mean, stddev = model.predictive(test_x[:SPREAD_ROWS])
    metrics |= {
        "spread_seconds": time.monotonic() - start,
        "mean_stddev": float(stddev.mean()),
    }
    checkpoint.unlink(missing_ok=True)
    print(f"{name}: {metrics}, {seconds:.0f} s", flush=True)
    return Row(name, 0, metrics=metrics, seconds=seconds)
