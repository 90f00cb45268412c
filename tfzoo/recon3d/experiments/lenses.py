"""The package weight with lenses and distances that it was not trained on.

Objects that look nearly alike through a long lens from afar must be reconstructed alike. Compares
the weight with `facing` points, the paper's `camera` points, and the visual hull.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tfzoo import zoo
from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import raycast
from tfzoo.data.shapes.solid_kinds import SEEN, UNSEEN, make_solid
from tfzoo.experiments import study
from tfzoo.experiments.statistics import Row
from tfzoo.recon3d.hull import visual_hull
from tfzoo.recon3d.meshes import logit
from tfzoo.recon3d.metrics import volumetric_iou
from tfzoo.recon3d.model import OccupancyReconstructor

WEIGHT = "recon3d/solids"
LENSES = [(51.2, 1.28), (60, 1.5), (70, 1.75), (80, 2.0), (100, 2.5), (140, 3.5), (160, 4.0)]
LENSES += [(256, 6.4)]
"""Focal length in pixels for images of `SIZE`, and mean distance of the camera."""
SIZE = 64
VIEWS, POINTS = 3, 4096
EACH = {"seen": (SEEN, 5), "unseen": (UNSEEN, 3)}
"""Categories, and shapes of each; none is in a split of `tfzoo_solids`."""


def run(output: Path) -> list[Row]:
    """IoU by lens for both forms of points and the hull, as a table."""
    facing = zoo.load(WEIGHT, compile=False)
    config = facing.get_config() | {"points": "camera", "camera_ranges": None}
    camera = OccupancyReconstructor.from_config(config)
    camera.set_weights(facing.get_weights())
    rows = []
    for focal, distance in LENSES:
        start = time.monotonic()
        scores = _scores({"facing": facing, "camera": camera}, focal, distance)
        lens = f"focal {focal / SIZE:.2f}, distance {distance:g}"
        seconds = (time.monotonic() - start) / len(scores)
        rows += [
            Row(f"{name}, {lens}", 0, metrics=values, seconds=seconds)
            for name, values in scores.items()
        ]
    counts = ", ".join(f"{n * len(kinds)} {split}" for split, (kinds, n) in EACH.items())
    note = (
        f"`{WEIGHT}`, {VIEWS} views, {counts} shapes, {POINTS} points each, its threshold. "
        "Focal lengths in image widths; each camera's distance is .91 to 1.09 of the mean."
    )
    table = ["| IoU | seen | unseen |", "|---|---|---|"]
    table += [f"| {r.arm} | {r.metrics['seen']:.3f} | {r.metrics['unseen']:.3f} |" for r in rows]
    notes = [*table, "", note]
    print(study.report("recon3d lenses", rows, "unseen", output, notes=notes))
    return rows


def _scores(
    models: dict[str, OccupancyReconstructor], focal: float, distance: float
) -> dict[str, dict[str, float]]:
    """Mean IoU on seen and unseen categories, by model, and of the hull."""
    scores: dict[str, dict[str, float]] = {name: {} for name in (*models, "visual hull")}
    for split, (kinds, count) in EACH.items():
        values: dict[str, list[float]] = {name: [] for name in scores}
        for kind in kinds:
            for number in range(count):
                rng = np.random.RandomState(1000 + number)
                images, cameras, points, truth = _views(kind, focal, distance, rng)
                for name, model in models.items():
                    field = model.field(images[None], cameras[None])
                    inside = field(points[None])[0] > logit(model.threshold)
                    values[name].append(float(volumetric_iou(inside, truth)))
                hull = visual_hull(images, cameras, points)
                values["visual hull"].append(float(volumetric_iou(hull, truth)))
        for name, ious in values.items():
            scores[name][split] = float(np.mean(ious))
    return scores


def _views(
    kind: str, focal: float, distance: float, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images, cameras, points and occupancies of one new shape."""
    solid = make_solid(kind, rng)
    near, far = 1.6 / 1.75, 1.9 / 1.75
    cameras = np.stack(
        [
            pinhole.orbit(
                rng.uniform(0, 360),
                rng.uniform(5, 45),
                distance * rng.uniform(near, far),
                focal,
                SIZE,
            )
            for _ in range(VIEWS)
        ]
    )
    albedo = (rng.uniform(0.35, 1), rng.uniform(0.35, 1), rng.uniform(0.35, 1))
    x, y, z = rng.normal(size=3) * 0.5 + [0, 1, 0]
    images, _ = raycast.render(solid, cameras, SIZE, albedo, (x, y, z))
    points = rng.uniform(-0.55, 0.55, (POINTS, 3)).astype("float32")
    return images.astype("float32"), cameras.astype("float32"), points, solid(points) < 0
