"""ShapeNet as Occupancy Networks preprocessed it, with 3D-R2N2's renderings; read in place.

The user's folder has `<synset>/<shape>/` with `points.npz` (`points`, `occupancies`, possibly as
packed bits, `loc`, `scale`), `pointcloud.npz` (`points`, `normals`), and the views: either
`img_choy2016/000.jpg ...` with `cameras.npz` (`world_mat_<i>` [3, 4], `camera_mat_<i>` [3, 3]), or
3D-R2N2's `rendering/00.png ...` with `rendering_metadata.txt`. `<synset>/train.lst`, `val.lst` and
`test.lst` name the shapes of each split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfzoo.data import folders
from tfzoo.data.faults import Faults, check_once
from tfzoo.data.prepare import tell_skipped
from tfzoo.data.shapes import cameras as pinhole
from tfzoo.data.shapes.posed import PosedShapes, ShapesConfig
from tfzoo.errors import InputError, first_line
from tfzoo.files import read_npz

_LISTS = {"train": "train.lst", "validation": "val.lst", "test": "test.lst"}
_NOISE = 1e-4  # noise on points that are stored in 16 bits: breaks ties


def shapenet_shapes(config: ShapesConfig, size: int) -> dict[str, PosedShapes]:
    """The splits from the lists; `unseen` has the test shapes of the held-out categories.

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
            raise InputError(f"data.unseen={name!r}: must be one of {', '.join(synsets)}")
    seen = [name for name in synsets if name not in config.unseen]
    wanted = {split: (seen, file) for split, file in _LISTS.items()}
    wanted["unseen"] = (list(config.unseen), _LISTS["test"])
    faults = Faults(config.on_error)
    splits = {
        split: _split(_usable(_listed(root, *lists), config, faults), synsets, size)
        for split, lists in wanted.items()
    }
    tell_skipped(config, faults.skipped)
    return splits


def _listed(root: Path, wanted: list[str], file: str) -> list[Path]:
    """The folders of the shapes that a split's lists name, for some categories."""
    try:
        listed = [
            root / synset / name
            for synset in wanted
            for name in (root / synset / file).read_text(encoding="utf-8").split()
        ]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"data.path={str(root)!r}: {file} cannot be read: {error}") from None
    if not listed:
        raise InputError(f"data.path={str(root)!r}: {file} of {wanted} name no shapes")
    return listed


def _usable(listed: list[Path], config: ShapesConfig, faults: Faults) -> list[Path]:
    """The shapes whose files can all be read, according to `data.on_error`."""
    files = [path for folder in listed for path in sorted(folder.rglob("*")) if path.is_file()]
    state = folders.state(files, "shapenet")
    check_once(listed, _check, state, faults, config.data_dir)
    kept = [folder for folder in listed if str(folder) not in faults.skipped]
    if not kept:
        raise InputError(f"data.path={config.path!r}: none of {len(listed)} shapes can be used")
    return kept


def _check(folder: Path) -> None:
    """Reads all files of a shape; an `InputError` names the file that cannot be used."""
    try:
        read_points(folder)
        read_surface(folder)
        for file in read_cameras(folder)[0]:
            _read_view(file)
    except (IndexError, OSError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"data.path: {str(folder)!r} has corrupt files: {error}") from None


def _split(listed: list[Path], synsets: list[str], size: int) -> PosedShapes:
    views = len(read_cameras(listed[0])[1])

    def views_of(i: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # stateless, or TensorFlow reads one by one where operations are deterministic
        images, cameras = tf.numpy_function(
            lambda i, n: read_views(listed[int(i)], n, size),
            [i, numbers],
            [tf.float32] * 2,
            stateful=False,
        )
        count = numbers.shape[0]
        return tf.ensure_shape(images, [count, size, size, 3]), tf.ensure_shape(
            cameras, [count, 3, 7]
        )

    def samples_of(i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        points, inside = tf.numpy_function(
            lambda i: read_points(listed[int(i)]), [i], [tf.float32] * 2, stateful=False
        )
        return tf.ensure_shape(points, [None, 3]), tf.ensure_shape(inside, [None])

    labels = np.array([synsets.index(folder.parent.name) for folder in listed], np.int64)
    count = len(read_points(listed[0])[0])
    return PosedShapes(
        len(listed),
        views,
        views_of,
        samples_of,
        lambda i, count: read_surface(listed[i], count),
        labels,
        tuple(synsets),
        count,
    )


def read_points(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points float32 [P, 3] in the unit cube and a margin, and occupancies float32 [P]."""
    arrays = _load(folder / "points.npz", ("points", "occupancies"))
    points, inside = arrays["points"], arrays["occupancies"]
    if points.dtype == np.float16:
        noise = np.random.RandomState(0).normal(size=points.shape)
        points = points.astype(np.float32) + _NOISE * noise
    if inside.dtype == np.uint8 and len(inside) < len(points):
        inside = np.unpackbits(inside)[: len(points)]
    return points.astype(np.float32), inside.astype(np.float32)


def read_surface(folder: Path, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` surface points and normals, float32 [P, 3]."""
    arrays = _load(folder / "pointcloud.npz", ("points", "normals"))
    points, normals = (arrays[name][:count].astype(np.float32) for name in ("points", "normals"))
    return points, normals


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
    """Images float32 [v, size, size, 3] on white, and the matching cameras float32 [v, 3, 7]."""
    files, cameras = read_cameras(folder)
    images, fitting = [], []
    for i in numbers:
        image = _read_view(files[i])
        fitting.append(pinhole.resized(cameras[i], size / image.shape[0]))
        images.append(tf.image.resize(image, [size, size], antialias=True).numpy())
    return np.stack(images), np.stack(fitting).astype(np.float32)


def _read_view(file: Path) -> tf.Tensor:
    """One view float32 [S, S, 3], on white."""
    try:
        content = file.read_bytes()
        pixels = tf.io.decode_image(content, expand_animations=False, dtype=tf.uint8)
    except (OSError, tf.errors.InvalidArgumentError) as error:
        raise InputError(
            f"data.path: {str(file)!r} must be a readable image: {first_line(error)}"
        ) from None
    image = tf.cast(pixels, tf.float32)
    if image.shape[-1] == 4:
        image = image[..., :3] + (255 - image[..., :3]) * (1 - image[..., 3:] / 255)
    elif image.shape[-1] == 1:
        image = tf.image.grayscale_to_rgb(image)
    if image.shape[-1] != 3 or image.shape[0] != image.shape[1]:
        raise InputError(f"data.path: {str(file)!r} must be square, and grey or RGB(A)")
    return image


def _load(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    arrays = read_npz(path, "data.path", names)
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(f"data.path: {str(path)!r} has no array {missing[0]}")
    return arrays
