"""Any triangle mesh as a solid: its surface and what it encloses, as a grid of distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfzoo.errors import InputError

CELLS = 96
"""Voxels along the longest side."""

_CHUNK = 2**20
"""Points that are held at a time, on the surface of a mesh."""

_FEW, _MOST = 2**26, 2**31

_MARGIN = 6
_SMOOTH = 0.5  # voxels: takes the edge off the steps, and leaves rods of one voxel standing


class GridSolid:
    """A signed distance field on a grid, interpolated between its points; positive outside.

    Args:
        values: signed distances [n, n, n] at the centres of cells.
        cell: side of a cell.
    """

    def __init__(self, values: np.ndarray, cell: float):
        self.values, self.cell = values.astype(np.float32), cell
        self.half = cell * (values.shape[0] - 1) / 2

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Signed distances float32 [N] of points [N, 3], at least the way to the grid beyond it."""
        from scipy import ndimage

        points = np.asarray(points, np.float32)
        where = (points + self.half) / self.cell
        inner = np.clip(where, 0, self.values.shape[0] - 1)
        found = ndimage.map_coordinates(self.values, inner.T, output=np.float32, order=1)
        beyond = np.sqrt(np.square(where - inner).sum(-1)) * self.cell
        return np.where(beyond > 0, np.maximum(found, beyond), found).astype(np.float32)


def mesh_solid(vertices: np.ndarray, faces: np.ndarray, cells: int = CELLS) -> GridSolid:
    """The solid of a mesh that need not be closed, its box centred, the longest side 1.

    Voxels that the surface passes, and all that these wall off from the outside, are solid; an open
    mesh thus becomes a shell. The surface lies up to a voxel outside of the walls' centres.

    Args:
        vertices: [N, 3].
        faces: whole numbers [M, 3].
        cells: voxels along the longest side.

    Raises:
        InputError: no faces, vertices that are not finite, faces that name none, or no extent.
    """
    from scipy import ndimage

    triangles = _triangles(vertices, faces)
    low, high = triangles.min((0, 1)), triangles.max((0, 1))
    side = float((high - low).max())
    if not side > 0:
        raise InputError("mesh: all its vertices are one point, must have an extent")
    triangles = (triangles - (low + high) / 2) / side
    cell = 1 / (cells - 1)  # the walls' voxels lie within the unit cube
    n = cells + 2 * _MARGIN
    walls = np.zeros((n, n, n), bool)
    for points in _covered(triangles, cell / 2):
        index = np.rint(points / cell + (n - 1) / 2).astype(int)
        walls[tuple(index.T)] = True
    solid = ndimage.binary_fill_holes(walls)
    outside = ndimage.distance_transform_edt(~solid)
    inside = ndimage.distance_transform_edt(solid)
    values = np.where(solid, -inside, outside - 1) * cell
    return GridSolid(ndimage.gaussian_filter(values, _SMOOTH), cell)


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
    """Points on all triangles, no further than `step` from each other along their sides.

    They come in chunks of about `_CHUNK` points [P, 3]. Of meshes that would need more than `_FEW`,
    e.g. of many long slivers, triangles have fewer rows of points, no further than `step` from each
    other, along the longest side.

    Raises:
        InputError: more than `_MOST` points all the same.
    """
    sides = np.linalg.norm(np.roll(triangles, -1, 1) - triangles, axis=-1)  # [M, 3]
    pieces = np.maximum(1, np.ceil(sides.max(1) / step)).astype(int)
    rows = pieces.copy()
    if _count(pieces, rows) > _FEW:
        # the longest side first: rows lie along it, and are as many as the height asks for
        turn = (sides.argmax(1)[:, None] + np.arange(3)) % 3
        triangles = np.take_along_axis(triangles, turn[..., None], 1)
        along, across = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
        height = np.linalg.norm(np.cross(along, across), axis=-1) / np.maximum(
            sides.max(1), np.finfo(float).tiny
        )
        rows = np.clip(np.ceil(height / step).astype(int), 1, pieces)
    if _count(pieces, rows) > _MOST:
        raise InputError(
            f"mesh: its {len(triangles)} faces are so large that {_count(pieces, rows)} points "
            f"would cover them, must be at most {_MOST}"
        )
    for n, m in np.unique(np.stack([pieces, rows], 1), axis=0):
        weights = _weights(int(n), int(m))
        chosen = np.flatnonzero((pieces == n) & (rows == m))
        for part in np.array_split(chosen, -(-len(chosen) * len(weights) // _CHUNK)):
            yield np.einsum("pk,tkd->tpd", weights, triangles[part]).reshape(-1, 3)


def _count(pieces: np.ndarray, rows: np.ndarray) -> int:
    """Points of all lattices, about."""
    return int(((pieces + 1.0) * (rows + 2.0) / 2).sum())


def _weights(n: int, m: int) -> np.ndarray:
    """Weights [P, 3] of a triangle's corners for a lattice of n pieces by m + 1 rows."""
    if n == m:
        i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        keep = i + j <= n
        return np.stack([i[keep], j[keep], (n - i - j)[keep]], -1) / n
    parts = []
    for row in np.arange(m + 1) / m:  # towards the third corner
        at = np.linspace(0, 1 - row, max(1, int(np.ceil((1 - row) * n))) + 1)
        parts.append(np.stack([1 - row - at, at, np.full_like(at, row)], -1))
    return np.concatenate(parts)
