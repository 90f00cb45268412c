"""The visual hull: a shape from silhouettes alone, without learning."""

from __future__ import annotations

import numpy as np

from tfzoo.data.shapes.cameras import projected

WHITE = 255


def visual_hull(images: np.ndarray, cameras: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Whether points are behind the silhouette in every view that has them in its image.

    Args:
        images: raw pixels [V, S, S, 3] on white.
        cameras: [V, 3, 7].
        points: [N, 3].

    Returns:
        bool [N].
    """
    size = images.shape[1]
    masks = np.any(np.asarray(images) < WHITE, -1)
    pixels, depth = projected(np.asarray(cameras, np.float64), points)
    inside = np.ones(len(points), bool)
    for mask, at, z in zip(masks, pixels, depth, strict=True):
        cell = np.floor(at).astype(int)
        seen = (z > 0) & (cell >= 0).all(-1) & (cell < size).all(-1)
        cell = np.clip(cell, 0, size - 1)
        inside &= ~seen | mask[cell[:, 1], cell[:, 0]]
    return inside
