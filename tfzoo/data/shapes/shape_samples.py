"""Samples of a solid for training and evaluation: views, occupancies, surface points."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import raycast

VIEWS, SIZE = 8, 64
UNIFORM, NEAR = 4096, 2048
"""Number of points drawn uniformly from the cube, and of points near the surface."""

SURFACE = 2048
BOUND = 0.55
NEAR_SURFACE = 0.03
"""Standard deviation of the points near the surface, along each axis."""


def sample_shape(
    solid: raycast.Body,
    rng: np.random.RandomState,
    views: int = VIEWS,
    size: int = SIZE,
    ranges: pinhole.CameraRanges = pinhole.R2N2_LIKE,
) -> dict[str, Any]:
    """Views and samples of one solid within the unit cube.

    Args:
        solid: the solid, within the cube.
        rng: draws cameras, colour, light and points.
        views: number of views.
        size: side S of the images.
        ranges: the ranges of the cameras.

    Returns:
        images uint8 [V, S, S, 3], cameras float32 [V, 3, 7], points float32 [P, 3] of which the
        first `UNIFORM` are uniform and the others near the surface, occupancies bool [P], surface
        and normals float32 [`SURFACE`, 3].
    """
    cameras = ranges.draw(views, size, rng)
    albedo = tuple(rng.uniform(0.35, 1.0, 3))
    light = rng.normal(size=3) * 0.5 + [0, 1, 0]
    images, _ = raycast.render(solid, cameras, size, albedo, tuple(light))
    surface, normals = solid.surface(max(SURFACE, NEAR), rng)
    near = surface[:NEAR] + NEAR_SURFACE * rng.normal(size=(NEAR, 3))
    near = np.clip(near, -BOUND, BOUND)
    points = np.concatenate([rng.uniform(-BOUND, BOUND, (UNIFORM, 3)), near]).astype(np.float32)
    return {
        "images": images,
        "cameras": cameras.astype(np.float32),
        "points": points,
        "occupancies": solid.inside(points),
        "surface": surface[:SURFACE],
        "normals": normals[:SURFACE],
    }
