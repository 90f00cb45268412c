"""The videos of `tfzoo_motions` since version 2: each is one slow sweep that never returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfzoo.config import check
from tfzoo.errors import InputError

MOTIONS: tuple[str, ...] = ("left", "right", "up", "down", "clockwise", "counterclockwise")
MOTIONS += ("grow", "shrink", "orbit_clockwise", "orbit_counterclockwise", "stretch", "squash")
SWEEPS = ("x", "y", "tilt", "size", "orbit", "aspect")
_MOVES = {
    "right": ("x", 1), "left": ("x", -1), "down": ("y", 1), "up": ("y", -1),
    "clockwise": ("tilt", 1), "counterclockwise": ("tilt", -1),
    "grow": ("size", 1), "shrink": ("size", -1),
    "orbit_clockwise": ("orbit", 1), "orbit_counterclockwise": ("orbit", -1),
    "stretch": ("aspect", 1), "squash": ("aspect", -1),
}  # fmt: skip
"""The sweep of each motion, and whether it runs forwards."""

FRAMES, SIDE = 64, 28
COUNTS = {"train": 4200, "validation": 240, "test": 480}

_REACH = 1.1  # radius of any shape of size 1
Array = np.ndarray


def make_video(
    motion: str, seed: tuple[int, ...], frames: int = FRAMES, side: int = SIDE
) -> np.ndarray:
    """One video: a textured shape with a marked top moves over a static background.

    Each of six quantities (`SWEEPS`) has a range, drawn for the video; the motion runs through one
    of them once, while the others stay where their sweep would be at some random time. So at a
    random time all six have the same distribution for all motions, and two frames differ more the
    farther apart they are. The shape never touches the border.

    Args:
        motion: one of `MOTIONS`.
        seed: determines everything but the motion: ranges, shape, textures, background, speed.
        frames: how many of the `FRAMES`, from the first.
        side: side of a frame, in pixels.

    Returns:
        uint8 [frames, side, side, 3].

    Raises:
        InputError: an unknown motion, or more frames than there are.
    """
    if motion not in _MOVES:
        raise InputError(f"motion={motion!r}: must be one of {', '.join(MOTIONS)}")
    check(1 <= frames <= FRAMES, "frames", frames, f"from 1 to {FRAMES}")
    random = np.random.RandomState(np.array(seed, np.uint32))  # its stream is frozen by numpy
    path = sweep(motion, random, frames)
    axis = ((np.arange(side) + 0.5) / side).astype("float32")
    y, x = np.meshgrid(axis, axis, indexing="ij")
    ground = _ground(random, x, y)
    shape, texture = SHAPES[random.randint(len(SHAPES))], _Texture(random, 175, 40, 30, 1.0)
    video = np.repeat(ground[None], frames, 0)
    turn = path["orbit"]
    place = [path["x"] + path["radius"] * np.cos(turn), path["y"] + path["radius"] * np.sin(turn)]
    dx, dy = (
        q[None] - p.astype("float32")[:, None, None] for q, p in zip((x, y), place, strict=True)
    )
    cover, u, v = _cover(shape, dx, dy, path["tilt"], path["size"], path["aspect"], side)
    inside = cover > 0
    part = cover[inside][:, None]
    video[inside] += part * (texture(u[inside], v[inside]) - video[inside])
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)


def sweep(motion: str, random: np.random.RandomState, frames: int) -> dict[str, Array]:
    """The six quantities [frames] of a motion, and the orbit's `radius`.

    Positions and sizes in units of the side, angles in radians; `aspect` is the log of the ratio of
    widths.
    """
    draw = random.uniform
    largest, radius, wide = draw(0.13, 0.2), draw(0.06, 0.1), draw(0.2, 0.3)
    reach = _REACH * largest * np.exp(wide) + radius  # a sweep's farthest point from its centre
    ranges = {"size": (largest * draw(0.5, 0.65), largest), "aspect": (-wide, wide)}
    room = 1 - 2 * reach
    for name in ("x", "y"):
        length = room * draw(0.7, 1)
        start = reach + draw(0, room - length)
        ranges[name] = (start, start + length)
    tilt, start, arc = draw(0.9, 1.25), draw(0, 2 * np.pi), draw(2.4, 3.0)
    ranges |= {"tilt": (-tilt, tilt), "orbit": (start, start + arc)}
    swept, sense = _MOVES[motion]
    bend = draw(-0.6, 0.6, len(SWEEPS))
    still = draw(0, 1, len(SWEEPS))
    time = np.arange(frames) / (FRAMES - 1)
    path = {}
    for i, name in enumerate(SWEEPS):
        low, high = ranges[name]
        at = (time if sense > 0 else 1 - time) if name == swept else np.full(frames, still[i])
        path[name] = low + (high - low) * (at + bend[i] * at * (1 - at))  # strictly increasing
    return path | {"radius": np.full(frames, radius)}


class _Texture:
    """A sum of plane waves in three colours around a random level."""

    def __init__(
        self,
        random: np.random.RandomState,
        level: float,
        spread: float,
        strength: float,
        highest: float,
    ):
        self.level = level + random.uniform(-spread, spread, 3)
        self.waves = random.uniform(-highest, highest, (3, 2))
        self.phases = random.uniform(size=3)
        self.weights = strength * random.uniform(-0.7, 0.7, (3, 3))

    def __call__(self, x: Array, y: Array) -> Array:
        turns = np.stack([x, y], -1) @ self.waves.T.astype("float32") + self.phases
        waves = np.sin(np.float32(2 * np.pi) * turns.astype("float32"))
        return waves @ self.weights.astype("float32") + self.level.astype("float32")


def _ground(random: np.random.RandomState, x: Array, y: Array) -> Array:
    """A textured background with up to two static shapes, float32 [H, W, 3]."""
    ground = _Texture(random, 70, 30, 22, 2.5)(x, y)
    for _ in range(random.randint(3)):
        texture, shape = _Texture(random, 80, 35, 15, 1.0), SHAPES[random.randint(len(SHAPES))]
        place, turn, size = (
            random.uniform(size=2),
            random.uniform(0, 6.3),
            random.uniform(0.06, 0.14),
        )
        one = np.ones(1)
        cover, u, v = _cover(
            shape, x[None] - place[0], y[None] - place[1], turn * one, size * one, 0 * one, len(x)
        )
        ground = ground + cover[0][..., None] * (texture(u[0], v[0]) - ground)
    return ground


def _cover(
    shape: Callable[[Array, Array], Array],
    dx: Array,
    dy: Array,
    tilt: Array,
    size: Array,
    aspect: Array,
    side: int,
) -> tuple[Array, Array, Array]:
    """A shape's coverage of each pixel, and the pixels in its own axes, [T, H, W] each."""
    c, s, size, wide = (
        q.astype("float32")[:, None, None]
        for q in (np.cos(tilt), np.sin(tilt), size, np.exp(aspect))
    )
    # stretched along the frame's axes, then rotated
    dx, dy = dx / (size * wide), dy / (size / wide)
    u, v = c * dx + s * dy, c * dy - s * dx
    return np.clip(0.5 - side * size * shape(u, v), 0, 1), u, v


def _box(u: Array, v: Array, x: float, y: float, w: float, h: float) -> Array:
    return np.maximum(np.abs(u - x) - w, np.abs(v - y) - h)


def _disc(u: Array, v: Array, x: float, y: float, r: float) -> Array:
    return np.hypot(u - x, v - y) - r


def _roof(u: Array, v: Array, top: float, bottom: float, half: float) -> Array:
    """A triangle pointing up."""
    height = bottom - top
    edge = (np.abs(u) * height - half * (v - top)) / np.hypot(height, half)
    return np.maximum(v - bottom, edge)


SHAPES: tuple[Callable[[Array, Array], Array], ...] = (
    lambda u, v: np.minimum(_roof(u, v, -0.95, 0.05, 0.8), _box(u, v, 0, 0.5, 0.28, 0.45)),  # arrow
    lambda u, v: np.minimum(_roof(u, v, -0.95, -0.1, 0.9), _box(u, v, 0, 0.38, 0.6, 0.5)),  # house
    lambda u, v: np.minimum(_box(u, v, 0, -0.6, 0.8, 0.28), _box(u, v, 0, 0.2, 0.27, 0.75)),  # T
    lambda u, v: np.maximum(_box(u, v, 0, 0, 0.7, 0.75), -_box(u, v, 0, -0.5, 0.35, 0.8)),  # cup
    lambda u, v: np.minimum(_disc(u, v, 0, -0.4, 0.55), _roof(u, -v, -0.95, 0.3, 0.5)),  # pin
    lambda u, v: np.minimum(
        np.maximum(_disc(u, v, 0, 0, 0.9), v), _box(u, v, 0, 0.4, 0.25, 0.5)
    ),  # mushroom
    lambda u, v: np.minimum(
        _disc(np.abs(u), v, 0.4, -0.35, 0.48), _roof(u, -v, -0.95, 0.2, 0.8)
    ),  # heart
    lambda u, v: np.maximum(_disc(u, v, 0, 0, 0.95), -_disc(u, v, 0, -0.5, 0.7)),  # moon
)
"""Approximate signed distances in a shape's own axes: negative inside; v points down."""
