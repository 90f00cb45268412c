"""`tfzoo_solids`: procedural solids of nine categories, rendered by known cameras."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.shapes.shape_samples import SIZE, VIEWS, sample_shape
from tfzoo.data.shapes.solid_kinds import KINDS, SEEN, UNSEEN, make_solid

COUNTS = {"train": 80, "validation": 6, "test": 10, "unseen": 6}
"""Number of solids of each category, by split."""


def shape_features(
    views: int, size: int, names: list[str], **more: Any
) -> tfds.features.FeaturesDict:
    """TFDS features of posed, sampled shapes, as returned by `sample_shape`.

    Args:
        views: views per shape.
        size: side of the images.
        names: names of the categories.
        **more: further features.
    """
    packed = tfds.features.Encoding.ZLIB
    rows = lambda dtype, *tail: tfds.features.Tensor(  # noqa: E731
        shape=(None, *tail), dtype=dtype, encoding=packed
    )
    images = tfds.features.Tensor(shape=(views, size, size, 3), dtype=np.uint8, encoding=packed)
    return tfds.features.FeaturesDict(
        {
            "images": images,
            "cameras": tfds.features.Tensor(shape=(views, 3, 7), dtype=np.float32),
            "points": rows(np.float32, 3),
            "occupancies": rows(np.bool_),
            "surface": rows(np.float32, 3),
            "normals": rows(np.float32, 3),
            "label": tfds.features.ClassLabel(names=names),
            **more,
        }
    )


class TfzooSolids(tfds.core.GeneratorBasedBuilder):
    """Solids composed of boxes, cylinders, cones, rods, rings and balls, on white.

    Features: `images` uint8 [8, 64, 64, 3]; `cameras` [8, 3, 7], see `tfzoo.data.shapes.cameras`;
    `points` [6144, 3] in the cube from -0.55 to 0.55, first 4,096 uniform ones, then 2,048 near the
    surface; `occupancies` [6144]; `surface`, `normals` [2048, 3]; `label`. Splits: `train` 80,
    `validation` 6 and `test` 10 each of table, car and plane; `unseen` 6 each of chair, lamp, mug,
    sofa, rocket and shelf, which no other split has. Solid i of a category and split is the same on
    every machine, up to rounding. Preparation takes about two minutes on one core.
    """

    name = "tfzoo_solids"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=shape_features(VIEWS, SIZE, list(KINDS)),
            disable_shuffling=True,
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        return {name: self._generate_examples(name, count) for name, count in COUNTS.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        kinds = _kinds(split)
        for i in range(count * len(kinds)):
            kind = kinds[i % len(kinds)]
            yield i, sample_solid(kind, split, i) | {"label": kind}


def _kinds(split: str) -> tuple[str, ...]:
    return UNSEEN if split == "unseen" else SEEN


def _random(split: str, number: int) -> np.random.RandomState:
    seed = np.array([zlib.crc32(split.encode()), number], np.uint32)
    return np.random.RandomState(seed)  # its stream is frozen by numpy


def sample_solid(kind: str, split: str, number: int) -> dict[str, Any]:
    """The result of `sample_shape` for a split's solid with that index."""
    rng = _random(split, number)
    return sample_shape(make_solid(kind, rng), rng)


def surface(split: str, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Surface points of a split's solid with that index, and normals, float32 [count, 3] each."""
    kinds, rng = _kinds(split), _random(split, number)
    return make_solid(kinds[number % len(kinds)], rng).surface(count, rng)
