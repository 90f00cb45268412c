"""Writes a mesh from photographs with cameras: `python -m tfzoo.recon3d.reconstruct MODEL ...`.

    python -m tfzoo.recon3d.reconstruct recon3d/solids capture/ --output x.glb
    python -m tfzoo.recon3d.reconstruct recon3d/solids a.png b.png --cameras c.npz --output x.obj

A folder is a capture in the form of NeRF, COLMAP, OpenCV or 3D-R2N2 (`tfzoo.data.shapes.captures`):
the object is located in it, and the mesh is in the capture's own coordinates and units. Separate
image files, with a white or transparent background, need `--cameras`: a file with `cameras` [V, 3,
7], or `k` [V, 3, 3], `r` [V, 3, 3] and `t` [V, 3], in the frame of the object's unit cube: OpenCV's
axes, world to camera, in pixels of the image files. Images may have any size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfzoo import zoo
from tfzoo.config import check
from tfzoo.data.shapes.cameras import cameras_of
from tfzoo.data.shapes.captures import of_files, read_capture
from tfzoo.errors import InputError
from tfzoo.files import expanded, read_npz
from tfzoo.recon3d.meshes import FORMATS, save_mesh
from tfzoo.recon3d.scene import reconstruct_capture


def read_cameras(path: str) -> np.ndarray:
    """Cameras [V, 3, 7] from a file.

    Raises:
        InputError: no such file, or neither `cameras` nor `k`, `r`, `t` in it.
    """
    arrays = read_npz(path, "--cameras", ("cameras", "k", "r", "t"))
    try:
        return cameras_of(arrays)
    except InputError as error:
        raise InputError(f"--cameras={path!r}: {error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line: returns 0, or 2 with one line that explains the error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name of `tfzoo list models`, a run, or a .keras file")
    parser.add_argument("images", nargs="+", type=expanded, help="a capture, or one file per view")
    parser.add_argument("--cameras", help=".npz of cameras, for image files: see the module")
    parser.add_argument("--output", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--resolution", type=int, default=64, help="cells per side")
    parser.add_argument("--threshold", type=float, help="default: the model's")
    words = parser.parse_args(argv)
    try:
        _run(words)
    except InputError as error:
        print(f"reconstruct: {error}", file=sys.stderr)
        return 2
    return 0


def _run(words: argparse.Namespace) -> None:
    suffix = Path(words.output).suffix.lower()
    check(suffix in FORMATS, "--output", words.output, f"a name that ends in {', '.join(FORMATS)}")
    if words.cameras is None:
        folder = len(words.images) == 1 and Path(words.images[0]).is_dir()
        check(folder, "--cameras", None, "given for image files; a folder has them")
        capture = read_capture(words.images[0])
    else:
        cameras, many = read_cameras(words.cameras), len(words.images)
        check(len(cameras) == many, "--cameras", len(cameras), f"{many} cameras")
        capture = of_files(words.images, cameras)
    model = zoo.load(words.model)
    mesh = reconstruct_capture(model, capture, words.resolution, words.threshold)
    path = save_mesh(mesh, words.output)
    print(f"{path}: {len(mesh.vertices)} vertices, volume {mesh.volume:.4g}")


if __name__ == "__main__":
    sys.exit(main())
