"""`tfzoo_arrays`: a user's own examples in one `.npz` file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.jpegs import decoded
from tfzoo.data.splits import SPLITS, drawn
from tfzoo.errors import InputError
from tfzoo.files import read_npz
from tfzoo.zoo import digest

Part = tuple[np.ndarray, np.ndarray]

_NAMES = [f"{axis}_{split}" for axis in "xy" for split in SPLITS]
_LAYOUT = (
    "x and y, or x_train, y_train and, as far as there are any, x_validation, ..., y_test; of JPEG "
    "files jpeg_train, off_train in place of x_train"
)


@dataclasses.dataclass
class ArraysConfig(tfds.core.BuilderConfig):
    """The user's file, and the examples' form as read from it."""

    path: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    num_classes: int = 1


def source(config: DataConfig) -> ArraysConfig:
    """Reads and checks the file; its builder config is named after the content.

    Raises:
        InputError: no path, no such file, not an `.npz`, a missing array, arrays that do not fit
            together, or labels that are no class numbers.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to an .npz file, for tfzoo_arrays")
    if not Path(config.path).is_file():
        raise InputError(f"data.path={config.path!r}: no such file")
    parts = read_splits(config.path)
    x = parts["train"][0]
    return ArraysConfig(
        name=f"file-{digest(config.path)[:12]}",
        path=config.path,
        shape=x.shape[1:],
        dtype=x.dtype.name,
        num_classes=1 + max(int(y.max()) for _, y in parts.values()),
    )


class TfzooArrays(tfds.core.GeneratorBasedBuilder):
    """Arrays `x` [N, ...] (images: [N, H, W, C]) with class numbers `y` [N] from an `.npz` file.

    In place of `x_train` JPEG files end to end, `jpeg_train` and `off_train`: see `data.jpegs`.
    Features: `image` (the array's own dtype and shape), `label`. Splits that the file lacks are
    drawn from the training examples: 10 % each, by a fixed seed.
    """

    name = "tfzoo_arrays"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ArraysConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        form = self.builder_config
        exact = tfds.features.Encoding.BYTES  # without it, float64 is stored as float32
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
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_arrays: must be given a file, by tfzoo.data.DataConfig.path")
        parts = read_splits(self.builder_config.path)
        return {name: self._generate_examples(*parts[name]) for name in SPLITS}

    def _generate_examples(self, x: np.ndarray, y: np.ndarray) -> Iterator[tuple[int, dict]]:
        for i in range(len(x)):
            yield i, {"image": x[i], "label": int(y[i])}


def read_splits(path: str) -> dict[str, Part]:
    """(x, y) by split, checked; missing splits are drawn from the training examples.

    Raises:
        InputError: see `source`.
    """
    arrays = _read(path)
    parts = {s: _checked(path, s, arrays) for s in SPLITS if {f"x_{s}", f"y_{s}"} & arrays.keys()}
    if "train" not in parts:
        raise InputError(f"data.path={path!r}: has no x_train, y_train; must hold {_LAYOUT}")
    x, y = parts["train"]
    rows = drawn(len(x), [name for name in SPLITS if name not in parts])
    if rows is None:
        raise InputError(f"data.path={path!r}: {len(x)} training examples are too few to split")
    parts |= {name: (x[part], y[part]) for name, part in rows.items()}
    for name, (values, _) in parts.items():
        if values.shape[1:] != x.shape[1:] or values.dtype != x.dtype:
            raise InputError(
                f"data.path={path!r}: x_{name} is {values.dtype}{list(values.shape[1:])}, must "
                f"have the form of x_train, {x.dtype}{list(x.shape[1:])}"
            )
    return parts


def _read(path: str) -> dict[str, np.ndarray]:
    """The arrays by their names with split; `x`, `y` count as `x_train`, `y_train`."""
    files = [f"{name}_{split}" for name in ("jpeg", "off") for split in SPLITS]
    found = read_npz(path, "data.path", ("x", "y", "x_*", "y_*", *files))
    for split in SPLITS:
        parts = [found.pop(name) for name in (f"jpeg_{split}", f"off_{split}") if name in found]
        if not parts:
            continue
        if len(parts) == 1 or f"x_{split}" in found or "x" in found:
            raise InputError(
                f"data.path={path!r}: must hold both jpeg_{split} and off_{split}, and then no x"
            )
        try:
            found[f"x_{split}"] = decoded(parts[0], parts[1])
        except (OSError, ValueError) as error:
            raise InputError(f"data.path={path!r}: jpeg_{split}: {error}") from None
    arrays = {name: value for name, value in found.items() if name in ("x", "y", *_NAMES)}
    other = sorted(found.keys() - arrays)
    if other:
        raise InputError(f"data.path={path!r}: holds {', '.join(other)}; must hold {_LAYOUT}")
    for axis in "xy":
        if axis in arrays and f"{axis}_train" in arrays:
            raise InputError(f"data.path={path!r}: holds {axis} and {axis}_train; must hold one")
        if axis in arrays:
            arrays[f"{axis}_train"] = arrays.pop(axis)
    return arrays


def _checked(path: str, split: str, arrays: dict[str, np.ndarray]) -> Part:
    def check(condition: bool, what: str) -> None:
        if not condition:
            raise InputError(f"data.path={path!r}: {what}")

    for name in (f"x_{split}", f"y_{split}"):
        check(name in arrays, f"has no {name}; must hold {_LAYOUT}")
    x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if y.ndim == 2 and y.shape[1] == 1:  # as keras.datasets gives them
        y = y[:, 0]
    check(x.ndim >= 2, f"x_{split} has shape {list(x.shape)}, must be [N, ...]")
    check(
        y.ndim == 1 and y.dtype.kind in "ui",
        f"y_{split} is {y.dtype}{list(y.shape)}, must be whole numbers [N]",
    )
    check(len(x) == len(y), f"x_{split} has {len(x)} examples, y_{split} {len(y)}; must be equal")
    check(x.size > 0, f"x_{split} {list(x.shape)} is empty")
    check(x.dtype.kind in "uif", f"x_{split} has dtype {x.dtype}, must be numbers")
    check(bool(np.isfinite(x).all()), f"x_{split} holds NaN or infinity, must be finite")
    check(y.min() >= 0, f"y_{split} holds {y.min()}, must be class numbers from 0")
    return x, y
