"""`tfzoo_arrays`: a user's own examples in one `.npz` file."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.errors import InputError
from tfzoo.zoo import digest

_SPLITS = ("train", "validation", "test")
_LAYOUT = "x and y, or x_train, y_train and, as far as there are any, x_validation, ..., y_test"


@dataclasses.dataclass
class ArraysConfig(tfds.core.BuilderConfig):
    """The user's file, and the examples' form as read from it."""

    path: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    num_classes: int = 0


def source(config: DataConfig) -> ArraysConfig:
    """Reads and checks the file's form.

    Raises:
        InputError: no path, no such file, not an `.npz`, a missing array, arrays that do not fit
            together, or labels that are no class numbers.
    """
    if config.path is None:
        raise InputError("data.path: must be set to an .npz file for tfzoo_arrays")
    parts = read_splits(config.path)
    x = parts["train"][0]
    classes = 1 + max(int(y.max()) for _, y in parts.values())
    return ArraysConfig(
        name=f"file-{digest(config.path)[:12]}",
        path=config.path,
        shape=x.shape[1:],
        dtype=x.dtype.name,
        num_classes=classes,
    )


class TfzooArrays(tfds.core.GeneratorBasedBuilder):
    """Arrays `x` [N, ...] (images: [N, H, W, C]) with integer labels `y` [N] from an `.npz` file.

    Features: `image` (the array's own dtype and shape), `label`. Splits not given are drawn from
    the training examples: 10 % each, by a fixed seed.
    """

    name = "tfzoo_arrays"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ArraysConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        form = self.builder_config
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=form.shape, dtype=np.dtype(form.dtype)),
                    "label": tfds.features.ClassLabel(num_classes=form.num_classes),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, manager: Any) -> dict[str, Iterator]:
        del manager
        parts = read_splits(self.builder_config.path)
        return {name: self._generate_examples(*parts[name]) for name in _SPLITS}

    def _generate_examples(self, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[int, dict]]:
        for i in range(len(x)):
            yield i, {"image": x[i], "label": int(y[i])}


def read_splits(path: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(x, y) by split, checked; missing splits are drawn from the training examples.

    Raises:
        InputError: see `source`.
    """
    if not Path(path).is_file():
        raise InputError(f"data.path={path!r}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"data.path={path!r}: must be an .npz of plain arrays: {error}") from None
    if "x" in arrays and "y" in arrays:
        arrays |= {"x_train": arrays["x"], "y_train": arrays["y"]}
    if "x_train" not in arrays or "y_train" not in arrays:
        raise InputError(f"data.path={path!r}: holds {', '.join(arrays)}; must hold {_LAYOUT}")
    parts = {}
    for name in _SPLITS:
        if f"x_{name}" in arrays:
            parts[name] = _checked(path, name, arrays)
    missing = [name for name in _SPLITS if name not in parts]
    x, y = parts["train"]
    order, held = np.random.RandomState(0).permutation(len(x)), max(1, len(x) // 10)
    if len(x) <= held * len(missing):
        raise InputError(f"data.path={path!r}: {len(x)} training examples are too few to split")
    for i, name in enumerate(missing):
        rows = order[i * held : (i + 1) * held]
        parts[name] = x[rows], y[rows]
    kept = order[held * len(missing) :]
    parts["train"] = x[kept], y[kept]
    for name, (x_part, _) in parts.items():
        if x_part.shape[1:] != x.shape[1:] or x_part.dtype != x.dtype:
            raise InputError(
                f"data.path={path!r}: x_{name} is {x_part.dtype}{list(x_part.shape)}, must have "
                f"the form of x_train, {x.dtype}{list(x.shape)}"
            )
    return parts


def _checked(path: str, name: str, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    def refuse(what: str) -> None:
        raise InputError(f"data.path={path!r}: {what}")

    x, y = arrays[f"x_{name}"], arrays.get(f"y_{name}")
    if y is None:
        refuse(f"x_{name} is there, y_{name} is missing")
    if x.ndim < 2 or len(x) != len(y):
        refuse(f"x_{name} {list(x.shape)} and y_{name} {list(y.shape)} must have one length")
    if len(x) == 0:
        refuse(f"x_{name} is empty")
    if x.dtype.kind not in "uif":
        refuse(f"x_{name} has dtype {x.dtype}, must be numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        refuse(f"x_{name} holds NaN or infinity")
    if y.ndim != 1 or y.dtype.kind not in "ui" or y.min() < 0:
        refuse(f"y_{name} is {y.dtype}{list(y.shape)}, must be class numbers from 0, [N]")
    return x, y
