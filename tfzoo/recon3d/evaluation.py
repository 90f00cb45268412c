"""Evaluates a trained network on unseen shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfzoo.data.shapes.cameras import turned
from tfzoo.data.shapes.posed import PosedShapes
from tfzoo.errors import InputError
from tfzoo.recon3d.hull import visual_hull
from tfzoo.recon3d.meshes import logit
from tfzoo.recon3d.metrics import SURFACE, mesh_metrics, surface_metrics, volumetric_iou
from tfzoo.recon3d.model import OccupancyReconstructor

BATCH = 8


def logits_of(model: OccupancyReconstructor, arrays: dict, views: int) -> np.ndarray:
    """Logits [M, P] from the first views of `PosedShapes.arrays`."""
    logits = []
    for i in range(0, len(arrays["points"]), BATCH):
        part = slice(i, i + BATCH)
        field = model.field(arrays["images"][part, :views], arrays["cameras"][part, :views])
        logits.append(field(arrays["points"][part]))
    return np.concatenate(logits)


def choose_threshold(
    model: OccupancyReconstructor, arrays: dict, views: int, thresholds: Sequence[float]
) -> float:
    """The probability threshold with the best mean IoU on validation shapes."""
    logits, truth = logits_of(model, arrays, views), arrays["occupancies"] > 0.5
    scores = [volumetric_iou(logits > logit(t), truth).mean() for t in thresholds]
    return float(thresholds[int(np.argmax(scores))])


def of_split(
    model: OccupancyReconstructor, shapes: PosedShapes, views: Sequence[int], name: str
) -> dict[str, float]:
    """Mean IoU over shapes, `<name>_<views>` for each number of views, and of the visual hull.

    Uses the model's threshold; for the last number of views also 0.5, and the mean over categories
    (`_by_category`).
    """
    arrays = shapes.arrays(max(views))
    truth, metrics = arrays["occupancies"] > 0.5, {}
    for v in views:
        logits = logits_of(model, arrays, v)
        iou = volumetric_iou(logits > logit(model.threshold), truth)
        metrics[f"{name}_{v}"] = iou.mean()
        if v == views[-1]:
            kinds = np.unique(shapes.labels)
            means = [iou[shapes.labels == k].mean() for k in kinds]
            metrics[f"{name}_by_category"] = np.mean(means)
            metrics[f"{name}_at_half"] = volumetric_iou(logits > 0, truth).mean()
        hull = [
            visual_hull(a[:v], c[:v], p)
            for a, c, p in zip(arrays["images"], arrays["cameras"], arrays["points"], strict=True)
        ]
        metrics[f"hull_{name}_{v}"] = volumetric_iou(np.stack(hull), truth).mean()
    return {key: float(value) for key, value in metrics.items()}


def of_gauge(
    model: OccupancyReconstructor, shapes: PosedShapes, views: Sequence[int], seed: int = 0
) -> dict[str, float]:
    """Mean IoU on the same shapes in randomly rotated worlds, with identical images.

    `gauge_<views>`; any loss relative to the split's own figure was learnt from the objects' pose
    in the world. `gauge_change` is the largest change of a probability.
    """
    arrays = shapes.arrays(max(views))
    truth, rng = arrays["occupancies"] > 0.5, np.random.default_rng(seed)
    moved = dict(arrays)
    pairs = [
        turned(c, p, random_rotation(rng))
        for c, p in zip(arrays["cameras"], arrays["points"], strict=True)
    ]
    for name, values in zip(("cameras", "points"), zip(*pairs, strict=True), strict=True):
        moved[name] = np.stack(values).astype(np.float32)
    metrics, change = {}, 0.0
    for v in views:
        logits = logits_of(model, moved, v)
        iou = volumetric_iou(logits > logit(model.threshold), truth)
        metrics[f"gauge_{v}"] = float(iou.mean())
        plain = logits_of(model, arrays, v)
        sigmoid = [1 / (1 + np.exp(-x.astype(np.float64))) for x in (logits, plain)]
        change = max(change, float(np.abs(sigmoid[0] - sigmoid[1]).max()))
    return metrics | {"gauge_change": change}


def of_meshes(
    model: OccupancyReconstructor,
    shapes: PosedShapes,
    views: int,
    count: int,
    resolution: int,
    name: str,
) -> dict[str, float]:
    """Mean surface metrics of the first shapes' meshes; `<name>_meshes` is how many have a surface.

    Uses `SURFACE` points each way. `<name>_<metric>_ceiling` is the score of the truth against
    other points of itself. Fields without a surface only affect `<name>_meshes`.
    """

    arrays, rows = shapes.take(np.arange(min(count, len(shapes)))).arrays(views, 1), []
    for i in range(len(arrays["images"])):
        try:
            mesh = model.reconstruct(arrays["images"][i], arrays["cameras"][i], resolution)
        except InputError:
            continue
        truth = shapes.surface_of(i, 2 * SURFACE)
        half = min(SURFACE, len(truth[0]) // 2)
        (a, na), (b, nb) = (tuple(part[s] for part in truth) for s in (np.s_[:half], np.s_[half:]))
        best = surface_metrics(b, a, nb, na)
        row = mesh_metrics(mesh, a, na, half)
        rows.append(row | {f"{key}_ceiling": value for key, value in best.items()})
    metrics = {f"{name}_{k}": float(np.mean([r[k] for r in rows])) for k in (rows or [{}])[0]}
    return metrics | {f"{name}_meshes": float(len(rows))}


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A uniformly random rotation [3, 3]."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diagonal(r))
    return q if np.linalg.det(q) > 0 else q[:, [1, 0, 2]]
