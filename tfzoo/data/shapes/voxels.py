"""Procedural furniture as voxels, rendered by casting parallel rays."""

from __future__ import annotations

import functools

import numpy as np

COUNTS = {"train": 3000, "validation": 400, "test": 400}
"""Shapes of `tfzoo_shapes_views`."""
SIDE = 16
"""Voxels along each axis, and pixels along each side of a view."""

AZIMUTHS = 24
ELEVATION = 30.0
"""Elevation of every view, in degrees above the horizon."""

KINDS = ("chair", "table", "lamp")
_STEP = 0.5  # distance of a ray's samples in voxels
_NEAR, _FAR = 255, 95  # grey of the nearest and farthest voxel that a ray can hit


def furniture(kind: str, rng: np.random.RandomState) -> np.ndarray:
    """A random shape, bool [SIDE, SIDE, SIDE] over x, y, z with z up.

    Args:
        kind: one of `KINDS`.
        rng: draws the sizes.
    """
    grid = np.zeros((SIDE,) * 3, bool)
    {"chair": _chair, "table": _table, "lamp": _lamp}[kind](grid, rng)
    return grid


def _span(width: int) -> slice:
    """A span of that width at the centre of an axis."""
    start = (SIDE - width) // 2
    return slice(start, start + width)


def _legs(grid: np.ndarray, x: slice, y: slice, height: int, rng: np.random.RandomState) -> None:
    """Four legs or one post, from the floor to `height`."""
    thick = rng.randint(1, 3)
    if rng.rand() < 0.35:
        middle = _span(2 * thick)
        grid[middle, middle, :height] = True
        foot = _span(rng.randint(4, 2 + max(3, x.stop - x.start)))
        grid[foot, foot, :1] = True
        return
    for xs in (slice(x.start, x.start + thick), slice(x.stop - thick, x.stop)):
        for ys in (slice(y.start, y.start + thick), slice(y.stop - thick, y.stop)):
            grid[xs, ys, :height] = True


def _chair(grid: np.ndarray, rng: np.random.RandomState) -> None:
    x, y = _span(rng.randint(6, 13)), _span(rng.randint(6, 13))
    seat, thick = rng.randint(4, 8), rng.randint(1, 3)
    top = seat + thick
    grid[x, y, seat:top] = True
    _legs(grid, x, y, seat, rng)
    back, deep = rng.randint(3, SIDE - top + 1), rng.randint(1, 3)
    if rng.rand() < 0.5:
        grid[x, y.stop - deep : y.stop, top : top + back] = True
    else:  # two posts and a rail
        for xs in (slice(x.start, x.start + 1), slice(x.stop - 1, x.stop)):
            grid[xs, y.stop - deep : y.stop, top : top + back] = True
        grid[x, y.stop - deep : y.stop, top + back - rng.randint(1, 3) : top + back] = True
    if rng.rand() < 0.4:
        arm = top + rng.randint(1, 4)
        for xs in (slice(x.start, x.start + 1), slice(x.stop - 1, x.stop)):
            grid[xs, y, min(arm, SIDE - 1)] = True
            grid[xs, y.start, top:arm] = True


def _table(grid: np.ndarray, rng: np.random.RandomState) -> None:
    x, y = _span(rng.randint(7, 17)), _span(rng.randint(6, 17))
    height, thick = rng.randint(5, 13), rng.randint(1, 3)
    grid[x, y, height : height + thick] = True
    _legs(grid, x, y, height, rng)
    if rng.rand() < 0.3:
        grid[x, y, rng.randint(1, max(2, height - 1))] = True


def _lamp(grid: np.ndarray, rng: np.random.RandomState) -> None:
    foot, post = _span(rng.randint(3, 10)), _span(rng.randint(1, 3))
    low = rng.randint(1, 3)
    grid[foot, foot, :low] = True
    shade, tall = rng.randint(4, 12), rng.randint(3, 7)
    bottom = rng.randint(6, SIDE - tall + 1)
    grid[post, post, :bottom] = True
    slope = rng.randint(0, 3)
    for z in range(tall):
        wide = _span(max(2, shade - slope * z // 2))
        grid[wide, wide, bottom + z] = True


@functools.cache
def _rays(elevation: float) -> tuple[np.ndarray, np.ndarray]:
    """The voxels along each ray as flat indices [views, pixels, steps], and the steps' depths.

    Voxels outside the grid have the index SIDE^3.
    """
    middle, reach = (SIDE - 1) / 2, SIDE * 0.9
    across = np.arange(SIDE) - middle
    depth = np.arange(-reach, reach + _STEP, _STEP)
    tilt = np.deg2rad(elevation)
    rays = []
    for turn in 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS:
        right = np.array([-np.sin(turn), np.cos(turn), 0])
        forward = -np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), 0])
        forward[2] = -np.sin(tilt)
        up = np.cross(right, forward)
        pixels = across[None, :, None] * right - across[:, None, None] * up  # rows from the top
        points = pixels.reshape(-1, 1, 3) + depth[None, :, None] * forward + middle
        index = np.rint(points).astype(int)
        inside = ((index >= 0) & (index < SIDE)).all(-1)
        flat = (index[..., 0] * SIDE + index[..., 1]) * SIDE + index[..., 2]
        rays.append(np.where(inside, flat, SIDE**3))
    return np.stack(rays).astype(np.int32), depth


def views(grid: np.ndarray, elevation: float = ELEVATION) -> np.ndarray:
    """Orthographic views shaded by depth, uint8 [AZIMUTHS, SIDE, SIDE, 1]; background 0.

    Args:
        grid: bool [SIDE, SIDE, SIDE].
        elevation: elevation of the camera, degrees.
    """
    rays, depth = _rays(elevation)
    hit = np.append(grid.reshape(-1), False)[rays]
    first = hit.argmax(-1)
    share = first / (len(depth) - 1)
    grey = np.where(hit.any(-1), _NEAR + (_FAR - _NEAR) * share, 0)
    return np.rint(grey).astype(np.uint8).reshape(AZIMUTHS, SIDE, SIDE, 1)
