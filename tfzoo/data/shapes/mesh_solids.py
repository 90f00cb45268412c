"""Any triangle mesh as a solid: exactly its interior if closed, otherwise a shell with walls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from typing_extensions import override

from tfzoo.data.shapes.raycast import Body
from tfzoo.errors import InputError

CELLS = 96
"""Voxels along the longest side."""

_CHUNK = 2**20
"""Points on a mesh's surface held in memory at a time."""

_PAIRS = 2**20
"""Pairs of a triangle and a point held in memory at a time."""

_MOST = 2**31

_MARGIN = 6
_SMOOTH = 0.5  # voxels: smooths the steps, and preserves rods one voxel thick
_FINE = 2
"""Surface points per voxel side to which distances are measured."""

_BESIDE = 1e-4
"""Distance from the surface at which its two sides are probed."""


class GridSolid(Body):
    """A signed distance field on a grid, interpolated between its points; positive outside.

    Args:
        values: signed distances [n, n, n] at the centres of cells.
        cell: side of a cell.
        ratio: the solid's volume over the volume that its mesh encloses.
    """

    def __init__(self, values: np.ndarray, cell: float, ratio: float = 1.0):
        self.values, self.cell, self.ratio = values.astype(np.float32), cell, ratio
        self.half = cell * (values.shape[0] - 1) / 2

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Signed distances float32 [N] of points [N, 3]; outside the grid, a lower bound."""
        from scipy import ndimage

        points = np.asarray(points, np.float32)
        where = (points + self.half) / self.cell
        inner = np.clip(where, 0, self.values.shape[0] - 1)
        values = ndimage.map_coordinates(self.values, inner.T, output=np.float32, order=1)
        beyond = np.sqrt(np.square(where - inner).sum(-1)) * self.cell
        return np.where(beyond > 0, np.maximum(values, beyond), values).astype(np.float32)


class ClosedSolid(GridSolid):
    """The interior of a closed mesh, to float64 precision; distances come from the grid.

    Walls thinner than a cell are a cell thick in the grid, from which images are rendered, so that
    they are visible; `inside` and `surface` have their true thickness.

    Args:
        values: see `GridSolid`.
        cell: see `GridSolid`.
        triangles: triangles of the mesh [M, 3, 3].
    """

    def __init__(self, values: np.ndarray, cell: float, triangles: np.ndarray):
        super().__init__(values, cell)
        self.triangles = triangles

    @override
    def inside(self, points: np.ndarray) -> np.ndarray:
        return winding_numbers(self.triangles, points) != 0

    @override
    def surface(self, count: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        edges = self.triangles[:, 1:] - self.triangles[:, :1]
        normals = np.cross(edges[:, 0], edges[:, 1])
        areas = np.linalg.norm(normals, axis=-1)
        parts, have = [], 0
        while have < count:
            of = rng.choice(len(areas), 2 * count, p=areas / areas.sum())
            u, v = rng.uniform(size=(2, len(of), 1))
            u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
            at = self.triangles[of, 0] + u * edges[of, 0] + v * edges[of, 1]
            out = normals[of] / areas[of, None]
            above, below = (self.inside(at + s * _BESIDE * out) for s in (1, -1))
            wall = above != below  # walls between two interiors are not surface
            parts.append(np.stack([at, np.where(below[:, None], out, -out)])[:, wall])
            have += int(wall.sum())
            if have == 0:
                raise InputError("mesh: encloses nothing, all its walls coincide")
        points, ways = np.concatenate(parts, 1)[:, :count].astype(np.float32)
        return points, ways


def mesh_solid(vertices: np.ndarray, faces: np.ndarray, cells: int = CELLS) -> GridSolid:
    """The solid of a mesh, its bounding box centred, with longest side 1.

    For a closed mesh (`is_closed`), exactly its interior is inside. For an open one, voxels that
    the surface passes through, and all that these seal off from the outside, are solid: it becomes
    a shell whose surface is up to a voxel outside the walls' centres. `ratio` is the volume of its
    voxels over the volume that the triangles enclose by the divergence theorem, which is only
    indicative for an open mesh; 1 for a closed one.

    Args:
        vertices: [N, 3].
        faces: integers [M, 3].
        cells: voxels along the longest side.

    Raises:
        InputError: no faces, non-finite vertices, faces with invalid indices, or zero extent.
    """
    from scipy import ndimage

    triangles = _triangles(vertices, faces)
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    side = float((high - low).max())
    if not side > 0:
        raise InputError("mesh: all its vertices are one point, must have an extent")
    triangles = (triangles - (low + high) / 2) / side
    cell = 1 / (cells - 1)  # the walls' voxels stay within the unit cube
    n = cells + 2 * _MARGIN
    volume = abs(float(np.linalg.det(triangles).sum())) / 6
    if volume > 0 and is_closed(np.asarray(vertices), np.asarray(faces)):
        return ClosedSolid(_closed_grid(triangles, cell, n), cell, triangles)
    walls = np.zeros((n, n, n), bool)
    for points in _covered(triangles, cell / 2):
        walls[tuple(_voxels(points, cell, n).T)] = True
    solid = ndimage.binary_fill_holes(walls)
    outside = ndimage.distance_transform_edt(~solid)
    inside = ndimage.distance_transform_edt(solid)
    values = np.where(solid, -inside, outside - 1) * cell
    ratio = solid.sum() * cell**3 / volume if volume > 0 else np.inf
    return GridSolid(ndimage.gaussian_filter(values, _SMOOTH), cell, ratio)


def is_closed(vertices: np.ndarray, faces: np.ndarray) -> bool:
    """Whether every edge is traversed equally often both ways, equal vertices being merged.

    Such triangles have an integer winding number around every point. Neighbours of opposite
    orientation are not closed in this sense.
    """
    _, index = np.unique(vertices, axis=0, return_inverse=True)
    edges = index.reshape(-1)[faces[:, [[0, 1], [1, 2], [2, 0]]]].reshape(-1, 2).astype(np.int64)
    there, back = (np.sort(a * len(vertices) + b) for a, b in (edges.T, edges[:, ::-1].T))
    return bool((there == back).all())


def winding_numbers(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Winding numbers of a closed surface around points, 0 outside: int [N].

    Counts the crossings of a ray from each point with their sign. Everything is rotated first, so
    that no ray meets an edge, e.g. of a box. Triangles are paired only with points beside them, in
    chunks of `_PAIRS`.

    Args:
        triangles: [M, 3, 3], of a surface for which `is_closed` holds.
        points: [N, 3].
    """
    corners = (triangles @ _TURN).astype(np.float64)
    points = np.asarray(points, np.float64) @ _TURN
    order = np.argsort(points[:, 0])
    x, y, z = points[order].T
    low, high = corners.min(1), corners.max(1)
    start, stop = np.searchsorted(x, low[:, 0]), np.searchsorted(x, high[:, 0], "right")
    counts, total = stop - start, np.zeros(len(points), np.int64)
    ends = np.cumsum(counts)
    splits = np.searchsorted(ends, np.arange(_PAIRS, int(ends[-1]) + _PAIRS, _PAIRS))
    for part in np.split(np.arange(len(corners)), np.unique(splits)):
        many = counts[part]
        of = np.repeat(part, many)
        at = np.arange(len(of)) + np.repeat(start[part] - (np.cumsum(many) - many), many)
        keep = (y[at] >= low[of, 1]) & (y[at] <= high[of, 1]) & (z[at] <= high[of, 2])
        of, at = of[keep], at[keep]
        relative = corners[of] - np.stack([x[at], y[at], z[at]], -1)[:, None]
        a, b = relative, np.roll(relative, -1, 1)
        area = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]  # of the edge and the ray [P, 3]
        hit = (area > 0).all(-1) | (area < 0).all(-1)
        # corner i is opposite to edge i + 1, whose area is its weight
        height = (np.roll(area, -1, 1) * relative[..., 2]).sum(-1)
        side = np.sign(area[:, 0])
        above = hit & (height * side > 0)
        total += np.bincount(at[above], side[above], len(points)).astype(np.int64)
    numbers = np.empty_like(total)
    numbers[order] = total
    return numbers


_TURN = np.linalg.qr(np.random.RandomState(0).normal(size=(3, 3)))[0]


def _voxels(points: np.ndarray, cell: float, n: int) -> np.ndarray:
    """Voxel indices [N, 3] of points in a grid of n voxels per side."""
    return np.rint(points / cell + (n - 1) / 2).astype(int)


def _closed_grid(triangles: np.ndarray, cell: float, n: int) -> np.ndarray:
    """Signed distances [n, n, n] of the interior, thin walls thickened to a cell.

    Distances are exact within a cell of the surface, elsewhere too small by up to a cell.
    """
    from scipy import ndimage
    from scipy.spatial import cKDTree

    samples = _samples(triangles, cell / _FINE)
    walls = np.zeros((n, n, n), bool)
    walls[tuple(_voxels(samples, cell, n).T)] = True
    box = np.ones((3, 3, 3), bool)
    band = ndimage.binary_dilation(walls, box)
    centres = (np.argwhere(band) - (n - 1) / 2) * cell
    inside = np.zeros((n, n, n), bool)
    inside[band] = winding_numbers(triangles, centres) != 0
    rooms, count = ndimage.label(~band)
    if count:
        first = np.unique(rooms.reshape(-1), return_index=True)[1][-count:]  # 0 is the band
        where = (np.stack(np.unravel_index(first, rooms.shape), -1) - (n - 1) / 2) * cell
        full = winding_numbers(triangles, where) != 0
        inside |= np.append(False, full)[rooms]
    near = cKDTree(samples).query(centres)[0]
    away = np.maximum(ndimage.distance_transform_edt(~walls) - 1, 1) * cell
    away[band] = near
    values = np.where(inside, -away, away)
    thin = ndimage.binary_dilation(walls & ~ndimage.binary_dilation(inside, box), box)
    values[thin] = np.minimum(values[thin], away[thin] - cell / 2)
    return values


def _samples(triangles: np.ndarray, step: float) -> np.ndarray:
    """Points of the surface [P, 3], about one in each cube of side `step` that it crosses."""
    kept, codes = np.zeros((0, 3)), np.zeros(0, np.int64)
    for points in _covered(triangles, step):
        cubes = np.rint(points / step).astype(np.int64) + 2**19
        new = (cubes[:, 0] << 40) + (cubes[:, 1] << 20) + cubes[:, 2]
        codes, first = np.unique(np.append(codes, new), return_index=True)
        kept = np.concatenate([kept, points])[first]
    return kept


def _triangles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces)
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        raise InputError(f"mesh: faces{list(faces.shape)} must be [M, 3] with M at least 1")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"mesh: faces name vertex {faces.max()}, must be below {len(vertices)}")
    if not np.isfinite(vertices[faces]).all():
        raise InputError("mesh: vertices hold NaN or infinity, must be finite")
    return vertices[faces]


def _covered(triangles: np.ndarray, step: float) -> Iterator[np.ndarray]:
    """Points on all triangles, in chunks of about `_CHUNK`, [P, 3].

    They are in rows along each triangle's longest side; points and rows are at most `step` apart,
    so a sliver has few.

    Raises:
        InputError: more than `_MOST` points.
    """
    sides = np.linalg.norm(np.roll(triangles, -1, 1) - triangles, axis=-1)  # [M, 3]
    turn = (sides.argmax(1)[:, None] + np.arange(3)) % 3  # the longest side first
    triangles = np.take_along_axis(triangles, turn[..., None], 1)
    pieces = np.maximum(1, np.ceil(sides.max(1) / step)).astype(int)
    along, across = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    height = np.linalg.norm(np.cross(along, across), axis=-1) / np.maximum(
        sides.max(1), np.finfo(float).tiny
    )
    rows = np.clip(np.ceil(height / step).astype(int), 1, pieces)
    count = int(((pieces + 1.0) * (rows + 2.0) / 2).sum())
    if count > _MOST:
        raise InputError(
            f"mesh: its {len(triangles)} faces are so large that they need {count} points, "
            f"must be at most {_MOST}"
        )
    for n, m in np.unique(np.stack([pieces, rows], 1), axis=0):
        weights = _weights(int(n), int(m))
        chosen = np.flatnonzero((pieces == n) & (rows == m))
        for part in np.array_split(chosen, -(-len(chosen) * len(weights) // _CHUNK)):
            yield np.einsum("pk,tkd->tpd", weights, triangles[part]).reshape(-1, 3)


def _weights(n: int, m: int) -> np.ndarray:
    """Weights [P, 3] of a triangle's corners for m + 1 rows, the first with n segments."""
    parts = []
    for row in np.arange(m + 1) / m:  # towards the third corner
        at = np.linspace(0, 1 - row, max(1, int(np.ceil((1 - row) * n))) + 1)
        parts.append(np.stack([1 - row - at, at, np.full_like(at, row)], -1))
    return np.concatenate(parts)
