"""Images that lie as files, end to end, in one array of an `.npz`.

For each part, e.g. `train`: `jpeg_train` (uint8), the bytes of JPEG files one after the other;
`off_train`, whole numbers [N + 1], where each begins and where the last ends; `y_train` [N], class
numbers. It takes a third of the room that pixels take, and `tfzoo_arrays` reads it too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from tfzoo.errors import InputError


def read_jpegs(
    file: Mapping[str, np.ndarray], part: str, count: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The first images and class numbers of a part.

    Args:
        file: an opened `.npz` of this form.
        part: e.g. `"train"`.
        count: how many at most; None is all.

    Returns:
        Images uint8 [N, H, W, C] and labels int64 [N].

    Raises:
        KeyError: an array is missing.
        ValueError: beginnings that do not fit the bytes, or images of several sizes.
        OSError: an image cannot be decoded.
        InputError: Pillow is missing.
    """
    images = decoded(file[f"jpeg_{part}"], file[f"off_{part}"], count)
    return images, file[f"y_{part}"][: len(images)].astype("int64")


def decoded(files: np.ndarray, begins: np.ndarray, count: int | None = None) -> np.ndarray:
    """The first images uint8 [N, H, W, C] of such files; raises as `read_jpegs`."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("JPEG files in an .npz need `pip install pillow`") from None
    if files.dtype != np.uint8 or begins.ndim != 1 or begins.dtype.kind not in "ui":
        raise ValueError("files must be uint8, their beginnings whole numbers [N + 1]")
    begins = begins[: None if count is None else count + 1].astype("int64")
    if len(begins) < 2 or begins[0] < 0 or begins[-1] > files.size or (np.diff(begins) < 0).any():
        raise ValueError(f"beginnings of files must rise from 0 to at most {files.size}")
    content = files.tobytes()
    try:
        return np.stack(
            [
                np.asarray(Image.open(io.BytesIO(content[a:b]), formats=["JPEG"]))
                for a, b in zip(begins[:-1], begins[1:], strict=True)
            ]
        )
    except Image.DecompressionBombError as error:
        raise OSError(str(error)) from None
