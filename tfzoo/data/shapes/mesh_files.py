"""A user's meshes: a folder of folders of mesh files, or one `.npz` of concatenated meshes.

The `.npz`, which needs no trimesh: `v` [*, 3], floats, the concatenated vertices of all meshes, and
`f` [*, 3], integers, their triangles, with vertex indices within the mesh; `voff` and `foff` [N
+ 1], where each mesh begins and where the last ends; `y` [N], indices into `classes`, the names
of the categories.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.data.rows import Archive
from tfzoo.data.synonyms import CLASSES, LABELS, chosen, unread
from tfzoo.errors import InputError, first_line

SUFFIXES = (".obj", ".off", ".ply", ".stl", ".glb")
_ARRAYS = ("v", "f", "voff", "foff", "y", "classes")
_WANTED = {name: [name] for name in _ARRAYS}
_WANTED |= {"v": ["v", "vertices"], "f": ["f", "faces"]}
_WANTED |= {"y": list(LABELS), "classes": list(CLASSES)}
_LAYOUT = f"a folder category/file{{{','.join(SUFFIXES)}}}, or an .npz of {', '.join(_ARRAYS)}"


@dataclass(frozen=True)
class Mesh:
    """A named mesh with its category; `vertices` [N, 3], `faces` [M, 3]."""

    name: str
    category: str
    vertices: np.ndarray
    faces: np.ndarray


def categories(path: str) -> list[str]:
    """Names of the categories, in order.

    Raises:
        InputError: the path has neither layout.
    """
    return list(category_counts(path))


def category_counts(path: str) -> dict[str, int]:
    """Number of meshes by category, in order; reads no mesh.

    Raises:
        InputError: the path has neither layout.
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
        InputError: no such folder, or no mesh files in its subfolders.
    """
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"data.path={path!r}: no such file or folder; must be {_LAYOUT}")
    paths = sorted(p for p in root.glob("*/*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"data.path={path!r}: holds no meshes; must be {_LAYOUT}")
    return paths


def list_meshes(path: str) -> Iterator[tuple[str, Callable[[], Mesh]]]:
    """For each mesh of either layout, its name in error messages and its reader.

    The reader raises an `InputError` if the file cannot be read or trimesh is missing.

    Raises:
        InputError: see `categories`.
    """
    if Path(path).is_file():
        yield from _from_arrays(path)
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
    """Whether every edge has exactly two faces, after merging coincident vertices."""
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = index.reshape(-1)[mesh.faces]
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    return bool((counts == 2).all())


def unread_arrays(path: str) -> tuple[str, ...]:
    """Names of the arrays of an `.npz` that are not read; none for a folder."""
    return unread(Archive(path), _WANTED) if Path(path).is_file() else ()


def _arrays(path: str) -> dict[str, Any]:
    """The arrays, checked; `v` and `f` are `Sliced`, that is, read by rows."""
    arrays = chosen(path, Archive(path), _WANTED)
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise InputError(f"data.path={path!r}: has no {missing[0]}; must be {_LAYOUT}")
    v, f = arrays["v"], arrays["f"]
    many = len(arrays["y"]) if arrays["y"].ndim == 1 else -1
    shapes = {
        "v": v.ndim == 2 and v.shape[1] == 3 and v.dtype.kind == "f",
        "f": f.ndim == 2 and f.shape[1] == 3 and f.dtype.kind in "ui",
        "classes": arrays["classes"].ndim == 1,
        "voff": arrays["voff"].shape == (many + 1,) and arrays["voff"].dtype.kind in "ui",
        "foff": arrays["foff"].shape == (many + 1,) and arrays["foff"].dtype.kind in "ui",
        "y": many >= 0 and arrays["y"].dtype.kind in "ui",
    }
    forms = {name: f"{x.dtype}{list(x.shape)}" for name, x in arrays.items()}
    if all(shapes.values()):
        arrays |= {name: arrays[name].whole() for name in ("classes", "voff", "foff", "y")}
        for name, last in (("voff", len(v)), ("foff", len(f)), ("y", len(arrays["classes"]) - 1)):
            shapes[name] = bool((arrays[name] >= 0).all() and (arrays[name] <= last).all())
    for name, fine in shapes.items():
        if not fine:
            raise InputError(
                f"data.path={path!r}: {name} is {forms[name]}, or points outside the others; must "
                f"be {_LAYOUT}"
            )
    return arrays


def _from_arrays(path: str) -> Iterator[tuple[str, Callable[[], Mesh]]]:
    arrays = _arrays(path)
    v, f, voff, foff, y, classes = (arrays[name] for name in _ARRAYS)

    def read(i: int) -> Mesh:
        vertices, faces = v[voff[i] : voff[i + 1]], f[foff[i] : foff[i + 1]]
        return Mesh(f"{i:05d}", str(classes[y[i]]), vertices, faces)

    for i in range(len(y)):
        yield f"{path}: mesh {i:05d}", functools.partial(read, i)


def _read(file: Path, name: str) -> Mesh:
    try:
        import trimesh
    except ImportError:
        raise InputError("data.path: mesh files need `pip install tfzoo[mesh]`") from None
    try:
        mesh: Any = trimesh.load(file, force="mesh", process=False)
        return Mesh(name, file.parent.name, np.asarray(mesh.vertices), np.asarray(mesh.faces))
    except Exception as error:  # each format's loader has its own errors
        raise InputError(
            f"data.path: {str(file)!r} cannot be read as a mesh: {first_line(error)}"
        ) from None
