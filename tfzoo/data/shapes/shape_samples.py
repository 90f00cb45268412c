"""What a solid gives for training and judging: views, occupancies, surface points."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes import raycast

VIEWS, SIZE = 8, 64
UNIFORM, NEAR = 4096, 2048
"""Points drawn evenly from the cube, and points near the surface."""

SURFACE = 2048
BOUND = 0.55
NEAR_SURFACE = 0.03
"""Deviation of the points near the surface from it, along each axis."""

DISTANCES, ELEVATIONS = (1.6, 1.9), (5.0, 45.0)
FOCAL = 35 / 32
"""Lens over sensor, in image widths, as in 3D-R2N2's renderings."""


def random_cameras(count: int, size: int, rng: np.random.RandomState) -> np.ndarray:
    """Cameras [count, 3, 7] around the origin, somewhat above, all looking at it."""
    return np.stack(
        [
            pinhole.orbit(
                rng.uniform(0, 360),
                rng.uniform(*ELEVATIONS),
                rng.uniform(*DISTANCES),
                FOCAL * size,
                size,
            )
            for _ in range(count)
        ]
    )


def sample_shape(
    field: raycast.Field, rng: np.random.RandomState, views: int = VIEWS, size: int = SIZE
) -> dict[str, Any]:
    """Views and samples of one solid within the unit cube.

    Args:
        field: signed distances, or bounds of them.
        rng: draws cameras, colour, light and points.
        views: number of them.
        size: S of the images.

    Returns:
        images uint8 [V, S, S, 3], cameras float32 [V, 3, 7], points float32 [P, 3] of which the
        first `UNIFORM` are drawn evenly and the others near the surface, occupancies bool [P],
        surface and normals float32 [`SURFACE`, 3].
    """
    cameras = random_cameras(views, size, rng)
    albedo = tuple(rng.uniform(0.35, 1.0, 3))
    light = rng.normal(size=3) * 0.5 + [0, 1, 0]
    images, _ = raycast.render(field, cameras, size, albedo, tuple(light))
    surface, normals = raycast.surface_points(field, max(SURFACE, NEAR), rng)
    near = surface[:NEAR] + NEAR_SURFACE * rng.normal(size=(NEAR, 3))
    near = np.clip(near, -BOUND, BOUND)
    points = np.concatenate([rng.uniform(-BOUND, BOUND, (UNIFORM, 3)), near]).astype(np.float32)
    return {
        "images": images,
        "cameras": cameras.astype(np.float32),
        "points": points,
        "occupancies": field(points) < 0,
        "surface": surface[:SURFACE],
        "normals": normals[:SURFACE],
    }
