"""Checks a user's inputs and returns arrays with a batch axis."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfzoo.errors import InputError
from tfzoo.recon3d.views import check_views


def checked(
    model: keras.Model, images: ArrayLike, cameras: ArrayLike, points: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """images [B, V, S, S, 3], cameras [B, V, 3, 7], points [B, N, 3], and whether B was missing.

    Args:
        model: an `OccupancyReconstructor`, for its sizes.
        images: raw pixels, with or without the axis B.
        cameras: likewise.
        points: likewise.

    Raises:
        InputError: a wrong shape, an object without views, too few views for the model, non-finite
            values, or views that are inconsistent: see `tfzoo.recon3d.views.check_views`.
    """
    size = model.image_size
    images, cameras, points = _array("images", images), _array("cameras", cameras), points
    points = _array("points", points)
    single = images.ndim == 4
    if single:
        images, cameras, points = images[None], cameras[None], points[None]
    if images.ndim != 5 or images.shape[2:] != (size, size, 3):
        raise InputError(f"images{list(images.shape)}: must be [B, V, {size}, {size}, 3]")
    if cameras.shape != (*images.shape[:2], 3, 7):
        raise InputError(
            f"cameras{list(cameras.shape)}: must be {[*images.shape[:2], 3, 7]}, one per image"
        )
    if points.ndim != 3 or points.shape[0] != len(images) or points.shape[2] != 3:
        raise InputError(f"points{list(points.shape)}: must be [{len(images)}, N, 3]")
    views = (cameras != 0).any((2, 3)).sum(1)
    least = 2 if model.aggregate.mode == "var" else 1
    if len(views) == 0 or views.min() < least:
        count = 0 if len(views) == 0 else int(views.min())
        raise InputError(f"cameras: an object has {count} views, must have at least {least}")
    for i, (pictures, around) in enumerate(zip(images, cameras, strict=True)):
        check_views(pictures, around, model.camera_ranges, None if single else i)
    return images, cameras, points, single


def _array(name: str, value: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None
    if array.dtype.kind not in "uif":
        raise InputError(f"{name}: dtype {array.dtype} must be numbers")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or infinity, must be finite")
    return array
