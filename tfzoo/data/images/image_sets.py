"""Sets of related images, split by set: views of a shape, drawings of a letter, faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfzoo.data import folders, memory
from tfzoo.data.config import DataConfig
from tfzoo.data.decoding import SUFFIXES, decode, read_image
from tfzoo.data.faults import Faults, check_once
from tfzoo.data.info import value_range
from tfzoo.data.pipeline import TrainStream, train_stream
from tfzoo.data.prepare import builder, split, tell_skipped
from tfzoo.data.splits import SPLITS, drawn
from tfzoo.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


LOOKED_AT = 64
"""How many images of a folder are examined to decide whether it has colours."""


@dataclass(frozen=True)
class ImageSets:
    """The sets of one split; images are in memory or in files.

    Attributes:
        read: maps an image's index (int64 scalar tensor) to raw pixels, float32 [S, S, C].
        starts: index of each set's first image, int64 [M].
        counts: number of images of each set, int64 [M].
        shape: [S, S, C].
        truth: further known properties of each set by name, [M, ...], e.g. `voxels`.
        limits: the range of the pixels, by `tfzoo.data.info.value_range`.
    """

    read: Callable[[tf.Tensor], tf.Tensor]
    starts: np.ndarray
    counts: np.ndarray
    shape: tuple[int, int, int]
    truth: dict[str, np.ndarray]
    limits: tuple[float, float] = (0.0, 255.0)

    def __len__(self) -> int:
        return len(self.starts)

    def stream(
        self,
        n: int,
        *,
        batch_size: int,
        seed: int,
        steps_per_epoch: int | None = None,
        with_index: bool = False,
    ) -> TrainStream:
        """Batches of `images` [B, n, S, S, C] and `mask` [B, n]: n random images of each set.

        A smaller set gives all its images; the rest is masked. `with_index` adds the sets' indices
        [B].
        """
        starts, counts = tf.constant(self.starts), tf.constant(self.counts)

        def choose(index: tf.Tensor, seed: tf.Tensor) -> Any:
            order = tf.random.experimental.stateless_shuffle(tf.range(counts[index]), seed)[:n]
            have = tf.size(order)
            order = tf.pad(order, [[0, n - have]])
            spec = tf.TensorSpec(self.shape, tf.float32)
            images = tf.map_fn(self.read, starts[index] + order, fn_output_signature=spec)
            images = tf.ensure_shape(images, [n, *self.shape])
            example = {"images": images, "mask": tf.range(n) < have}
            return (example, index) if with_index else example

        return train_stream(
            lambda index, epoch: index,
            count=len(self),
            batch_size=batch_size,
            seed=seed,
            map_fn=choose,
            steps_per_epoch=steps_per_epoch,
        )

    def arrays(self, n: int, sets: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The first n images of the first sets: float32 [M, n, S, S, C], mask bool [M, n]."""
        count = min(len(self), sets or len(self))
        images = np.zeros((count, n, *self.shape), np.float32)
        mask = np.arange(n) < self.counts[:count, None]
        numbers = (self.starts[:count, None] + np.arange(n))[mask]
        stream = tf.data.Dataset.from_tensor_slices(numbers).map(self.read, tf.data.AUTOTUNE)
        places = zip(*np.nonzero(mask), strict=True)
        for place, image in zip(places, stream.as_numpy_iterator(), strict=True):
            images[place] = image
        return images, mask

    def batches(self, n: int, batch_size: int) -> tf.data.Dataset:
        """Batches as from `stream`, each set once."""
        images, mask = self.arrays(n)
        stream = tf.data.Dataset.from_tensor_slices({"images": images, "mask": mask})
        return stream.batch(batch_size)

    def take(self, rows: np.ndarray) -> ImageSets:
        """The sets at `rows`, in that order."""
        truth = {name: value[rows] for name, value in self.truth.items()}
        return replace(self, starts=self.starts[rows], counts=self.counts[rows], truth=truth)


def from_arrays(images: np.ndarray, owner: np.ndarray, **truth: np.ndarray) -> ImageSets:
    """Sets of images [N, S, S, C] in memory; image i belongs to the set `owner[i]`."""
    order = np.argsort(owner, kind="stable")
    _, starts, counts = np.unique(owner[order], return_index=True, return_counts=True)
    held, rows = memory.tensor(images), tf.constant(order)
    return ImageSets(
        lambda i: tf.cast(held[rows[i]], tf.float32),
        starts.astype("int64"),
        counts.astype("int64"),
        tuple(images.shape[1:]),
        truth,
        value_range(images.dtype, images.min(), images.max()),
    )


def from_files(files: list[list[Path]], size: int, channels: int) -> ImageSets:
    """Sets of image files, read when needed."""
    paths = tf.constant([str(path) for part in files for path in part])
    counts = np.array([len(part) for part in files], "int64")

    def read(i: tf.Tensor) -> tf.Tensor:
        return fitted(decode(tf.io.read_file(paths[i]), channels), size, channels)

    starts = np.cumsum(counts) - counts
    return ImageSets(read, starts, counts, (size, size, channels), {})


def fitted(image: tf.Tensor, size: int, channels: int) -> tf.Tensor:
    """An image's central square, area-resized to [size, size, channels], float32 raw pixels."""
    image = tf.cast(image, tf.float32)
    if image.shape[-1] == 3 and channels == 1:
        image = tf.image.rgb_to_grayscale(image)
    elif image.shape[-1] == 1 and channels == 3:
        image = tf.image.grayscale_to_rgb(image)
    shape = tf.shape(image)
    side = tf.minimum(shape[0], shape[1])
    image = tf.image.crop_to_bounding_box(
        image, (shape[0] - side) // 2, (shape[1] - side) // 2, side, side
    )
    resized = tf.image.resize(image, [size, size], "area")
    return tf.ensure_shape(resized, [size, size, channels])


def image_sets(config: DataConfig, size: int, channels: int | None = None) -> dict[str, ImageSets]:
    """Train, validation and test sets; no set is in two of them.

    `tfzoo_image_folder` takes a folder of any depth whose innermost folders are sets (below
    `train`, `validation`, `test` if present) and reads files when needed. TFDS data with a feature
    `images` [n, S, S, C] are used as they are; data with `image` and `label` are grouped by label,
    and a split that shares labels with the training split is merged into it. Splits that are still
    missing are drawn: 10 % of the sets each, by a fixed seed.

    Args:
        config: names the data.
        size: side to which images are resized.
        channels: 1 or 3; None: 1 if the data are grey, otherwise 3. A folder is grey if `LOOKED_AT`
            evenly spread images are, whatever their file format.

    Raises:
        InputError: no such data, too few sets, images that cannot be resized, or files that cannot
            be read.
    """
    if config.name == "tfzoo_image_folder":
        return _folders(config, size, channels)
    prepared = builder(config)
    features = prepared.info.features
    if "images" in features:
        channels = channels or features["images"].shape[-1]
        if tuple(features["images"].shape[1:]) != (size, size, channels):
            raise InputError(
                f"data.name={config.name!r}: images {list(features['images'].shape[1:])}, must be "
                f"[{size}, {size}, {channels}], the model's sizes"
            )
        return {name: _ready(prepared, name) for name in SPLITS}
    if "image" not in features or "label" not in features:
        raise InputError(
            f"data.name={config.name!r}: must have images, or image and label; has "
            f"{', '.join(features)}"
        )
    channels = channels or features["image"].shape[-1] or 3
    parts = {name: _grouped(prepared, name, size, channels) for name in prepared.info.splits}
    parts = {name: part for name, part in parts.items() if name in SPLITS}
    return _by_label(config.name, parts)


def _ready(builder: tfds.core.DatasetBuilder, name: str) -> ImageSets:
    truth = memory.arrays(split(builder, name))
    images = truth.pop("images")
    m, n = images.shape[:2]
    return from_arrays(
        images.reshape(m * n, *images.shape[2:]), np.repeat(np.arange(m), n), **truth
    )


def _grouped(
    builder: tfds.core.DatasetBuilder, name: str, size: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    def small(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = fitted(example["image"], size, channels)
        return tf.cast(tf.round(image), tf.uint8), example["label"]

    return memory.arrays(split(builder, name).map(small, tf.data.AUTOTUNE))


def _by_label(name: str, parts: dict[str, Any]) -> dict[str, ImageSets]:
    """Merges splits that share labels with the training split into it; keeps the others."""
    seen = set(np.unique(parts["train"][1]))
    shared = [k for k, part in parts.items() if seen & set(np.unique(part[1]))]
    sets = {k: from_arrays(*part) for k, part in parts.items() if k not in shared}
    whole = parts["train"] if shared == ["train"] else memory.joined(map(parts.pop, shared))
    train = from_arrays(*whole)
    rows = drawn(len(train), [key for key in SPLITS if key != "train" and key not in sets])
    if rows is None:
        raise InputError(f"data.name={name!r}: {len(train)} sets are too few to split")
    return sets | {key: train.take(part) for key, part in rows.items()}


def _folders(config: DataConfig, size: int, channels: int | None) -> dict[str, ImageSets]:
    path = config.path
    if path is None or not Path(path).is_dir():
        raise InputError(f"data.path={path!r}: must be a folder of folders of images")
    root = Path(path)
    roots = {name: root / name for name in SPLITS if (root / name).is_dir()}
    parts = {name: _sets_below(r) for name, r in (roots or {"train": root}).items()}
    if "train" not in parts:
        raise InputError(f"data.path={path!r}: has {', '.join(parts)}, must have train")
    parts = _usable(parts, config, channels or 3)
    channels = channels or _colours([i for sets in parts.values() for one in sets for i in one])
    train = parts["train"]
    rows = drawn(len(train), [name for name in SPLITS if name not in parts])
    if rows is None:
        raise InputError(f"data.path={path!r}: {len(train)} sets are too few to split")
    parts |= {name: [train[i] for i in part] for name, part in rows.items()}
    return {name: from_files(part, size, channels) for name, part in parts.items()}


def _colours(paths: list[Path]) -> int:
    """1 if images spread evenly over the paths are grey, otherwise 3."""
    for i in np.unique(np.linspace(0, len(paths) - 1, LOOKED_AT).round().astype(int)):
        pixels = read_image(paths[i])[1].numpy()
        if (pixels != pixels[..., :1]).any():
            return 3
    return 1


def _sets_below(root: Path) -> list[list[Path]]:
    """The images below a folder, grouped by folder."""
    sets: dict[Path, list[Path]] = {}
    for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES):
        sets.setdefault(path.parent, []).append(path)
    if not sets:
        raise InputError(f"data.path: {str(root)!r} has no images ({', '.join(SUFFIXES)})")
    return [sets[folder] for folder in sorted(sets)]


def _usable(
    parts: dict[str, list[list[Path]]], config: DataConfig, channels: int
) -> dict[str, list[list[Path]]]:
    """The sets without unreadable images, according to `data.on_error`."""
    faults = Faults(config.on_error)
    paths = [path for sets in parts.values() for images in sets for path in images]
    state = folders.state(paths, f"images {channels}")
    check_once(paths, lambda path: read_image(path, channels), state, faults, config.data_dir)
    tell_skipped(config, faults.skipped)

    def kept(images: list[Path]) -> list[Path]:
        return [path for path in images if str(path) not in faults.skipped]

    return {name: [kept(i) for i in sets if kept(i)] for name, sets in parts.items()}
