"""The linear theory: two rates compared with plain gradient descent, and the conserved quantity."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfzoo.bottleneck.dynamics import conserved, plain_descent, two_rate_descent
from tfzoo.bottleneck.experiments.plots import curves
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row

POINTS, INPUTS, STEPS, RATE = 64, 20, 3000, 0.02
DIMS = (1, 4, 32)
RATES = (2, 3)
"""Weight layers of f and g: one and two hidden layers, as elsewhere in the study."""
FINER = (1, 10)
"""Divisor of the step size for checking the conserved quantity."""
DATA = ("isotropic", "ill-conditioned")
SCALES = (1, 5)


def run(
    seeds: Sequence[int], output: Path, dims: Sequence[int] = DIMS, steps: int = STEPS
) -> list[Row]:
    """Trains linear networks of each d; writes CSV, table, plots and the invariant's drift."""
    rows: list[Row] = []
    paths: dict[tuple[str, int], dict[str, list[np.ndarray]]] = {}
    drifts: dict[int, list[float]] = {finer: [] for finer in FINER}
    for kind in DATA:
        for scale in SCALES:
            for seed in seeds:
                part, settings = f"{kind}, scale {scale}, seed {seed}", (tuple(dims), steps)
                curves_of, moved = kept(
                    output, part, settings, _of_seed, kind, scale, seed, dims, steps
                )
                for name, row, relative in curves_of:
                    rows.append(row)
                    paths.setdefault((kind, scale), {}).setdefault(name, []).append(relative)
                for finer, value in zip(FINER, moved, strict=False):
                    drifts[finer].append(value)
    claims = []
    for kind in DATA:
        for scale in SCALES:
            for dim in dims:
                arm = f"{kind}, scale {scale}, "
                says = f"d={dim} ends lower, {kind}, scale {scale}"
                claims.append((says, f"{arm}d={dim}", f"{arm}no bottleneck"))
    notes = [
        f"log10 of the loss after {steps} steps over that at the start; {POINTS} points in "
        f"{INPUTS} dimensions, linear teacher, learning rate {RATE} N / lambda_max without a "
        "bottleneck; ill-conditioned: standard deviations from 1 down to 0.1."
    ]
    if 4 in dims:
        first, second = (statistics.interval(drifts[k]) for k in FINER)
        notes.append(
            "Largest change of A^T A / c_f - B B^T / c_g over 100 steps' time, relative to its "
            f"start (d=4): {first}; with steps ten times smaller {second}."
        )
    print(study.report("bottleneck-linear", rows, "log10_loss", output, claims, notes))
    for (kind, scale), by_name in paths.items():
        title = f"linear, {kind}, scale {scale}"
        name = f"{kind}-scale{scale}.png"
        curves(by_name, output / name, "loss / loss at the start", title)
    return rows


def _of_seed(
    kind: str, scale: int, seed: int, dims: Sequence[int], steps: int
) -> tuple[list[tuple[str, Row, np.ndarray]], list[float]]:
    """Name, row and relative loss of each arm; for d = 4 also the drifts by `FINER`."""
    x, y = problem(kind, scale, seed)
    top = np.linalg.eigvalsh(x @ x.T).max() / POINTS
    rate = RATE / (sum(RATES) * top)
    plain = plain_descent(x, y, rate=sum(RATES), learning_rate=rate, steps=steps)
    descents, drifts = {"no bottleneck": (plain, 0.0)}, []
    for dim in dims:
        start = time.monotonic()
        a, b = draw(dim, seed)
        path = two_rate_descent(a, b, x, y, rates=RATES, learning_rate=rate, steps=steps)
        descents[f"d={dim}"] = path.losses, time.monotonic() - start
        if dim == 4:
            drifts = [drift(a, b, x, y, rate / finer, 100 * finer) for finer in FINER]
    arms = []
    for name, (losses, seconds) in descents.items():
        relative = losses / losses[0]
        metrics = {"log10_loss": float(np.log10(relative[-1] + 1e-30))}
        row = Row(f"{kind}, scale {scale}, {name}", seed, metrics=metrics, seconds=seconds)
        arms.append((name, row, relative))
    return arms, drifts


def problem(kind: str, scale: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x scaled by 1 / sqrt(d_0), and y = scale x.w of unit variance before `scale`."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(POINTS, INPUTS))
    if kind == "ill-conditioned":
        x = x * np.geomspace(1.0, 0.1, INPUTS)
    y = x @ rng.normal(size=(INPUTS, 1))
    return x / np.sqrt(INPUTS), scale * y / np.std(y)


def draw(dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A_0 [1, d] and B_0 [d, d_0], standard normal."""
    rng = np.random.default_rng(1000 + seed)
    return rng.normal(size=(1, dim)), rng.normal(size=(dim, INPUTS))


def drift(a, b, x, y, rate: float, steps: int) -> float:
    """The change of the conserved quantity relative to its start."""
    start = conserved(a, b, RATES)
    ended = two_rate_descent(a, b, x, y, rates=RATES, learning_rate=rate, steps=steps)
    return float(np.linalg.norm(ended.conserved - start) / np.linalg.norm(start))
