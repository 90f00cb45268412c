"""Images that lie as JPEG files, end to end, in one array of an `.npz` (CIFAR-10-JPEG)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np


def read_jpegs(file: Any, part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images and class numbers of a part.

    Args:
        file: an opened `.npz` with `jpeg_<part>` (uint8), `off_<part>` (where each image begins,
            and the end) and `y_<part>`.
        part: e.g. `"train"`.
        count: how many at most.

    Returns:
        Images uint8 [N, H, W, C] and labels int64 [N].

    Raises:
        KeyError: an array is missing.
        OSError: an image cannot be decoded.
    """
    from PIL import Image

    blob, ends = file[f"jpeg_{part}"].tobytes(), file[f"off_{part}"]
    count = min(count, len(ends) - 1)
    images = [np.asarray(Image.open(io.BytesIO(blob[ends[i] : ends[i + 1]]))) for i in range(count)]
    return np.stack(images), file[f"y_{part}"][:count].astype("int64")
