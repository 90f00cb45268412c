"""`tfzoo_arrays`: a user's own examples in one `.npz` file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.faults import Faults
from tfzoo.data.jpegs import Jpegs
from tfzoo.data.rows import Archive, Sliced
from tfzoo.data.splits import SPLITS, drawn
from tfzoo.data.synonyms import IMAGES, LABELS, chosen, unread
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError, first_line
from tfzoo.zoo import digest

_SPLITS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}
_WANTED = {
    f"{axis}_{split}": [f"{name}_{part}" for part in parts for name in names]
    + [f"{part}_{name}" for part in parts for name in names]
    for axis, names in (("x", IMAGES), ("y", LABELS))
    for split, parts in _SPLITS.items()
}
_WANTED["x_train"] += IMAGES
_WANTED["y_train"] += LABELS
_WANTED |= {f"{name}_{split}": [f"{name}_{split}"] for name in ("jpeg", "off") for split in SPLITS}
_LAYOUT = (
    "x and y, or x_train, y_train and, optionally, x_validation, ..., y_test; for JPEG "
    "files jpeg_train, off_train in place of x_train"
)


@dataclasses.dataclass(frozen=True)
class Part:
    """The examples of a split.

    Attributes:
        x: all examples stored together in the file [N, ...].
        index: those that belong to the split [M].
        y: their class indices [M].
    """

    x: Sliced
    index: np.ndarray
    y: np.ndarray


@dataclasses.dataclass
class ArraysConfig(UserConfig):
    """The user's file, and its examples' dtype and shape."""

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    num_classes: int = 1


def source(config: DataConfig) -> ArraysConfig:
    """Reads and checks the file, after whose content the builder config is named.

    Raises:
        InputError: no path, no such file, not an `.npz`, a missing array, arrays that do not match,
            or labels that are not class indices.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to an .npz file, for tfzoo_arrays")
    parts = read_splits(config.path, Faults(config.on_error))
    x = parts["train"].x
    return ArraysConfig(
        name=f"file-{digest(config.path)[:12]}",
        path=config.path,
        shape=x.shape[1:],
        dtype=x.dtype.name,
        num_classes=1 + max(int(part.y.max()) for part in parts.values()),
        unread=unread(Archive(config.path), _WANTED),
    )


class TfzooArrays(tfds.core.GeneratorBasedBuilder):
    """Arrays `x` [N, ...] (images: [N, H, W, C]) with class indices `y` [N] from an `.npz` file.

    Concatenated JPEG files, `jpeg_train` and `off_train`, can replace `x_train`: see `data.jpegs`.
    Features: `image` (the array's own dtype and shape), `label`. Missing splits are drawn from the
        training examples: 10 % each, by a fixed seed.
    """

    name = "tfzoo_arrays"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ArraysConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        form = self.builder_config
        exact = tfds.features.Encoding.BYTES  # otherwise float64 would be stored as float32
        features = {
            "image": tfds.features.Tensor(
                shape=form.shape, dtype=np.dtype(form.dtype), encoding=exact
            ),
            "label": tfds.features.ClassLabel(num_classes=form.num_classes),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_arrays: needs a file, given by tfzoo.data.DataConfig.path")
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        parts = read_splits(self.builder_config.path, faults)
        return {name: self._generate_examples(parts[name]) for name in SPLITS}

    def _generate_examples(self, part: Part) -> Iterator[tuple[int, dict]]:
        for i, x in part.x.examples(part.index, forward=True):
            yield i, {"image": x, "label": int(part.y[i])}


def read_splits(path: str, faults: Faults | None = None) -> dict[str, Part]:
    """The examples by split, checked; missing splits are drawn from the training examples.

    Args:
        path: the file.
        faults: handles examples that cannot be used; None: raise.

    Raises:
        InputError: see `source`.
    """
    faults = faults or Faults()
    arrays = _read(path)
    given = [s for s in SPLITS if {f"x_{s}", f"y_{s}"} & arrays.keys()]
    if "train" not in given:
        raise InputError(f"data.path={path!r}: has no x_train, y_train; must hold {_LAYOUT}")
    forms = {s: _checked(path, s, arrays) for s in given}
    x = forms["train"][0]
    for name, (values, _) in forms.items():
        if values.shape[1:] != x.shape[1:] or values.dtype != x.dtype:
            raise InputError(
                f"data.path={path!r}: x_{name} is {values.dtype}{list(values.shape[1:])}, must "
                f"have the form of x_train, {x.dtype}{list(x.shape[1:])}"
            )
    parts = {}
    for name, (values, y) in forms.items():
        index = _usable(path, name, values, faults)
        parts[name] = Part(values, index, y[index])
    train = parts["train"]
    rows = drawn(len(train.index), [name for name in SPLITS if name not in parts])
    if rows is None:
        raise InputError(
            f"data.path={path!r}: {len(train.index)} training examples are too few to split"
        )
    return parts | {name: Part(x, train.index[part], train.y[part]) for name, part in rows.items()}


def _read(path: str) -> dict[str, Any]:
    """The arrays by their names with a split's suffix."""
    archive = Archive(path)
    other = [name for name in unread(archive, _WANTED) if name[:2] in ("x_", "y_")]
    if other:  # a split that would never be read
        raise InputError(f"data.path={path!r}: holds {', '.join(other)}; must hold {_LAYOUT}")
    names = chosen(path, archive, _WANTED)
    for split in SPLITS:
        parts = [names.pop(name) for name in (f"jpeg_{split}", f"off_{split}") if name in names]
        if not parts:
            continue
        if len(parts) == 1 or f"x_{split}" in names:
            raise InputError(
                f"data.path={path!r}: must hold both jpeg_{split} and off_{split}, and then no x"
            )
        try:
            names[f"x_{split}"] = Jpegs(parts[0], parts[1].whole())
        except (OSError, ValueError) as error:
            raise InputError(f"data.path={path!r}: jpeg_{split}: {error}") from None
    return names


def _checked(path: str, split: str, arrays: dict[str, Any]) -> tuple[Sliced, np.ndarray]:
    """Examples and class indices of a split; shapes are compared before either is read."""

    def check(condition: bool, what: str) -> None:
        if not condition:
            raise InputError(f"data.path={path!r}: {what}")

    for name in (f"x_{split}", f"y_{split}"):
        check(name in arrays, f"has no {name}; must hold {_LAYOUT}")
    x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    check(x.ndim >= 2, f"x_{split} has shape {list(x.shape)}, must be [N, ...]")
    check(
        y.dtype.kind in "ui" and y.shape in ((len(y),), (len(y), 1)) if y.ndim else False,
        f"y_{split} is {y.dtype}{list(y.shape)}, must be integers [N]",
    )
    check(len(x) == len(y), f"x_{split} has {len(x)} examples, y_{split} {len(y)}; must be equal")
    check(x.size > 0, f"x_{split} {list(x.shape)} is empty")
    check(x.dtype.kind in "uif", f"x_{split} has dtype {x.dtype}, must be numbers")
    numbers = y.whole().reshape(len(y))  # keras.datasets has [N, 1]
    check(numbers.min() >= 0, f"y_{split} holds {numbers.min()}, must be class indices from 0")
    return x, numbers


def _usable(path: str, split: str, x: Sliced, faults: Faults) -> np.ndarray:
    """Indices of the examples that can be used."""
    good = np.ones(len(x), bool)
    if isinstance(x, Jpegs):
        for i in range(len(x)):
            good[i] = False
            with faults.of(f"{path}: jpeg_{split}: image {i}"):
                try:
                    x[i : i + 1]
                except (OSError, ValueError) as error:
                    raise InputError(first_line(error)) from None
                good[i] = True
    elif x.dtype.kind == "f":
        for start in range(0, len(x), x.at_once):
            values = x[start : start + x.at_once]
            finite = np.isfinite(values).reshape(len(values), -1).all(1)
            for i in (start + np.flatnonzero(~finite)).tolist():
                good[i] = False
                with faults.of(f"{path}: x_{split}: row {i}"):
                    raise InputError("holds NaN or infinity, must be finite")
    return np.flatnonzero(good)
