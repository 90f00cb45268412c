"""Which splits a data set is trained, chosen and reported on."""

from __future__ import annotations

from typing import Any

SPLITS = ("train", "validation", "test")


def three_splits(found: Any) -> tuple[str, str, str]:
    """TFDS split names for train, validation and test.

    A set without a validation split gives the last 2 % of its training examples to it. A set whose
    test labels are not public (ImageNet) is reported on its validation split, as its field does.

    Args:
        found: a TFDS builder.
    """
    names = set(found.info.splits)
    hidden = found.name.startswith("imagenet")
    if "validation" in names and "test" in names and not hidden:
        return "train", "validation", "test"
    reported = "test" if "test" in names and not hidden else "validation"
    return "train[:98%]", "train[98%:]", reported
