"""Rows of numbers with a class: `tfzoo_breast_cancer`, and `tfzoo_table` of a user's CSV file."""

from __future__ import annotations

import csv
import dataclasses
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.faults import Faults
from tfzoo.data.splits import SPLITS
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError
from tfzoo.zoo import digest

_HELD = 0.2  # of each class, for validation and for test each


@dataclasses.dataclass
class TableConfig(UserConfig):
    """The user's file, its number of features and its classes, the most frequent first."""

    width: int = 1
    classes: tuple[str, ...] = ("0", "1")


def source(config: DataConfig) -> TableConfig | None:
    """Reads and checks the file, after whose content the builder config is named.

    Raises:
        InputError: no path, no such file, or a wrong format.
    """
    if config.name != "tfzoo_table":
        return None
    if config.path is None:
        raise InputError("data.path: must be set, to a CSV file, for tfzoo_table")
    if not Path(config.path).is_file():
        raise InputError(f"data.path={config.path!r}: no such file")
    x, _, classes = read(config.path, Faults(config.on_error))
    name = f"file-{digest(config.path)[:12]}"
    return TableConfig(name=name, path=config.path, width=x.shape[1], classes=classes)


class _Table(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _form(
        self, width: int, classes: tuple[str, ...], homepage: str = ""
    ) -> tfds.core.DatasetInfo:
        features = {
            "features": tfds.features.Tensor(shape=(width,), dtype=np.float32),
            "label": tfds.features.ClassLabel(names=list(classes)),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("features", "label"),
            homepage=homepage,
            metadata=tfds.core.MetadataDict(),
        )

    def _parts(self, x: np.ndarray, y: np.ndarray) -> dict[str, Iterator]:
        parts = stratified(y)
        return {name: self._generate_examples(x, y, parts[name]) for name in SPLITS}

    def _generate_examples(
        self, x: np.ndarray, y: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for i in rows:
            yield int(i), {"features": x[i].astype("float32"), "label": int(y[i])}


class TfzooBreastCancer(_Table):
    """Breast Cancer Wisconsin (diagnostic), as scikit-learn ships it: 569 rows, 30 features.

    Features: `features` float32 [30], `label` (0 benign, 1 malignant). The splits are fixed,
    disjoint and stratified: 60 % train, 20 % validation, 20 % test.
    """

    name = "tfzoo_breast_cancer"

    def _info(self) -> tfds.core.DatasetInfo:
        home = "https://archive.ics.uci.edu/dataset/17"
        return self._form(30, ("benign", "malignant"), home)

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        from sklearn.datasets import load_breast_cancer

        cancer = load_breast_cancer()
        return self._parts(cancer.data, 1 - cancer.target)


class TfzooTable(_Table):
    """A CSV file of numbers whose last column is the class; a header row is skipped.

    Features: `features` float32 [F], `label`: classes are ordered by decreasing frequency, so of
    two classes, 1 is the rarer. The splits are drawn by a fixed seed, stratified: 60 % train, 20 %
    validation, 20 % test.
    """

    name = "tfzoo_table"
    BUILDER_CONFIGS = [TableConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        return self._form(self.builder_config.width, self.builder_config.classes)

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_table: needs a file, given by tfzoo.data.DataConfig.path")
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        x, y, _ = read(self.builder_config.path, faults)
        return self._parts(x, y)


def read(path: str, faults: Faults | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features [N, F], class indices [N] and class names of a CSV file, read row by row.

    Args:
        path: the file.
        faults: handles rows that cannot be used; None: raise.

    Raises:
        InputError: not UTF-8 text, ragged rows, a feature that is not a finite number, only one
            class, or a class with fewer than three rows.
    """
    faults, width, count = faults or Faults(), 0, 0
    values, labels = array("d"), []  # 8 bytes per number, where lists of strings take 60
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = (row for row in csv.reader(file) if row)
            for at, row in enumerate(rows):
                if at == 0 and not _numbers(row[:-1]):  # names
                    continue
                width = width or len(row)
                count += 1
                part = f"row {count} of the data"
                with faults.of(part):
                    if len(row) != width or not _numbers(row[:-1]):
                        raise InputError(
                            f"data.path={path!r}: {part} must have {width - 1} finite numbers and "
                            f"a class, is {','.join(row)[:60]!r}"
                        )
                    values.extend(float(cell) for cell in row[:-1])
                    labels.append(sys.intern(row[-1].strip(" '\"")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"data.path={path!r}: must be a CSV file of text: {error}") from None
    if not count or width < 2:
        raise InputError(f"data.path={path!r}: must have rows of features and a class")
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.min() < 3:
        listed = ", ".join(f"{n}: {c}" for n, c in zip(names[:10], counts, strict=False))
        raise InputError(f"data.path={path!r}: must have 2 classes of 3 rows, has {listed}")
    order = np.argsort(-counts, kind="stable")
    y = np.argsort(order)[numbers.reshape(-1)]  # by decreasing frequency
    return np.array(values).reshape(-1, width - 1), y, tuple(map(str, names[order]))


def stratified(y: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of each split: a fifth of each class for validation and another fifth for test."""
    random = np.random.RandomState(0)  # its stream is frozen by numpy
    parts: dict[str, list[int]] = {name: [] for name in SPLITS}
    for label in np.unique(y):
        order = random.permutation(np.flatnonzero(y == label))
        held = max(1, round(_HELD * len(order)))
        parts["validation"].extend(order[:held])
        parts["test"].extend(order[held : 2 * held])
        parts["train"].extend(order[2 * held :])
    return {name: np.sort(np.array(rows)) for name, rows in parts.items()}


def _numbers(cells: list[str]) -> bool:
    try:
        return bool(np.isfinite([float(c) for c in cells]).all())
    except ValueError:
        return False
