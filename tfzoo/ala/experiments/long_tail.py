"""Long-tailed CIFAR-10 at the scale of the paper: arms of the recipe `ala/cifar10_lt`.

Each takes hours; the same command resumes a stopped run exactly where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.experiments import statistics, study
from tfzoo.experiments.statistics import Row
from tfzoo.experiments.study import Arm

RECIPE, METRIC = "ala/cifar10_lt", "balanced_error"
STILL = ["ala.beta=0", "ala.learn=false", "ala.common=false"]
OVERRIDES: dict[str, list[str]] = {
    "CE, momentum": STILL,
    "class-balanced": [*STILL, "ala.effective=0.9999", "ala.warmup_steps=0"],
    "persistent random": ["ala.exploration=1.0", "ala.learn=false"],
    "ALA": [],
}
"""Overrides by arm; all arms have the same numbers of children and steps."""


def run(cifar: str, seeds: Sequence[int], output: Path, overrides: Sequence[str] = ()) -> list[Row]:
    """Trains every arm with every seed and reports them.

    Args:
        cifar: CIFAR-10-JPEG's `.npz`.
        seeds: seeds of the runs.
        output: folder of the study; runs are in `runs` below it.
        overrides: overrides for every arm.
    """
    own = ["data.name=tfzoo_arrays", f"data.path={cifar}", "rare.ratio=100"]
    own += ["model.pixel_mean=120.7", "model.pixel_std=64.1"]
    grid = [Arm(n, RECIPE, [*own, *words, *overrides]) for n, words in OVERRIDES.items()]
    rows = study.run_grid(grid, seeds, output)
    others = [name for name in OVERRIDES if name != "ALA"]
    lines = statistics.against_all(rows, "ALA", others, METRIC)
    note = (
        "Test balanced error (less is better), which of a balanced test split is the plain error. "
        "CIFAR-10-JPEG cut to a long tail of ratio 100, a tenth held out before; ResNet-20."
    )
    print(study.report("ala long_tail", rows, METRIC, output, (), [note, "", *lines]), flush=True)
    return rows
