"""Checks sets of images given by users."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.errors import InputError


def padded(
    sets: ArrayLike | list[np.ndarray], mask: ArrayLike | None, image_size: int, channels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sets as one array with a mask.

    Args:
        sets: [B, n, S, S, C], or a list of [n_i, S, S, C].
        mask: [B, n], which images are present; None: all.
        image_size: side S.
        channels: number of channels C.

    Returns:
        float32 [B, n, S, S, C] and bool [B, n].

    Raises:
        InputError: no sets, an empty set, a mask of another shape, images of another size, or
            non-finite values.
    """
    if isinstance(sets, (list, tuple)):
        sets, mask = _joined([np.asarray(s) for s in sets], mask)
    images = np.asarray(sets)
    want = f"[B, n, {image_size}, {image_size}, {channels}]"
    if images.ndim != 5 or images.shape[2:] != (image_size, image_size, channels):
        raise InputError(f"sets: shape {list(images.shape)}, must be {want}")
    if 0 in images.shape[:2]:
        raise InputError(f"sets: shape {list(images.shape)}, must have at least one image each")
    mask = np.ones(images.shape[:2], bool) if mask is None else np.asarray(mask).astype(bool)
    if mask.shape != images.shape[:2]:
        raise InputError(f"mask: shape {list(mask.shape)}, must be {list(images.shape[:2])}")
    empty = np.flatnonzero(~mask.any(1))
    if len(empty):
        raise InputError(f"mask: set {empty[0]} has no image, must have at least one")
    if images.dtype.kind not in "uifb" or not np.isfinite(images.astype("float32")).all():
        raise InputError(f"sets: {images.dtype} values must be finite numbers")
    return images.astype("float32"), mask


def check_count(name: str, value: int) -> None:
    """Raises InputError for a number below 1."""
    if value < 1:
        raise InputError(f"{name}={value}: must be at least 1")


def _joined(sets: list[np.ndarray], mask: ArrayLike | None) -> tuple[np.ndarray, ArrayLike]:
    if not sets:
        raise InputError("sets=[]: must have at least one set")
    shapes = {s.shape[1:] for s in sets}
    if len(shapes) > 1:
        raise InputError(f"sets: images of shapes {sorted(map(list, shapes))}, must be equal")
    sizes = [len(s) for s in sets]
    if 0 in sizes:
        raise InputError(f"sets: set {sizes.index(0)} is empty, must have at least one image")
    if mask is not None:
        return np.stack(sets) if len(set(sizes)) == 1 else _padding(sets), mask
    return _padding(sets), np.arange(max(sizes)) < np.array(sizes)[:, None]


def _padding(sets: list[np.ndarray]) -> np.ndarray:
    most = max(map(len, sets))
    rest = lambda s: [(0, most - len(s))] + [(0, 0)] * (s.ndim - 1)  # noqa: E731
    return np.stack([np.pad(s, rest(s)) for s in sets])
