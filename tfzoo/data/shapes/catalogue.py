"""Shapes with posed views and occupancy samples, from prepared data or files, by split."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.config import check
from tfzoo.data import memory
from tfzoo.data.config import DataConfig
from tfzoo.data.prepare import builder, split
from tfzoo.data.shapes.cameras import R2N2_LIKE, VARIED, CameraRanges
from tfzoo.data.shapes.posed import SPLITS, PosedShapes, ShapesConfig, from_arrays
from tfzoo.data.splits import drawn
from tfzoo.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

VARIED_SOLIDS = "varied_solids"
"""Data whose solids are generated during training."""

SHAPENET = ("shapenet_occupancy",)
"""Data that are read in place from a path: ShapeNet as preprocessed by Occupancy Networks."""


def posed_shapes(config: ShapesConfig, size: int) -> dict[str, PosedShapes]:
    """Train, validation, test and unseen shapes; no shape is in two of them.

    Data without these splits are split here: `unseen` gets all shapes of the categories that the
    config names; a tenth each of the others goes to validation and test, by a fixed seed.

    Args:
        config: names the data.
        size: side S of the model's images; ShapeNet's are resized to it.

    Raises:
        InputError: no such data, images of a different size, unknown categories, or too few shapes.
    """
    if config.name in SHAPENET:
        from tfzoo.data.shapes.shapenet import shapenet_shapes

        return shapenet_shapes(config, size)
    if config.name == VARIED_SOLIDS:
        from tfzoo.data.shapes.varied_solids import varied_solids

        check(not config.unseen, "data.unseen", list(config.unseen), "empty: the data have a split")
        return varied_solids(size)
    data = DataConfig(config.name, config.data_dir, config.path, on_error=config.on_error)
    prepared = builder(data)
    features = prepared.info.features
    check("cameras" in features, "data.name", config.name, "data of posed shapes")
    side = features["images"].shape[2]
    check(side == size, "image_size", size, f"{side}, that of {config.name}'s images")
    names = features["label"].names
    ready = {name: _read(prepared, name, names) for name in prepared.info.splits}
    if "unseen" in ready:
        check(not config.unseen, "data.unseen", list(config.unseen), "empty: the data have a split")
        return ready
    return by_category(ready["shapes"], config.unseen)


def count_shapes(config: ShapesConfig, size: int) -> int | None:
    """Number of training shapes of `posed_shapes`, without rendering; None without a path.

    Raises:
        InputError: see `posed_shapes`; faults that only rendering reveals are not detected.
    """
    if config.path is None:
        return None
    if config.name in SHAPENET:
        return len(posed_shapes(config, size)["train"])
    if config.name != "tfzoo_meshes":
        return None
    from tfzoo.data.shapes import mesh_files

    counts = mesh_files.category_counts(config.path)
    names = list(counts)
    labels = np.repeat(np.arange(len(names)), list(counts.values()))
    return len(_parts(labels, names, config.unseen)["train"])


def camera_ranges(config: ShapesConfig) -> CameraRanges | None:
    """Ranges of the cameras of the data's views; None for views from elsewhere."""
    return {"tfzoo_solids": R2N2_LIKE, "tfzoo_meshes": VARIED, VARIED_SOLIDS: VARIED}.get(
        config.name
    )


def by_category(shapes: PosedShapes, unseen: Sequence[str]) -> dict[str, PosedShapes]:
    """The four splits of shapes: see `posed_shapes`.

    Raises:
        InputError: unknown categories, or too few shapes.
    """
    rows = _parts(shapes.labels, shapes.names, unseen)
    return {name: shapes.take(rows[name]) for name in SPLITS}


def _parts(
    labels: np.ndarray, names: Sequence[str], unseen: Sequence[str]
) -> dict[str, np.ndarray]:
    """Rows of each split, for shapes with these categories."""
    for name in unseen:
        check(name in names, "data.unseen", name, f"one of {', '.join(names)}")
    out = np.isin(labels, [list(names).index(name) for name in unseen])
    seen = np.flatnonzero(~out)
    parts = drawn(len(seen), ["validation", "test"])
    if parts is None or not out.any():
        raise InputError(
            f"data.unseen={list(unseen)}: {len(seen)} seen and {int(out.sum())} unseen shapes; "
            "must be at least 4 and 1"
        )
    return {name: seen[part] for name, part in parts.items()} | {"unseen": np.flatnonzero(out)}


def _read(builder: tfds.core.DatasetBuilder, name: str, names: Sequence[str]) -> PosedShapes:
    from tfzoo.data.shapes import meshes, solids
    from tfzoo.data.shapes.shape_samples import UNIFORM

    arrays = memory.arrays(split(builder, name))
    if builder.name == "tfzoo_solids":
        return from_arrays(arrays, names, UNIFORM, functools.partial(solids.surface, name))
    if "number" not in arrays:
        return from_arrays(arrays, names, UNIFORM)
    path, numbers = builder.builder_config.path, arrays["number"]
    return from_arrays(
        arrays, names, UNIFORM, lambda i, count: meshes.surface(path, int(numbers[i]), count)
    )
