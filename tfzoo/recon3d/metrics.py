"""Metrics of reconstructions: volumetric IoU, Chamfer-L1, F-score, normal consistency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import keras
import numpy as np
from annotated_types import Gt, Lt
from keras import ops
from typing_extensions import override

from tfzoo.errors import InputError
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import trimesh


SURFACE = 100_000
"""Number of points per surface, as in Occupancy Networks."""


@serializable("recon3d")
class OccupancyIoU(keras.metrics.Metric):
    """Mean over shapes of |A and B| / |A or B| on sampled points; 1 where both are empty.

    Args:
        threshold: probability from which a point counts as inside; predictions are logits.
        name: name of the metric.
        dtype: dtype of its state.
    """

    def __init__(
        self,
        threshold: Annotated[float, Gt(0), Lt(1)] = 0.5,
        name: str = "iou",
        dtype: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.threshold, self._level = threshold, float(np.log(threshold / (1 - threshold)))
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds shapes: occupancies and logits [B, N]."""
        a = ops.cast(y_true, "float32") > 0.5
        b = ops.cast(y_pred, "float32") > self._level
        both = ops.sum(ops.cast(ops.logical_and(a, b), "float32"), axis=-1)
        either = ops.sum(ops.cast(ops.logical_or(a, b), "float32"), axis=-1)
        value = ops.where(either > 0, both / ops.maximum(either, 1.0), 1.0)
        self.total.assign_add(ops.sum(value))
        self.count.assign_add(ops.cast(ops.size(value), "float32"))

    @override
    def result(self) -> Tensor:
        return self.total / ops.maximum(self.count, 1.0)

    @override
    def reset_state(self) -> None:
        self.total.assign(0.0)
        self.count.assign(0.0)


def volumetric_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|A and B| / |A or B| over the last axis of booleans; 1 where both are empty."""
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    both, either = (a & b).sum(-1), (a | b).sum(-1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def surface_metrics(
    reconstructed: np.ndarray,
    truth: np.ndarray,
    reconstructed_normals: np.ndarray | None = None,
    truth_normals: np.ndarray | None = None,
    tolerance: float = 0.01,
) -> dict[str, float]:
    """Distances between two surfaces, from points drawn on them.

    `chamfer_l1` is the mean of accuracy and completeness, each a mean distance (not squared) to the
    nearest point of the other; `f_score` 2 P R / (P + R), with P and R the fractions within
    `tolerance` (1 % of the unit cube's side); `normal_consistency` the mean |n . n'| at nearest
    points, in both directions.

    Args:
        reconstructed: [N, 3].
        truth: [M, 3].
        reconstructed_normals: unit, [N, 3].
        truth_normals: unit, [M, 3].
        tolerance: tolerance of the F-score.

    Raises:
        InputError: no points on a side.
    """
    from scipy.spatial import cKDTree

    for name, points in (("reconstructed", reconstructed), ("truth", truth)):
        if not len(points):
            raise InputError(f"{name}: has no points, must have at least 1")
    accuracy, nearest = cKDTree(truth).query(reconstructed)
    completeness, back = cKDTree(reconstructed).query(truth)
    p, r = float((accuracy <= tolerance).mean()), float((completeness <= tolerance).mean())
    result = {
        "chamfer_l1": float(accuracy.mean() + completeness.mean()) / 2,
        "f_score": 2 * p * r / (p + r) if p + r > 0 else 0.0,
    }
    if reconstructed_normals is not None and truth_normals is not None:
        one = np.abs((reconstructed_normals * truth_normals[nearest]).sum(-1)).mean()
        two = np.abs((truth_normals * reconstructed_normals[back]).sum(-1)).mean()
        result["normal_consistency"] = float(one + two) / 2
    return result


def mesh_metrics(
    mesh: trimesh.Trimesh,
    surface: np.ndarray,
    normals: np.ndarray,
    count: int = SURFACE,
    seed: int = 0,
) -> dict[str, float]:
    """`surface_metrics` of a trimesh against points of the true surface.

    Both sides should have as many points as in Occupancy Networks: fewer bound the distance from
    below and the F-score from above, as `surface_metrics` of two halves of the truth shows.
    """
    import trimesh

    points, faces = trimesh.sample.sample_surface(mesh, count, seed=seed)
    return surface_metrics(np.asarray(points), surface, mesh.face_normals[faces], normals)
