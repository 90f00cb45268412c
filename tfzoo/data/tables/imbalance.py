"""Makes classes of training splits rare."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.config import check


def cut(labels: ArrayLike, classes: int, examples: int, seed: int) -> np.ndarray:
    """The remaining rows when some classes keep only a few examples.

    Args:
        labels: class indices [N].
        classes: how many classes are reduced, drawn by the seed among those present; of two
            classes, class 1 is reduced.
        examples: how many each of these keeps at most.
        seed: seed of the draw.

    Returns: Indices of rows, in their order.

    Raises:
        InputError: more classes than there are, or a class left without examples.
    """
    labels, random = np.asarray(labels), np.random.RandomState(seed)
    present = np.unique(labels)
    check(0 <= classes <= len(present), "rare.classes", classes, f"from 0 to {len(present)}")
    check(examples >= 1, "rare.examples", examples, "at least 1")
    rare = present[-1:] if classes == 1 and len(present) == 2 else random.permutation(present)
    keep = np.ones(len(labels), bool)
    for label in rare[:classes]:
        keep[random.permutation(np.flatnonzero(labels == label))[examples:]] = False
    return np.flatnonzero(keep)


def long_tail(labels: ArrayLike, ratio: float, seed: int) -> np.ndarray:
    """The remaining rows when class sizes decrease geometrically from the first to the last.

    The first class present keeps as many as the smallest class has, the last one 1 / `ratio` of
    that (arXiv:1901.05555, 5.1).

    Args:
        labels: class indices [N].
        ratio: at least 1.
        seed: seed of the draw.

    Returns: Indices of rows, in their order.

    Raises:
        InputError: a ratio below 1.
    """
    check(ratio >= 1, "rare.ratio", ratio, "at least 1")
    labels, random = np.asarray(labels), np.random.RandomState(seed)
    present, counts = np.unique(labels, return_counts=True)
    shares = ratio ** -(np.arange(len(present)) / max(len(present) - 1, 1))
    kept = np.maximum((counts.min() * shares).astype(int), 1)
    rows = [
        random.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(present, kept, strict=True)
    ]
    return np.sort(np.concatenate(rows))
