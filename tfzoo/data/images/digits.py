"""`tfzoo_digits`: scikit-learn's 1,797 real handwritten digits of 8x8 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import tensorflow_datasets as tfds

if TYPE_CHECKING:
    from sklearn.utils import Bunch

_HELD = 30  # of each class, for validation and for test each


class TfzooDigits(tfds.core.GeneratorBasedBuilder):
    """Digits of the UCI optical recognition set, as scikit-learn ships them.

    Features: `image` uint8 [8, 8, 1] with values 0 to 16, `label` int64. The splits are fixed,
    disjoint and stratified: 1,197 train, 300 validation and 300 test (30 of each digit).
    """

    name = "tfzoo_digits"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        from sklearn.datasets import load_digits

        digits = load_digits()
        random = np.random.RandomState(0)  # its stream is frozen by numpy
        parts: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
        for label in range(10):
            order = random.permutation(np.flatnonzero(digits.target == label))
            parts["validation"].extend(order[:_HELD])
            parts["test"].extend(order[_HELD : 2 * _HELD])
            parts["train"].extend(order[2 * _HELD :])
        return {name: self._generate_examples(digits, rows) for name, rows in parts.items()}

    def _generate_examples(self, digits: Bunch, rows: list[int]) -> Iterator[tuple[int, dict]]:
        for i in rows:
            image = digits.images[i].astype(np.uint8)[..., None]
            yield int(i), {"image": image, "label": int(digits.target[i])}
