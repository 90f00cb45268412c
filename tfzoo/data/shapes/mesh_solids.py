"""Any triangle mesh as a solid: its surface and what it encloses, as a grid of distances."""

from __future__ import annotations

import numpy as np

from tfzoo.errors import InputError

CELLS = 96
"""Voxels along the longest side."""

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
    points = _covered(triangles, cell / 2)
    index = np.rint(points / cell + (n - 1) / 2).astype(int)
    walls = np.zeros((n, n, n), bool)
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


def _covered(triangles: np.ndarray, step: float) -> np.ndarray:
    """Points on all triangles, no further than `step` from each other along their sides."""
    longest = np.linalg.norm(triangles - np.roll(triangles, 1, 1), axis=-1).max(1)
    pieces = np.maximum(1, np.ceil(longest / step)).astype(int)
    found = []
    for n in np.unique(pieces):
        i, j = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
        keep = i + j <= n
        weights = np.stack([i[keep], j[keep], (n - i - j)[keep]], -1) / n
        found.append(np.einsum("pk,tkd->tpd", weights, triangles[pieces == n]).reshape(-1, 3))
    return np.concatenate(found)
