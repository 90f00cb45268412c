"""`tfzoo_shapes_views`: procedural chairs, tables and lamps, seen from 24 directions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.shapes import voxels


class TfzooShapesViews(tfds.core.GeneratorBasedBuilder):
    """Sets of views of voxel furniture, an analogue of ShapeNet's renderings.

    Features: `images` uint8 [24, 16, 16, 1], orthographic views shaded by depth, 15 degrees of
    azimuth apart, from 30 degrees above; `voxels` bool [16, 16, 16] over x, y, z with z up;
    `label`: chair, table or lamp. The splits are by shape: 3,000 train, 400 validation, 400 test,
        with no duplicate shapes. Drawn by a fixed seed.
    """

    name = "tfzoo_shapes_views"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        side, packed = voxels.SIDE, tfds.features.Encoding.ZLIB
        images = (voxels.AZIMUTHS, side, side, 1)
        features = {
            "images": tfds.features.Tensor(shape=images, dtype=np.uint8, encoding=packed),
            "voxels": tfds.features.Tensor(shape=(side,) * 3, dtype=np.bool_, encoding=packed),
            "label": tfds.features.ClassLabel(names=list(voxels.KINDS)),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        shapes = different_shapes(sum(voxels.COUNTS.values()))
        splits, start = {}, 0
        for name, count in voxels.COUNTS.items():
            splits[name] = self._generate_examples(shapes, range(start, start + count))
            start += count
        return splits

    def _generate_examples(self, shapes: list, rows: range) -> Iterator[tuple[int, dict]]:
        for i in rows:
            kind, grid = shapes[i]
            yield i, {"images": voxels.views(grid), "voxels": grid, "label": kind}


def different_shapes(count: int, seed: int = 0) -> list[tuple[str, np.ndarray]]:
    """Draws `count` distinct shapes and their kinds; kinds are uniform."""
    rng = np.random.RandomState(seed)  # its stream is frozen by numpy
    shapes: list[tuple[str, np.ndarray]] = []
    seen: set[bytes] = set()
    while len(shapes) < count:
        kind = voxels.KINDS[rng.randint(len(voxels.KINDS))]
        grid = voxels.furniture(kind, rng)
        key = np.packbits(grid).tobytes()
        if key not in seen:
            seen.add(key)
            shapes.append((kind, grid))
    return shapes
