"""Signed distances of solid bodies, and unions of them with holes; negative inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tfzoo.data.shapes.raycast import Body

_UP = 1  # axis of cylinders, cones and tori


@dataclass(frozen=True)
class Part:
    """One body of `BODIES`, placed.

    Attributes:
        body: name of the body.
        size: see the body's function.
        at: centre of the body.
        turn: rotation [3, 3] of the body; None: none.
    """

    body: str
    size: tuple[float, ...]
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: np.ndarray | None = None

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances [N] of points [N, 3]."""
        local = points - np.asarray(self.at, points.dtype)
        if self.turn is not None:
            local = local @ self.turn.astype(points.dtype)  # rows times R applies R^T to each
        return BODIES[self.body](local, *self.size)

    def reach(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners of the part's bounding box, along the world's axes."""
        half = np.array(_HALVES[self.body](*self.size))
        if self.turn is not None:
            half = np.abs(self.turn) @ half
        return np.asarray(self.at) - half, np.asarray(self.at) + half


@dataclass(frozen=True)
class Solid(Body):
    """A union of parts without its holes, moved and scaled.

    The sign is exact; the distance is exact outside of parts and a lower bound elsewhere.

    Attributes:
        parts: at least one.
        holes: parts that are subtracted.
        shift: subtracted from the parts' coordinates.
        scale: factor on the shifted coordinates.
    """

    parts: tuple[Part, ...]
    holes: tuple[Part, ...] = ()
    shift: np.ndarray = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Signed distances float32 [N] of points [N, 3]."""
        own = np.asarray(points, np.float32) / np.float32(self.scale)
        own = own + self.shift.astype(np.float32)
        distance = self.parts[0].distance(own)
        for part in self.parts[1:]:
            np.minimum(distance, part.distance(own), out=distance)
        for hole in self.holes:
            np.maximum(distance, -hole.distance(own), out=distance)
        return distance * np.float32(self.scale)

    def normalised(self) -> Solid:
        """The same solid, its bounding box centred at the origin with longest side 1."""
        corners = [part.reach() for part in self.parts]
        low = np.min([c[0] for c in corners], 0)
        high = np.max([c[1] for c in corners], 0)
        return Solid(self.parts, self.holes, (low + high) / 2, 1 / float((high - low).max()))


def box(x: np.ndarray, *half: float) -> np.ndarray:
    """A box with three half sides."""
    q = np.abs(x) - np.asarray(half, x.dtype)
    outside = np.sqrt(np.square(np.maximum(q, 0)).sum(-1))
    return outside + np.minimum(q.max(-1), 0)


def sphere(x: np.ndarray, radius: float) -> np.ndarray:
    """A ball about the origin: signed distances [...] of points [..., 3]."""
    return np.sqrt(np.square(x).sum(-1)) - x.dtype.type(radius)


def cylinder(x: np.ndarray, radius: float, half: float) -> np.ndarray:
    """An upright cylinder: radius, half height."""
    return cone(x, radius, radius, half)


def cone(x: np.ndarray, low: float, high: float, half: float) -> np.ndarray:
    """An upright truncated cone: radius at the bottom, radius at the top, half height.

    In the plane of axis and radius it is a trapezium: the distance to caps or slope, whichever is
    nearer.
    """
    r, y = np.hypot(x[..., 0], x[..., 2]), x[..., _UP]
    over = np.abs(y) - half
    beyond = np.maximum(r - np.where(y > 0, high, low), 0)
    cap = np.square(beyond) + np.square(over)
    dr, dy = high - low, 2 * half
    along = np.clip(((r - low) * dr + (y + half) * dy) / (dr * dr + dy * dy), 0, 1)
    slope = np.square(r - low - along * dr) + np.square(y + half - along * dy)
    within = (over < 0) & ((r - low) * dy < (y + half) * dr)
    return (np.where(within, -1, 1) * np.sqrt(np.minimum(cap, slope))).astype(x.dtype)


def capsule(x: np.ndarray, radius: float, half: float) -> np.ndarray:
    """An upright rod with round ends: radius, half height of the straight part."""
    y = np.maximum(np.abs(x[..., _UP]) - x.dtype.type(half), 0)
    return np.sqrt(np.square(x[..., 0]) + y * y + np.square(x[..., 2])) - x.dtype.type(radius)


def torus(x: np.ndarray, radius: float, thick: float) -> np.ndarray:
    """A ring lying flat: radius of its centre line, radius of its tube."""
    ring = np.hypot(x[..., 0], x[..., 2]) - x.dtype.type(radius)
    return np.hypot(ring, x[..., _UP]) - x.dtype.type(thick)


BODIES: dict[str, Callable[..., np.ndarray]] = {
    "box": box,
    "sphere": sphere,
    "cylinder": cylinder,
    "cone": cone,
    "capsule": capsule,
    "torus": torus,
}

_HALVES: dict[str, Callable[..., tuple[float, ...]]] = {
    "box": lambda a, b, c: (a, b, c),
    "sphere": lambda r: (r, r, r),
    "cylinder": lambda r, h: (r, h, r),
    "cone": lambda a, b, h: (max(a, b), h, max(a, b)),
    "capsule": lambda r, h: (r, r + h, r),
    "torus": lambda r, t: (r + t, t, r + t),
}
