"""A mesh file from images and cameras: `python -m tfzoo.recon3d.reconstruct MODEL IMAGES ...`.

    python -m tfzoo.recon3d.reconstruct recon3d/solids a.png b.png --cameras c.npz --output x.obj

The cameras' file has `cameras` [V, 3, 7], or `k` [V, 3, 3], `r` [V, 3, 3] and `t` [V, 3]: OpenCV's
axes, world to camera, in pixels of the image files. Images must be square, the background white
(transparent parts become so); they and their cameras are brought to the model's size.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfzoo import zoo
from tfzoo.config import check
from tfzoo.data.shapes.cameras import resized
from tfzoo.errors import InputError
from tfzoo.files import expanded, read_npz
from tfzoo.recon3d.inputs import cameras_of
from tfzoo.recon3d.meshes import FORMATS, save_mesh


def read_cameras(path: str) -> np.ndarray:
    """Cameras [V, 3, 7] of a file.

    Raises:
        InputError: no such file, or neither `cameras` nor `k`, `r`, `t` in it.
    """
    arrays = read_npz(path, "--cameras", ("cameras", "k", "r", "t"))
    try:
        return cameras_of(arrays)
    except InputError as error:
        raise InputError(f"--cameras={path!r}: {error}") from None


def read_image(path: str, size: int) -> tuple[np.ndarray, float]:
    """Raw pixels float32 [size, size, 3] on white, and how many times as wide they now are.

    Raises:
        InputError: no such file, no image, or not square.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            image = file.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            flat = Image.alpha_composite(white, image).convert("RGB")
    except OSError as error:
        raise InputError(f"image {path!r}: cannot be read: {error}") from None
    if flat.width != flat.height:
        raise InputError(f"image {path!r}: is {flat.width} x {flat.height}, must be square")
    small = flat if flat.width == size else flat.resize((size, size), Image.Resampling.BOX)
    return np.asarray(small, np.float32), size / flat.width


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0, or 2 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a name of `tfzoo list models`, a run, or a .keras file")
    parser.add_argument("images", nargs="+", type=expanded, help="one file a view")
    parser.add_argument("--cameras", required=True, help=".npz, see the module")
    parser.add_argument("--output", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--resolution", type=int, default=64, help="cells a side")
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
    cameras = read_cameras(words.cameras)
    check(
        len(cameras) == len(words.images), "--cameras", len(cameras), f"{len(words.images)} cameras"
    )
    model = zoo.load(words.model)
    read = [read_image(path, model.image_size) for path in words.images]
    images = np.stack([image for image, _ in read])
    cameras = np.stack([resized(c, f) for c, (_, f) in zip(cameras, read, strict=True)])
    mesh = model.reconstruct(images, cameras, words.resolution, words.threshold)
    path = save_mesh(mesh, words.output)
    print(f"{path}: {len(mesh.vertices)} vertices, volume {mesh.volume:.4f}")


if __name__ == "__main__":
    sys.exit(main())
