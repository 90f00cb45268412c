"""Synonymous names in a user's file, and names that no reader uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfzoo.errors import InputError

ROWS = 2**16

IMAGES = ("x", "X", "images", "image", "features", "inputs")
VIDEOS = ("x", "X", "videos", "video", "clips", "frames")
LABELS = ("y", "Y", "labels", "label", "targets", "target")
CLASSES = ("classes", "class_names")


def chosen(
    path: str, arrays: Mapping[str, Any], wanted: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The file's arrays under the reader's names.

    Args:
        path: the file, for error messages.
        arrays: have `shape`, and give rows by slicing.
        wanted: the names that each array may have in the file.

    Raises:
        InputError: two names for the same array, with different values.
    """
    names = {}
    for name, synonyms in wanted.items():
        present = [synonym for synonym in synonyms if synonym in arrays]
        for other in present[1:]:
            if not _equal(arrays[present[0]], arrays[other]):
                raise InputError(
                    f"data.path={path!r}: {present[0]} and {other} are synonyms but "
                    "differ; must be one of them, or equal"
                )
        if present:
            names[name] = arrays[present[0]]
    return names


def unread(names: Collection[str], wanted: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names that no reader uses."""
    taken = {synonym for synonyms in wanted.values() for synonym in synonyms}
    return tuple(sorted(set(names) - taken))


def _equal(a: Any, b: Any) -> bool:
    if a.shape != b.shape or not a.shape:
        return False
    return all(np.array_equal(a[rows], b[rows]) for rows in _slices(a.shape))


def _slices(shape: tuple[int, ...]) -> Iterator[slice]:
    step = max(1, ROWS // max(1, int(np.prod(shape[1:]))))
    yield from (slice(start, start + step) for start in range(0, shape[0], step))
