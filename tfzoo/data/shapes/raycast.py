"""Renders signed distance fields by sphere tracing on the CPU, and samples surface points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Field = Callable[[np.ndarray], np.ndarray]
"""Maps points [N, 3] to signed distances [N], or to lower bounds with the right sign."""


class Body:
    """A solid: its `Field`, its interior and its surface."""

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Signed distances of points [N, 3], or bounds of them: see `Field`."""
        raise NotImplementedError

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which points [N, 3] are inside: bool [N]."""
        return self(points) < 0

    def surface(self, count: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform over the whole surface, and outward normals; see the function.

        Returns: Two arrays float32 [count, 3].
        """
        return surface_points(self, count, rng)


BALL = 0.9
"""Radius around the origin that contains every solid: half a unit cube's diagonal and a margin."""

HIT = 1e-3
_STEPS, _SMALL = 64, 1e-4


def camera_rays(cameras: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres [V, 3] and unit directions [V, S S, 3] through the pixels' centres, row by row.

    Args:
        cameras: [V, 3, 7], see `tfzoo.data.shapes.cameras`.
        size: S.
    """
    k, r, t = cameras[..., :3], cameras[..., 3:6], cameras[..., 6]
    axis = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    homogeneous = np.concatenate([pixels, np.ones((len(pixels), 1))], -1)
    seen = np.einsum("vij,nj->vni", np.linalg.inv(k), homogeneous)
    seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
    return -np.einsum("vji,vj->vi", r, t), seen @ r


def trace(field: Field, starts: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """Distance along each ray to the surface, infinity where it misses: float32 [N].

    Args:
        field: see `Field`; nothing lies outside the ball of radius `BALL`.
        starts: [N, 3].
        ways: unit directions [N, 3].
    """
    starts, ways = starts.astype(np.float32), ways.astype(np.float32)
    middle = -(starts * ways).sum(-1)
    inside = BALL**2 - (starts * starts).sum(-1) + middle**2
    half = np.sqrt(np.maximum(inside, 0))
    far = np.full(len(starts), np.inf, np.float32)
    alive = np.flatnonzero((inside > 0) & (middle + half > 0))
    t = np.maximum(middle - half, 0)[alive]
    for _ in range(_STEPS):
        if not len(alive):
            break
        d = field(starts[alive] + t[:, None] * ways[alive])
        hit = d < HIT
        far[alive[hit]] = (t + d)[hit]
        t = t + d
        stay = ~hit & (t < (middle + half)[alive])
        alive, t = alive[stay], t[stay]
    return far


def normals(field: Field, points: np.ndarray, step: float = 2e-3) -> np.ndarray:
    """Outward unit normals [N, 3], by finite differences at a tetrahedron's corners."""
    corners = np.array([[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [1, 1, 1]], np.float32)
    values = [field(points + step * c)[:, None] * c for c in corners]
    total = np.sum(values, axis=0)
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def render(
    field: Field,
    cameras: np.ndarray,
    size: int,
    albedo: tuple[float, float, float] = (0.7, 0.7, 0.7),
    light: tuple[float, float, float] = (0.4, 0.8, 0.45),
) -> tuple[np.ndarray, np.ndarray]:
    """Views of a field, Lambert-shaded on white, and their depths.

    A surface has 0.35 + 0.65 max(n . l, 0) of its albedo, at most 240 of 255; white is background.

    Args:
        field: see `Field`.
        cameras: [V, 3, 7].
        size: S of the images.
        albedo: albedo of the surface.
        light: the direction towards the light.

    Returns:
        images uint8 [V, S, S, 3], depths float32 [V, S, S] along the camera's z, infinite on the
        background.
    """
    cameras = np.asarray(cameras, np.float64)
    centres, ways = camera_rays(cameras, size)
    starts = np.repeat(centres, ways.shape[1], 0)
    flat = ways.reshape(-1, 3)
    far = trace(field, starts, flat)
    seen = np.isfinite(far)
    points = (starts[seen] + far[seen, None] * flat[seen]).astype(np.float32)
    to_light = np.asarray(light) / np.linalg.norm(light)
    shade = 0.35 + 0.65 * np.maximum(normals(field, points) @ to_light, 0)
    images = np.full((len(flat), 3), 255, np.uint8)
    images[seen] = np.clip(240 * shade[:, None] * np.asarray(albedo), 0, 240).astype(np.uint8)
    depths = np.full(len(flat), np.inf, np.float32)
    forward = np.repeat(cameras[:, 2, 3:6], ways.shape[1], 0)
    depths[seen] = far[seen] * (flat[seen] * forward[seen]).sum(-1)
    shape = (len(cameras), size, size)
    return images.reshape(*shape, 3), depths.reshape(shape)


def surface_points(
    field: Field, count: int, rng: np.random.RandomState, bound: float = BALL
) -> tuple[np.ndarray, np.ndarray]:
    """Points uniform over the area of the whole surface, and their normals.

    Intersections of uniformly random lines through a ball with the surface, inner walls included,
    are uniform over its area (Crofton).

    Args:
        field: see `Field`; not empty.
        count: number of points.
        rng: source of randomness.
        bound: radius of the ball.

    Returns: Two arrays float32 [count, 3].

    Raises:
        ValueError: 100,000 lines miss the surface.
    """
    crossings, have, drawn = [], 0, 0
    while have < count:
        lines = 4000
        way = rng.normal(size=(lines, 3))
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        side = np.cross(way, rng.normal(size=(lines, 3)))
        side /= np.linalg.norm(side, axis=-1, keepdims=True)
        radius = bound * np.sqrt(rng.uniform(size=(lines, 1)))
        crossings.append(_crossings(field, radius * side - bound * way, way, 2 * bound))
        have, drawn = have + len(crossings[-1]), drawn + lines
        if have == 0 and drawn >= 100_000:
            raise ValueError("field: has no surface, must be negative somewhere")
    points = np.concatenate(crossings)
    points = points[rng.permutation(len(points))[:count]].astype(np.float32)
    return points, normals(field, points).astype(np.float32)


def _crossings(field: Field, starts: np.ndarray, ways: np.ndarray, length: float) -> np.ndarray:
    """All points where lines cross the surface, in steps no longer than the distance allows."""
    starts, ways = starts.astype(np.float32), ways.astype(np.float32)
    alive, t = np.arange(len(starts)), np.zeros(len(starts), np.float32)
    before, crossings = field(starts), []
    while len(alive):
        step = np.maximum(np.abs(before), 5e-3)
        after = field(starts[alive] + (t + step)[:, None] * ways[alive])
        cross = (before < 0) != (after < 0)
        if cross.any():
            lines = alive[cross]
            low, high, sign = t[cross], (t + step)[cross], before[cross] < 0
            for _ in range(7):  # bisects 5e-3 seven times
                middle = (low + high) / 2
                same = (field(starts[lines] + middle[:, None] * ways[lines]) < 0) == sign
                low, high = np.where(same, middle, low), np.where(same, high, middle)
            crossings.append(starts[lines] + ((low + high) / 2)[:, None] * ways[lines])
        t = t + step
        stay = t < length
        alive, t, before = alive[stay], t[stay], after[stay]
    return np.concatenate(crossings) if crossings else np.zeros((0, 3), np.float32)
