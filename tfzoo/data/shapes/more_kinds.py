"""Nineteen more categories of procedural solids: household things, brackets, cuts; y is up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfzoo.data.shapes.primitives import Part, Solid
from tfzoo.data.shapes.solid_kinds import ALONG_X, ALONG_Z, box, corners, legs, turn

Make = Callable[[np.random.RandomState], Solid]


def _stool(rng: np.random.RandomState) -> Solid:
    x, high, thick = rng.uniform(0.15, 0.3), rng.uniform(0.35, 0.7), rng.uniform(0.02, 0.06)
    leg = rng.uniform(0.02, 0.05)
    if rng.rand() < 0.5:
        parts = [Part("cylinder", (x, thick), (0, high, 0))]
    else:
        parts = [box((x, thick, x * rng.uniform(0.7, 1)), (0, high, 0))]
    for cx, cz in corners(0.6 * x, 0.6 * x):
        lean = turn(2, np.sign(cx) * rng.uniform(0, 12))
        parts.append(Part("cylinder", (leg, high / 2), (cx, high / 2, cz), lean))
    return Solid(tuple(parts))


def _bench(rng: np.random.RandomState) -> Solid:
    x, z, high = rng.uniform(0.45, 0.6), rng.uniform(0.12, 0.2), rng.uniform(0.2, 0.35)
    parts = [box((x, rng.uniform(0.02, 0.04), z), (0, high, 0))]
    for side in (-1, 1):
        parts.append(
            box((0.03, high / 2, z * 0.9), (side * x * rng.uniform(0.6, 0.95), high / 2, 0))
        )
    if rng.rand() < 0.5:
        parts.append(box((x, 0.09, 0.02), (0, high + 0.25, -z), turn(0, -10)))
        for side in (-1, 1):
            parts.append(box((0.02, 0.15, 0.02), (side * x * 0.8, high + 0.13, -z), turn(0, -10)))
    return Solid(tuple(parts))


def _bottle(rng: np.random.RandomState) -> Solid:
    radius, half, neck = rng.uniform(0.1, 0.2), rng.uniform(0.2, 0.32), rng.uniform(0.03, 0.06)
    slope, high = rng.uniform(0.03, 0.1), rng.uniform(0.05, 0.14)
    parts = [
        Part("cylinder", (radius, half), (0, 0, 0)),
        Part("cone", (radius, neck, slope), (0, half + slope, 0)),
        Part("cylinder", (neck, high), (0, half + 2 * slope + high, 0)),
    ]
    if rng.rand() < 0.5:
        parts.append(Part("cylinder", (neck * 1.3, 0.02), (0, half + 2 * slope + 2 * high, 0)))
    return Solid(tuple(parts))


def _bowl(rng: np.random.RandomState) -> Solid:
    radius, wall = rng.uniform(0.35, 0.45), rng.uniform(0.03, 0.06)
    cut = rng.uniform(-0.05, 0.12)
    parts = (Part("sphere", (radius,)), Part("cylinder", (radius * 0.4, 0.03), (0, -radius, 0)))
    holes = (
        Part("sphere", (radius - wall,)),
        box((1, 1, 1), (0, 1 + cut, 0)),
    )
    return Solid(parts, holes)


def _ladder(rng: np.random.RandomState) -> Solid:
    x, high, thick = rng.uniform(0.12, 0.22), rng.uniform(0.4, 0.55), rng.uniform(0.015, 0.03)
    parts = [box((thick, high, thick * 1.5), (side * x, 0, 0)) for side in (-1, 1)]
    for y in np.linspace(-high * 0.85, high * 0.85, rng.randint(4, 8)):
        parts.append(Part("cylinder", (thick * 0.8, x), (0, y, 0), ALONG_X))
    return Solid(tuple(parts))


def _arch(rng: np.random.RandomState) -> Solid:
    x, high, z = rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5), rng.uniform(0.08, 0.2)
    wide = x * rng.uniform(0.5, 0.75)
    holes = [
        Part("cylinder", (wide, 1.0), (0, high * rng.uniform(-0.2, 0.2), 0), ALONG_Z),
        box((wide, high, 1), (0, -high, 0)),
    ]
    return Solid((box((x, high, z), (0, 0, 0)),), tuple(holes))


def _dumbbell(rng: np.random.RandomState) -> Solid:
    half, bar = rng.uniform(0.25, 0.4), rng.uniform(0.025, 0.06)
    ends, parts = rng.uniform(0.1, 0.2), [Part("cylinder", (bar, half), (0, 0, 0), ALONG_X)]
    for side in (-1, 1):
        if rng.rand() < 0.5:
            parts.append(Part("sphere", (ends,), (side * half, 0, 0)))
        else:
            for i in range(rng.randint(1, 4)):
                at = (side * (half - 0.07 * i), 0, 0)
                parts.append(Part("cylinder", (ends * (1 - 0.15 * i), 0.025), at, ALONG_X))
    return Solid(tuple(parts))


def _plate(rng: np.random.RandomState) -> Solid:
    """A flat, sharp-edged plate with holes."""
    x, z, thick = rng.uniform(0.35, 0.5), rng.uniform(0.2, 0.5), rng.uniform(0.02, 0.06)
    holes = []
    for cx, cz in corners(0.7 * x, 0.7 * z):
        if rng.rand() < 0.7:
            holes.append(Part("cylinder", (rng.uniform(0.03, 0.07), 1.0), (cx, 0, cz)))
    if rng.rand() < 0.5:
        holes.append(Part("cylinder", (rng.uniform(0.08, 0.15), 1.0)))
    else:
        holes.append(box((x * 0.3, 1, z * 0.3), (0, 0, 0)))
    stand = turn(0, rng.choice([0.0, 90.0])) @ turn(2, rng.uniform(-20, 20))
    holes = [_turned(hole, stand) for hole in holes]
    return Solid((_turned(box((x, thick, z), (0, 0, 0)), stand),), tuple(holes))


def _bracket(rng: np.random.RandomState) -> Solid:
    """Two plates at a right angle, with holes and possibly a rib."""
    x, y, z = rng.uniform(0.25, 0.45), rng.uniform(0.25, 0.45), rng.uniform(0.15, 0.35)
    thick = rng.uniform(0.025, 0.06)
    parts = [box((x, thick, z), (x, 0, 0)), box((thick, y, z), (0, y, 0))]
    if rng.rand() < 0.6:
        rib = min(x, y) * rng.uniform(0.5, 0.9)
        parts.append(box((rib, rib, 0.02), (0, 0, 0), turn(2, 45)))
    holes = [box((1, 1, 2), (-1 - thick, 0, 0)), box((1, 1, 2), (0, -1 - thick, 0))]
    for cz in (-z / 2, z / 2):
        holes.append(Part("cylinder", (rng.uniform(0.03, 0.06), 0.2), (1.4 * x, 0, cz)))
        holes.append(Part("cylinder", (rng.uniform(0.03, 0.06), 0.2), (0, 1.4 * y, cz), ALONG_X))
    return Solid(tuple(parts), tuple(holes))


def _frame(rng: np.random.RandomState) -> Solid:
    """The edges of a box, made of rods."""
    half = rng.uniform(0.2, 0.5, 3)
    thick, parts = rng.uniform(0.015, 0.045), []
    for axis in range(3):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        for a, b in corners(half[i], half[j]):
            at, size = np.zeros(3), np.full(3, thick)
            at[i], at[j], size[axis] = a, b, half[axis] + thick
            if rng.rand() < 0.9:
                parts.append(box(tuple(size), tuple(at)))
    parts.append(box((half[0], thick, half[2]), (0, -half[1], 0)))
    return Solid(tuple(parts))


def _house(rng: np.random.RandomState) -> Solid:
    x, y, z = rng.uniform(0.3, 0.45), rng.uniform(0.15, 0.3), rng.uniform(0.25, 0.35)
    parts = [
        box((x, y, z), (0, y, 0)),
        box((x * 1.05, z * 0.72, z * 0.72), (0, 2 * y, 0), turn(0, 45)),
    ]
    if rng.rand() < 0.6:
        parts.append(
            box((0.05, z * 0.9, 0.05), (x * rng.uniform(-0.6, 0.6), 2 * y + z * 0.5, z * 0.3))
        )
    holes = [box((2, 1, 2), (0, -1, 0))]
    if rng.rand() < 0.7:
        holes.append(box((x * 0.2, y * 0.7, 0.1), (0, y * 0.6, z)))
    return Solid(tuple(parts), tuple(holes))


def _tree(rng: np.random.RandomState) -> Solid:
    trunk, high = rng.uniform(0.03, 0.08), rng.uniform(0.2, 0.4)
    parts = [Part("cylinder", (trunk, high / 2), (0, high / 2, 0))]
    if rng.rand() < 0.5:
        for i in range(rng.randint(1, 4)):
            wide = rng.uniform(0.2, 0.3) * (1 - 0.2 * i)
            parts.append(Part("cone", (wide, 0.02, 0.15), (0, high + 0.1 + 0.18 * i, 0)))
    else:
        for _ in range(rng.randint(1, 5)):
            at = rng.uniform(-0.15, 0.15, 3) + [0, high + 0.15, 0]
            parts.append(Part("sphere", (rng.uniform(0.12, 0.22),), _xyz(at)))
    return Solid(tuple(parts))


def _wheel(rng: np.random.RandomState) -> Solid:
    radius, tube, hub = rng.uniform(0.3, 0.45), rng.uniform(0.03, 0.08), rng.uniform(0.05, 0.1)
    parts = [Part("torus", (radius, tube)), Part("cylinder", (hub, rng.uniform(0.04, 0.1)))]
    spokes = rng.randint(3, 8)
    for i in range(spokes):
        way = turn(1, 360 * i / spokes)
        at = way @ [radius / 2, 0, 0]
        parts.append(Part("cylinder", (0.02, radius / 2), _xyz(at), way @ ALONG_X))
    stand = turn(0, rng.choice([0.0, 90.0]))
    return Solid(tuple(_turned(part, stand) for part in parts))


def _hammer(rng: np.random.RandomState) -> Solid:
    half, grip = rng.uniform(0.35, 0.5), rng.uniform(0.02, 0.045)
    head, size = rng.uniform(0.1, 0.2), rng.uniform(0.04, 0.08)
    parts = [Part("capsule", (grip, half), (0, 0, 0))]
    if rng.rand() < 0.5:
        parts.append(box((head, size, size), (0, half, 0)))
    else:
        parts.append(Part("cylinder", (size, head), (0, half, 0), ALONG_X))
    if rng.rand() < 0.5:
        parts.append(Part("cone", (size, 0.01, head / 2), (head * 1.4, half, 0), ALONG_X))
    return Solid(tuple(parts))


def _boat(rng: np.random.RandomState) -> Solid:
    x, y, z = rng.uniform(0.35, 0.5), rng.uniform(0.08, 0.14), rng.uniform(0.12, 0.2)
    hull = Part("cylinder", (z * 1.6, x), (0, z * 0.9, 0), ALONG_X)
    parts = [hull, box((x * 0.4, y, z * 0.7), (-x * 0.2, y, 0))]
    holes = [box((2, 1, 2), (0, 1 + 2 * y, 0))]
    for side in (-1, 1):
        holes.append(box((0.5, 0.5, 0.5), (x * 1.05, 0, side * (z + 0.5)), turn(1, -side * 30)))
    if rng.rand() < 0.6:
        parts.append(Part("cylinder", (0.02, y * 0.9), (0, y, 0)))
    return Solid(tuple(parts), tuple(holes))


def _key(rng: np.random.RandomState) -> Solid:
    ring, tube, long = rng.uniform(0.1, 0.17), rng.uniform(0.025, 0.045), rng.uniform(0.25, 0.35)
    parts = [Part("torus", (ring, tube), (0, 0, 0)), box((long, tube, tube), (ring + long, 0, 0))]
    for i in range(rng.randint(1, 4)):
        size = rng.uniform(0.03, 0.08)
        parts.append(box((0.02, tube, size), (ring + long * (1.9 - 0.25 * i), 0, size)))
    stand = turn(0, rng.choice([0.0, 90.0]))
    return Solid(tuple(_turned(part, stand) for part in parts))


def _steps(rng: np.random.RandomState) -> Solid:
    count, x, deep = rng.randint(3, 7), rng.uniform(0.15, 0.35), rng.uniform(0.06, 0.1)
    rise = rng.uniform(0.05, 0.1)
    parts = []
    for i in range(count):
        low = 0.0 if rng.rand() < 0.7 else rise * i
        half = (rise * (i + 1) - low) / 2
        parts.append(box((x, half, deep), (0, low + half, -2 * deep * i)))
    return Solid(tuple(parts))


def _joined(rng: np.random.RandomState) -> Solid:
    """A few bodies at random orientations, with cuts through them."""
    parts, at = [], np.zeros(3)
    for _ in range(rng.randint(2, 6)):
        parts.append(_any_body(rng, at, 0.1, 0.3))
        at = at + rng.uniform(-0.25, 0.25, 3)
    holes = [
        _any_body(rng, rng.uniform(-0.2, 0.2, 3), 0.05, 0.15) for _ in range(rng.randint(0, 3))
    ]
    return Solid(tuple(parts), tuple(holes))


def _xyz(at: np.ndarray) -> tuple[float, float, float]:
    x, y, z = map(float, at)
    return x, y, z


def _any_body(rng: np.random.RandomState, at: np.ndarray, low: float, high: float) -> Part:
    body = rng.choice(["box", "cylinder", "cone", "capsule", "sphere", "torus"])
    a, b, c = rng.uniform(low, high, 3)
    size = {
        "box": (a, b * 0.6, c),
        "cylinder": (a * 0.7, b),
        "cone": (a, c * 0.3, b),
        "capsule": (a * 0.4, b),
        "sphere": (a,),
        "torus": (a, 0.3 * min(a, b)),
    }[body]
    way = turn(0, rng.uniform(0, 360)) @ turn(1, rng.uniform(0, 360)) @ turn(2, rng.uniform(0, 360))
    if rng.rand() < 0.5:
        way = turn(1, rng.choice([0.0, 45.0, 90.0]))
    return Part(str(body), tuple(map(float, size)), _xyz(at), way)


def _turned(part: Part, way: np.ndarray) -> Part:
    x, y, z = way @ np.asarray(part.at)
    own = np.eye(3) if part.turn is None else part.turn
    return Part(part.body, part.size, (float(x), float(y), float(z)), way @ own)


def _rail(rng: np.random.RandomState) -> Solid:
    """A fence of posts and bars."""
    x, high, thick = rng.uniform(0.4, 0.5), rng.uniform(0.2, 0.35), rng.uniform(0.015, 0.03)
    parts = legs(x, thick * 2, high, thick, rng.rand() < 0.5)
    for y in rng.uniform(0.2, 0.95, rng.randint(1, 4)):
        parts.append(box((x, thick, thick), (0, y * high, 0)))
    for at in np.linspace(-x, x, rng.randint(3, 9)):
        parts.append(box((thick * 0.8, high / 2, thick * 0.8), (at, high / 2, 0)))
    return Solid(tuple(parts))


MAKERS: dict[str, Make] = {
    "stool": _stool,
    "bench": _bench,
    "bottle": _bottle,
    "bowl": _bowl,
    "ladder": _ladder,
    "arch": _arch,
    "dumbbell": _dumbbell,
    "plate": _plate,
    "frame": _frame,
    "house": _house,
    "tree": _tree,
    "wheel": _wheel,
    "hammer": _hammer,
    "boat": _boat,
    "steps": _steps,
    "joined": _joined,
    "rail": _rail,
    "bracket": _bracket,
    "key": _key,
}
