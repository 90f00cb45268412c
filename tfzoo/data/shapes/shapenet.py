"""ShapeNet as Occupancy Networks preprocessed it, with 3D-R2N2's renderings; read in place.

The user's folder has `<synset>/<shape>/` with `points.npz` (`points`, `occupancies`, perhaps packed
bits, `loc`, `scale`), `pointcloud.npz` (`points`, `normals`), and the views: either
`img_choy2016/000.jpg ...` with `cameras.npz` (`world_mat_<i>` [3, 4], `camera_mat_<i>` [3, 3]), or
3D-R2N2's `rendering/00.png ...` with `rendering_metadata.txt`. `<synset>/train.lst`, `val.lst` and
`test.lst` name the shapes of each split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes.posed import PosedShapes, ShapesConfig
from tfzoo.errors import InputError
from tfzoo.files import read_npz

_LISTS = {"train": "train.lst", "validation": "val.lst", "test": "test.lst"}
_NOISE = 1e-4  # of points that are stored in 16 bits: breaks ties


def shapenet_shapes(config: ShapesConfig, size: int) -> dict[str, PosedShapes]:
    """The splits of the lists; `unseen` has the test shapes of the categories held out.

    Raises:
        InputError: no such folder, no category in it, unknown categories, or an empty split.
    """
    root = Path(config.path or "")
    if config.path is None or not root.is_dir():
        raise InputError(f"data.path={config.path!r}: must be a folder of synsets")
    synsets = sorted(p.parent.name for p in root.glob("*/train.lst"))
    if not synsets:
        raise InputError(f"data.path={config.path!r}: has no <synset>/train.lst")
    for name in config.unseen:
        if name not in synsets:
            raise InputError(f"data.unseen={name!r}: must be of {', '.join(synsets)}")
    seen = [name for name in synsets if name not in config.unseen]
    found = {split: _split(root, seen, synsets, file, size) for split, file in _LISTS.items()}
    return found | {"unseen": _split(root, list(config.unseen), synsets, _LISTS["test"], size)}


def _split(root: Path, wanted: list[str], synsets: list[str], file: str, size: int) -> PosedShapes:
    folders = [
        root / synset / name
        for synset in wanted
        for name in (root / synset / file).read_text().split()
    ]
    if not folders:
        raise InputError(f"data.path={str(root)!r}: {file} of {wanted} name no shapes")
    views = len(read_cameras(folders[0])[1])

    def views_of(i: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, cameras = tf.numpy_function(
            lambda i, n: read_views(folders[int(i)], n, size), [i, numbers], [tf.float32] * 2
        )
        count = numbers.shape[0]
        return tf.ensure_shape(images, [count, size, size, 3]), tf.ensure_shape(
            cameras, [count, 3, 7]
        )

    def samples_of(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        points, inside = tf.numpy_function(
            lambda i: read_points(folders[int(i)]), [i], [tf.float32] * 2
        )
        return tf.ensure_shape(points, [None, 3]), tf.ensure_shape(inside, [None])

    labels = np.array([synsets.index(folder.parent.name) for folder in folders], np.int64)
    count = len(read_points(folders[0])[0])
    return PosedShapes(
        len(folders),
        views,
        views_of,
        samples_of,
        lambda i: read_surface(folders[i]),
        labels,
        tuple(synsets),
        count,
    )


def read_points(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 [P, 3] of the unit cube and a margin, occupancies float32 [P]."""
    arrays = _load(folder / "points.npz", ("points", "occupancies"))
    points, inside = arrays["points"], arrays["occupancies"]
    if points.dtype == np.float16:
        noise = np.random.RandomState(0).normal(size=points.shape)
        points = points.astype(np.float32) + _NOISE * noise
    if inside.dtype == np.uint8 and len(inside) < len(points):
        inside = np.unpackbits(inside)[: len(points)]
    return points.astype(np.float32), inside.astype(np.float32)


def read_surface(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Surface points and normals float32 [P, 3]."""
    arrays = _load(folder / "pointcloud.npz", ("points", "normals"))
    return arrays["points"].astype(np.float32), arrays["normals"].astype(np.float32)


def read_cameras(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Image files, and their cameras [V, 3, 7] in the frame of `read_points`."""
    frame = _load(folder / "points.npz", ("loc", "scale"))
    if (folder / "img_choy2016" / "cameras.npz").is_file():
        views = folder / "img_choy2016"
        files = sorted([*views.glob("*.jpg"), *views.glob("*.png")])
        names = [f"{kind}_mat_{i}" for i in range(len(files)) for kind in ("camera", "world")]
        arrays = _load(views / "cameras.npz", names)
        k = np.stack([arrays[f"camera_mat_{i}"] for i in range(len(files))])
        world = np.stack([arrays[f"world_mat_{i}"] for i in range(len(files))])
        cameras = pinhole.pack_cameras(k, world[:, :, :3], world[:, :, 3])
    elif (folder / "rendering" / "rendering_metadata.txt").is_file():
        views = folder / "rendering"
        files = sorted(views.glob("*.png"))
        lines = (views / "rendering_metadata.txt").read_text().strip().splitlines()
        rows = [[float(word) for word in line.split()] for line in lines]
        cameras = np.stack([pinhole.from_r2n2(row[0], row[1], row[3]) for row in rows])
    else:
        raise InputError(f"data.path: {str(folder)!r} has no img_choy2016/ and no rendering/")
    if not files or len(files) != len(cameras):
        raise InputError(
            f"data.path: {str(views)!r} has {len(files)} images and {len(cameras)} cameras"
        )
    return files, pinhole.in_frame(cameras, frame["loc"], float(frame["scale"]))


def read_views(folder: Path, numbers: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 [v, size, size, 3] on white, and cameras float32 [v, 3, 7] that fit them."""
    files, cameras = read_cameras(folder)
    images, fitting = [], []
    for i in numbers:
        pixels = tf.io.decode_image(
            tf.io.read_file(str(files[i])), expand_animations=False, dtype=tf.uint8
        )
        image = tf.cast(pixels, tf.float32)
        if image.shape[-1] == 4:
            image = image[..., :3] + (255 - image[..., :3]) * (1 - image[..., 3:] / 255)
        elif image.shape[-1] == 1:
            image = tf.image.grayscale_to_rgb(image)
        if image.shape[0] != image.shape[1]:
            raise InputError(f"data.path: {str(files[i])!r} is not square")
        fitting.append(pinhole.resized(cameras[i], size / image.shape[0]))
        images.append(tf.image.resize(image, [size, size], antialias=True).numpy())
    return np.stack(images), np.stack(fitting).astype(np.float32)


def _load(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    found = read_npz(path, "data.path", names)
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"data.path: {str(path)!r} has no array {missing[0]}")
    return found
