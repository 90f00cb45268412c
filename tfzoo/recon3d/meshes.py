"""The surface of a field by adaptive evaluation and marching cubes; mesh files."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.errors import InputError
from tfzoo.files import replacing

if TYPE_CHECKING:
    import trimesh

Field = Callable[[np.ndarray], np.ndarray]
BOUND = 0.55
"""Half the side of the searched cube: 1 plus a tenth of margin, as in Occupancy Networks."""
NEAR = 1.0
"""For logits: values this close to the level may hide a speck between points of the first grid."""

FORMATS = (".obj", ".ply", ".glb", ".stl", ".off")
_APART = np.float32(1e-3)
_CORNERS = list(itertools.product((0, 1), repeat=3))
_BLOCK = list(itertools.product((0, 1, 2), repeat=3))


def lattice(resolution: int, bound: float = BOUND) -> np.ndarray:
    """Vertices float32 [n, n, n, 3] of a grid with `resolution` = n - 1 cells per side."""
    axis = np.linspace(-bound, bound, resolution + 1, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)


def dense_grid(field: Field, resolution: int, bound: float = BOUND) -> tuple[np.ndarray, int]:
    """Values at all vertices [n, n, n], and the number of evaluations."""
    points = lattice(resolution, bound)
    values = np.asarray(field(points.reshape(-1, 3)), np.float32)
    return values.reshape(points.shape[:3]), values.size


def sparse_grid(
    field: Field,
    resolution: int,
    level: float,
    coarse: int = 32,
    bound: float = BOUND,
    near: float = NEAR,
) -> tuple[np.ndarray, int]:
    """The same near the surface; values elsewhere are only on the correct side of the level.

    Starts with a coarse grid; cells with corners on both sides, or within `near`, are halved, and
    so are neighbours that turn out to be crossed where they touch, until none is left. It misses
    only parts of the surface that lie inside coarse cells, touch no other part, and are steeper
    than `near` in about half a cell.

    Args:
        field: points [N, 3] to values [N].
        resolution: cells per side, `coarse` times a power of 2.
        level: value on the surface.
        coarse: cells per side of the first grid.
        bound: half the side.
        near: distance of values from the level for cells of the first grid; it halves with them.

    Returns:
        Values [n, n, n], and the number of evaluations.
    """
    values, asked = dense_grid(field, coarse, bound)
    known, size = np.ones(values.shape, bool), coarse
    while size < resolution:
        values, known = _finer(values, known)
        size *= 2
        band = near * 2 * coarse / size
        asked += _refine(field, values, known, level, band, 2 * bound / size, bound)
    return values, asked


def _refine(
    field: Field,
    values: np.ndarray,
    known: np.ndarray,
    level: float,
    band: float,
    step: float,
    bound: float,
) -> int:
    """Evaluates what cells of twice the size need; updates `values` and `known` in place."""
    old = values[::2, ::2, ::2]
    low, high = (_reduce(of, old, _CORNERS, 1) for of in (np.minimum, np.maximum))
    cells = (low <= level + band) & (high > level - band)
    inside, active, asked = old[:-1, :-1, :-1] > level, np.zeros_like(cells), 0
    while cells.any():
        need = np.zeros_like(known)
        for block in _BLOCK:
            _of(need, block)[...] |= cells
        need &= ~known
        where = np.argwhere(need)
        if len(where):
            points = where.astype(np.float32) * np.float32(step) - np.float32(bound)
            values[need] = field(points)
            known |= need
            asked += len(where)
        active |= cells
        crossed = np.zeros_like(cells)
        for block in _BLOCK:
            crossed |= _of(known, block) & ((_of(values, block) > level) != inside)
        cells = crossed & ~active
    return asked


def _of(grid: np.ndarray, block: tuple[int, ...]) -> np.ndarray:
    """The vertex `block` (0 to 2 along each axis) of every cell of twice the size."""
    ends = [n - 2 + b for n, b in zip(grid.shape, block, strict=True)]
    return grid[tuple(slice(b, e, 2) for b, e in zip(block, ends, strict=True))]


def _reduce(of: np.ufunc, grid: np.ndarray, corners: list, size: int) -> np.ndarray:
    """`of` over the corners of every cell."""
    parts = [
        grid[tuple(slice(c, n - size + c) for c, n in zip(corner, grid.shape, strict=True))]
        for corner in corners
    ]
    return of.reduce(parts)


def _finer(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Doubles the cells: values in between are means, hence on their neighbours' side."""
    for axis in range(3):
        n = values.shape[axis]
        shape = [2 * n - 1 if i == axis else m for i, m in enumerate(values.shape)]
        fine, seen = np.empty(shape, values.dtype), np.zeros(shape, bool)
        at = lambda s, axis=axis: tuple(s if i == axis else slice(None) for i in range(3))  # noqa: E731
        fine[at(slice(0, None, 2))], seen[at(slice(0, None, 2))] = values, known
        low, high = values[at(slice(0, -1))], values[at(slice(1, None))]
        fine[at(slice(1, None, 2))] = (low + high) / 2
        values, known = fine, seen
    return values, known


def grid_mesh(values: np.ndarray, level: float, bound: float = BOUND) -> trimesh.Trimesh:
    """Marching cubes on values that are larger inside: a watertight mesh with outward normals.

    The grid is closed by a layer as far below the level as its largest value is above, so that a
    surface reaching the border is capped there. (Far smaller values would make vertices coincide.)

    Raises:
        InputError: no value is above the level, or scikit-image or trimesh is missing.
    """
    measure, trimesh = _libraries()
    if not (values > level).any():
        raise InputError(
            f"threshold: no point of the grid is inside, the largest value is "
            f"{float(values.max()):.4g} and must exceed {level:.4g}"
        )
    below = 2 * level - float(values.max())
    padded = _off_level(np.pad(values.astype(np.float32), 1, constant_values=below), level)
    vertices, faces, _, _ = measure.marching_cubes(padded, level, gradient_direction="ascent")
    step = 2 * bound / (values.shape[0] - 1)
    return trimesh.Trimesh((vertices - 1) * step - bound, faces, process=False)


def _off_level(values: np.ndarray, level: float) -> np.ndarray:
    """Moves values away from the level, so that no vertex coincides with a grid point.

    Such vertices, one on each edge that meets there, would coincide: their triangles have no area,
    and without these, or with merged vertices, the surface is no longer closed. They are moved
    `_APART` of an edge away, to their side.
    """
    over = values - np.float32(level)
    near = np.argwhere(np.abs(over) <= _APART * np.ptp(over))
    own, last = over[tuple(near.T)], np.array(over.shape) - 1
    steep = np.zeros_like(own)  # the largest difference to a neighbour across the level
    for axis, side in itertools.product(range(3), (-1, 1)):
        other = over[tuple(np.clip(near + side * np.eye(3, dtype=int)[axis], 0, last).T)]
        np.maximum(steep, np.where((other > 0) != (own > 0), np.abs(other - own), 0), out=steep)
    moved = np.maximum(np.abs(own), _APART * steep) * np.where(own > 0, 1, -1)
    shifted = values.copy()
    shifted[tuple(near.T)] = moved + np.float32(level)
    return shifted


def extract_mesh(
    field: Field,
    resolution: int = 64,
    level: float = 0.0,
    bound: float = BOUND,
    dense: bool = False,
    near: float = NEAR,
) -> trimesh.Trimesh:
    """The surface on which a field equals `level`, as a `trimesh.Trimesh`.

    Args:
        field: points [N, 3] to values [N], larger inside: preferably logits, since probabilities
            are less linear.
        resolution: cells along a side of the cube, a multiple of 4, at least 8.
        level: value on the surface.
        bound: half the cube's side.
        dense: evaluates every vertex, for comparison.
        near: see `sparse_grid`; the default is meant for logits.

    Raises:
        InputError: an argument out of range, or no surface.
    """
    if resolution < 8 or resolution % 4:
        raise InputError(f"resolution={resolution}: must be a multiple of 4, at least 8")
    if dense:
        values, _ = dense_grid(field, resolution, bound)
    else:
        values, _ = sparse_grid(field, resolution, level, first_grid(resolution), bound, near)
    return grid_mesh(values, level, bound)


def logit(threshold: float) -> float:
    """ln t - ln(1 - t), the logit whose probability is t.

    Raises:
        InputError: t is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise InputError(f"threshold={threshold}: must be between 0 and 1")
    return float(np.log(threshold) - np.log1p(-threshold))


def first_grid(resolution: int) -> int:
    """Initial cells per side, at most 40, from which doubling reaches the resolution."""
    while resolution % 2 == 0 and resolution > 40:
        resolution //= 2
    return resolution


def save_mesh(mesh: trimesh.Trimesh, path: str | Path) -> Path:
    """Writes a mesh file, complete or not at all; its suffix determines the format.

    Raises:
        InputError: the suffix is not one of `FORMATS`.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"output {str(path)!r}: must end in one of {', '.join(FORMATS)}")
    with replacing(path) as aside:
        mesh.export(aside)
    return path


def _libraries() -> tuple[ModuleType, ModuleType]:
    try:
        import trimesh
        from skimage import measure
    except ImportError:
        raise InputError("meshes: need `pip install tfzoo[mesh]`") from None
    return measure, trimesh
