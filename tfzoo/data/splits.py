"""The splits on which models are trained, chosen and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

SPLITS = ("train", "validation", "test")


def three_splits(builder: tfds.core.DatasetBuilder) -> tuple[str, str, str]:
    """TFDS split names for train, validation and test.

    Without a validation split, the last 2 % of the training examples serve as one. Data whose test
    labels are not public (ImageNet) are reported on their validation split, as is customary.

    Args:
        builder: a TFDS builder.
    """
    names = set(builder.info.splits)
    hidden = builder.name.startswith("imagenet")
    if "validation" in names and "test" in names and not hidden:
        return "train", "validation", "test"
    reported = "test" if "test" in names and not hidden else "validation"
    return "train[:98%]", "train[98%:]", reported


def drawn(count: int, missing: list[str]) -> dict[str, np.ndarray] | None:
    """Fixed splits for a user's data without splits: indices below `count`, drawn once.

    10 % for each missing split, the rest for train; None if there are too few.
    """
    held = max(1, count // 10)
    if count <= held * len(missing):
        return None
    order = np.random.RandomState(0).permutation(count)  # its stream is frozen by numpy
    parts = {name: order[i * held : (i + 1) * held] for i, name in enumerate(missing)}
    return parts | {"train": np.sort(order[held * len(missing) :])}
