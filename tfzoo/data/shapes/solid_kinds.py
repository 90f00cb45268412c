"""Nine categories of procedural solids, each defined by a few random numbers; y is up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfzoo.data.shapes.primitives import Part, Solid

SEEN = ("table", "car", "plane")
"""Categories for training."""

UNSEEN = ("chair", "lamp", "mug", "sofa", "rocket", "shelf")
"""Categories that appear only in the test."""

KINDS = SEEN + UNSEEN


def make_solid(kind: str, rng: np.random.RandomState) -> Solid:
    """A random solid of a category, its bounding box centred, with longest side 1.

    Args:
        kind: one of `KINDS`.
        rng: source of randomness.
    """
    return _MAKERS[kind](rng).normalised()


def turn(axis: int, degrees: float) -> np.ndarray:
    """The rotation matrix [3, 3] about an axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    rotation, (i, j) = np.eye(3), [(1, 2), (2, 0), (0, 1)][axis]
    rotation[i, i], rotation[i, j], rotation[j, i], rotation[j, j] = c, -s, s, c
    return rotation


ALONG_X, ALONG_Z = turn(2, -90), turn(0, 90)  # rotations of the upright axis to x and to z


def box(half: tuple, at: tuple, turned: np.ndarray | None = None) -> Part:
    """A box by its half sides and its centre."""
    x, y, z = map(float, at)
    return Part("box", tuple(map(float, half)), (x, y, z), turned)


def corners(x: float, z: float) -> Iterator[tuple[float, float]]:
    """The four (+-x, +-z)."""
    return ((i * x, k * z) for i in (-1, 1) for k in (-1, 1))


def legs(x: float, z: float, top: float, thick: float, round_: bool) -> list[Part]:
    """Four legs from the floor, y = 0, to `top`."""
    at = [(cx, top / 2, cz) for cx, cz in corners(x - thick, z - thick)]
    if round_:
        return [Part("cylinder", (thick, top / 2), a) for a in at]
    return [box((thick, top / 2, thick), a) for a in at]


def _table(rng: np.random.RandomState) -> Solid:
    x, z, high = rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.45), rng.uniform(0.35, 0.75)
    thick, leg = rng.uniform(0.02, 0.05), rng.uniform(0.025, 0.06)
    if rng.rand() < 0.3:  # a round table on a post
        parts = [Part("cylinder", (x, thick), (0, high, 0))]
        parts += [Part("cylinder", (leg, high / 2), (0, high / 2, 0))]
        parts += [Part("cylinder", (x * rng.uniform(0.4, 0.7), thick), (0, thick, 0))]
        return Solid(tuple(parts))
    parts = [box((x, thick, z), (0, high, 0)), *legs(x, z, high, leg, rng.rand() < 0.5)]
    if rng.rand() < 0.3:
        parts.append(box((x * 0.9, 0.02, z * 0.9), (0, high * rng.uniform(0.2, 0.6), 0)))
    return Solid(tuple(parts))


def _car(rng: np.random.RandomState) -> Solid:
    x, z, high = rng.uniform(0.42, 0.55), rng.uniform(0.17, 0.25), rng.uniform(0.08, 0.14)
    wheel, cabin = rng.uniform(0.07, 0.12), rng.uniform(0.4, 0.75)
    low = wheel + 0.02
    parts = [box((x, high, z), (0, low + high, 0))]
    back = rng.uniform(-0.3, 0.2) * x * (1 - cabin)
    roof = rng.uniform(0.07, 0.13)
    parts.append(box((x * cabin, roof, z * 0.88), (back, low + 2 * high + roof, 0)))
    slant = turn(2, rng.uniform(25, 50))  # the windscreen
    parts.append(
        box((roof, roof * 0.8, z * 0.88), (back + x * cabin, low + 2 * high + 0.02, 0), slant)
    )
    for cx, cz in corners(x * rng.uniform(0.55, 0.7), z):
        parts.append(Part("cylinder", (wheel, 0.045), (cx, wheel, cz), ALONG_Z))
    return Solid(tuple(parts))


def _plane(rng: np.random.RandomState) -> Solid:
    length, thick = rng.uniform(0.4, 0.55), rng.uniform(0.045, 0.08)
    span, deep = rng.uniform(0.35, 0.55), rng.uniform(0.06, 0.12)
    parts = [Part("capsule", (thick, length - thick), (0, 0, 0), ALONG_X)]
    sweep, rise = rng.uniform(0, 35), rng.uniform(0, 6)
    at = rng.uniform(-0.05, 0.15)
    for side in (-1, 1):
        way = turn(1, side * sweep) @ turn(0, -side * rise)
        middle = way @ [0, 0, side * span / 2] + [at, -0.01, 0]
        parts.append(box((deep, 0.014, span / 2), tuple(middle), way))
        tail = turn(1, side * sweep)
        middle = tail @ [0, 0, side * span / 5] + [-length * 0.88, 0.02, 0]
        parts.append(box((deep / 2, 0.012, span / 5), tuple(middle), tail))
        if rng.rand() < 0.6:
            engine = (at + deep, -0.05, side * span * 0.45)
            parts.append(Part("cylinder", (0.03, 0.07), engine, ALONG_X))
    fin = rng.uniform(0.08, 0.14)
    parts.append(box((deep / 2, fin, 0.012), (-length * 0.9, fin, 0), turn(2, 15)))
    return Solid(tuple(parts))


def _chair(rng: np.random.RandomState) -> Solid:
    x, z, seat = rng.uniform(0.2, 0.3), rng.uniform(0.2, 0.3), rng.uniform(0.3, 0.45)
    thick, back = rng.uniform(0.02, 0.05), rng.uniform(0.35, 0.55)
    parts = [box((x, thick, z), (0, seat, 0))]
    parts += legs(x, z, seat, rng.uniform(0.02, 0.04), rng.rand() < 0.5)
    lean = turn(0, -rng.uniform(0, 14))
    if rng.rand() < 0.5:
        parts.append(box((x, back / 2 + 0.03, 0.025), (0, seat + back / 2, 0.02 - z), lean))
    else:
        for side in (-1, 1):
            parts.append(
                box((0.022, back / 2, 0.022), (side * (x - 0.02), seat + back / 2, 0.02 - z))
            )
        parts.append(box((x, rng.uniform(0.05, 0.09), 0.02), (0, seat + back * 0.8, 0.02 - z)))
    if rng.rand() < 0.4:
        for side in (-1, 1):
            parts.append(box((0.025, 0.02, z), (side * x, seat + 0.2, 0)))
            parts.append(box((0.02, 0.1, 0.02), (side * x, seat + 0.1, z * 0.8)))
    return Solid(tuple(parts))


def _lamp(rng: np.random.RandomState) -> Solid:
    foot, post = rng.uniform(0.12, 0.22), rng.uniform(0.015, 0.035)
    high, shade = rng.uniform(0.5, 0.8), rng.uniform(0.1, 0.17)
    parts = [Part("cylinder", (foot, 0.025), (0, 0.025, 0))]
    parts.append(Part("cylinder", (post, high / 2), (0, high / 2, 0)))
    radius = rng.uniform(0.16, 0.28)
    top = rng.uniform(0.4, 0.9) * radius
    parts.append(Part("cone", (radius, top, shade), (0, high + shade * 0.5, 0)))
    if rng.rand() < 0.4:
        parts.append(Part("sphere", (rng.uniform(0.06, 0.1),), (0, high * 0.35, 0)))
    return Solid(tuple(parts))


def _mug(rng: np.random.RandomState) -> Solid:
    radius, half = rng.uniform(0.22, 0.32), rng.uniform(0.25, 0.38)
    wall, top = rng.uniform(0.03, 0.05), rng.uniform(0.85, 1.15)
    body = Part("cone", (radius, radius * top, half), (0, 0, 0))
    ring, tube = half * rng.uniform(0.45, 0.65), rng.uniform(0.025, 0.04)
    handle = Part("torus", (ring, tube), (radius * (1 + top) / 2 + ring * 0.55, 0, 0), ALONG_Z)
    hollow = Part("cone", (radius - wall, radius * top - wall, half), (0, 2 * wall, 0))
    return Solid((body, handle), (hollow,))


def _sofa(rng: np.random.RandomState) -> Solid:
    x, z, seat = rng.uniform(0.4, 0.55), rng.uniform(0.2, 0.28), rng.uniform(0.1, 0.16)
    arm, back = rng.uniform(0.05, 0.09), rng.uniform(0.18, 0.28)
    parts = [box((x, seat, z), (0, seat, 0))]
    parts.append(box((x, back, rng.uniform(0.05, 0.08)), (0, seat + back, -z)))
    for side in (-1, 1):
        at = (side * x, seat * 1.5, 0)
        if rng.rand() < 0.5:
            parts.append(box((arm, seat * 1.5, z), at))
        else:
            parts.append(Part("cylinder", (arm, z), (side * x, seat * 2.4, 0), ALONG_Z))
            parts.append(box((arm * 0.8, seat * 1.2, z), (side * x, seat * 1.2, 0)))
    return Solid(tuple(parts))


def _rocket(rng: np.random.RandomState) -> Solid:
    radius, half = rng.uniform(0.07, 0.13), rng.uniform(0.3, 0.42)
    nose, fins = rng.uniform(0.08, 0.15), rng.randint(3, 5)
    parts = [Part("cylinder", (radius, half), (0, 0, 0))]
    parts.append(Part("cone", (radius, 0.01, nose), (0, half + nose, 0)))
    wide, tall = rng.uniform(0.06, 0.11), rng.uniform(0.08, 0.14)
    for i in range(fins):
        way = turn(1, 360 * i / fins)
        at = way @ [radius + wide * 0.8, -half + tall * 0.8, 0]
        parts.append(box((wide, tall, 0.015), tuple(at), way @ turn(2, -20)))
    parts.append(Part("cone", (radius * 1.1, radius * 0.7, 0.04), (0, -half - 0.03, 0)))
    return Solid(tuple(parts))


def _shelf(rng: np.random.RandomState) -> Solid:
    x, z, high = rng.uniform(0.2, 0.35), rng.uniform(0.1, 0.18), rng.uniform(0.35, 0.5)
    wall, boards = rng.uniform(0.018, 0.03), rng.randint(3, 6)
    parts = [box((wall, high, z), (side * x, 0, 0)) for side in (-1, 1)]
    parts += [box((x, wall, z), (0, y, 0)) for y in np.linspace(wall - high, high - wall, boards)]
    if rng.rand() < 0.6:
        parts.append(box((x, high, 0.015), (0, 0, 0.015 - z)))
    return Solid(tuple(parts))


_MAKERS: dict[str, Callable[[np.random.RandomState], Solid]] = {
    "table": _table,
    "car": _car,
    "plane": _plane,
    "chair": _chair,
    "lamp": _lamp,
    "mug": _mug,
    "sofa": _sofa,
    "rocket": _rocket,
    "shelf": _shelf,
}
