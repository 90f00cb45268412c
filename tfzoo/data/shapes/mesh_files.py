"""A user's meshes: a folder of folders of mesh files, or one `.npz` of many meshes, end to end.

The `.npz`, which needs no trimesh: `v` [*, 3], floats, the vertices of all meshes one after the
other, and `f` [*, 3], whole numbers, their triangles, by vertices counted within the mesh; `voff`
and `foff` [N + 1], where each mesh's begin and where the last's end; `y` [N], its category's place
in `classes`, their names.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.errors import InputError, first_line
from tfzoo.files import read_npz

SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb")
_ARRAYS = ("v", "f", "voff", "foff", "y", "classes")
_LAYOUT = f"a folder category/file{{{','.join(SUFFIXES)}}}, or an .npz of {', '.join(_ARRAYS)}"


@dataclass(frozen=True)
class Mesh:
    """A mesh by name, with its category; `vertices` [N, 3], `faces` [M, 3]."""

    name: str
    category: str
    vertices: np.ndarray
    faces: np.ndarray


def categories(path: str) -> list[str]:
    """Names of the categories, in order.

    Raises:
        InputError: neither of the two layouts.
    """
    return list(category_counts(path))


def category_counts(path: str) -> dict[str, int]:
    """Number of meshes of each category, by its name, in order; none is read.

    Raises:
        InputError: neither of the two layouts.
    """
    if Path(path).is_file():
        arrays = _arrays(path)
        names = [str(name) for name in arrays["classes"]]
        counts = np.bincount(arrays["y"], minlength=len(names))
        return dict(zip(names, counts.tolist(), strict=True))
    return dict(sorted(Counter(p.parent.name for p in files(path)).items()))


def files(path: str) -> list[Path]:
    """The folder's mesh files, in order.

    Raises:
        InputError: no such folder, or no mesh files in folders below it.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"data.path={path!r}: no such file or folder; must be {_LAYOUT}")
    found = sorted(p for p in root.glob("*/*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"data.path={path!r}: holds no meshes; must be {_LAYOUT}")
    return found


def list_meshes(path: str) -> Iterator[tuple[str, Callable[[], Mesh]]]:
    """What errors call each mesh of either layout, and what reads it.

    The latter raises an `InputError` for a file that cannot be read, or if trimesh is missing.

    Raises:
        InputError: see `categories`.
    """
    if Path(path).is_file():
        for mesh in _from_arrays(path):
            yield f"{path}: mesh {mesh.name}", functools.partial(_itself, mesh)
    else:
        for file in files(path):
            yield str(file), functools.partial(_read, file, str(file.relative_to(path)))


def read_meshes(path: str) -> Iterator[Mesh]:
    """All meshes of either layout.

    Raises:
        InputError: see `list_meshes`.
    """
    for _, read in list_meshes(path):
        yield read()


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge, vertices at one place counted as one, has exactly two faces."""
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    return bool((counts == 2).all())


def _arrays(path: str) -> dict[str, np.ndarray]:
    found = read_npz(path, "data.path", _ARRAYS)
    missing = [name for name in _ARRAYS if name not in found]
    if missing:
        raise InputError(f"data.path={path!r}: has no {missing[0]}; must be {_LAYOUT}")
    many = len(found["y"]) if found["y"].ndim == 1 else -1

    def whole(name: str, size: int, below: int) -> bool:
        x = found[name]
        sound = x.dtype.kind in "ui" and x.shape == (size,)
        return sound and bool((x >= 0).all() and (x <= below).all())

    v, f = found["v"], found["f"]
    good = {
        "v": v.ndim == 2 and v.shape[1] == 3 and v.dtype.kind == "f",
        "f": f.ndim == 2 and f.shape[1] == 3 and f.dtype.kind in "ui",
        "classes": found["classes"].ndim == 1,
        "voff": many >= 0 and whole("voff", many + 1, len(v)),
        "foff": many >= 0 and whole("foff", many + 1, len(f)),
        "y": many >= 0 and whole("y", many, found["classes"].size - 1),
    }
    for name, fine in good.items():
        if not fine:
            raise InputError(
                f"data.path={path!r}: {name} is {found[name].dtype}{list(found[name].shape)}, or "
                f"points outside the others; must be {_LAYOUT}"
            )
    return found


def _from_arrays(path: str) -> Iterator[Mesh]:
    found = _arrays(path)
    v, f, voff, foff, y, classes = (found[name] for name in _ARRAYS)
    for i in range(len(y)):
        vertices, faces = v[voff[i] : voff[i + 1]], f[foff[i] : foff[i + 1]]
        yield Mesh(f"{i:05d}", str(classes[y[i]]), vertices, faces)


def _itself(mesh: Mesh) -> Mesh:
    return mesh


def _read(file: Path, name: str) -> Mesh:
    try:
        import trimesh
    except ImportError:
        raise InputError("data.path: mesh files need `pip install tfzoo[mesh]`") from None
    try:
        mesh: Any = trimesh.load(file, force="mesh", process=False)
        return Mesh(name, file.parent.name, np.asarray(mesh.vertices), np.asarray(mesh.faces))
    except Exception as error:  # a loader for each format, each with its own errors
        raise InputError(
            f"data.path: {str(file)!r} cannot be read as a mesh: {first_line(error)}"
        ) from None
