"""A check of monitoring: a GAN trained on only 200 images is closer to them than to others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfzoo.afv.experiments import plots
from tfzoo.afv.experiments.tasks import Task
from tfzoo.afv.experiments.training import Scale, train
from tfzoo.experiments import study
from tfzoo.experiments.statistics import Row

SEEN = 200


def run(task: Task, seeds: Sequence[int], scale: Scale, output: Path) -> list[Row]:
    """Trains on `SEEN` images; returns by step their distance and that of as many held-out ones."""
    rows, curves = [], {}
    for seed in seeds:
        seen, _ = task.labelled(SEEN, seed)
        sets = {"train": seen, "test": task.test[0][:SEEN]}
        _, curve, seconds = train(
            seen, sets, scale, seed, output / "gans", f"{task.name}-seen{SEEN}-seed{seed}"
        )
        curves[seed] = curve
        end = curve[-1]
        for arm in ("train", "test"):
            metrics = {"distance": end[f"distance_{arm}"], "floor": end["floor"]}
            rows.append(Row(f"{arm} images", seed, metrics=metrics, seconds=seconds))
    plots.monitoring(curves, output / "overfit.png", f"{task.name}, {SEEN} training images")
    gaps = {
        seed: [row["distance_test"] - row["distance_train"] for row in curve[1:]]
        for seed, curve in curves.items()
    }
    notes = [
        f"{task.name}: GAN of width {scale.width}, {scale.steps:,} steps on {SEEN} images; squared "
        f"Fisher distance from the model of these and of {SEEN} test images at the end. "
        + " ".join(
            f"Seed {seed}: test less train {gap[0]:.3g} at first, {gap[-1]:.3g} at the end."
            for seed, gap in gaps.items()
        )
    ]
    claims = [("seen images are nearer than others", "train images", "test images")]
    extra = {"curves": curves}
    name = f"afv-overfit-{task.name}"
    print(study.report(name, rows, "distance", output, claims, notes, extra))
    return rows
