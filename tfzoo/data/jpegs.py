"""Images that lie as files, end to end, in one array of an `.npz`.

For each part, e.g. `train`: `jpeg_train` (uint8), the bytes of JPEG files one after the other;
`off_train`, whole numbers [N + 1], where each begins and where the last ends; `y_train` [N], class
numbers. It takes a third of the room that pixels take, and `tfzoo_arrays` reads it too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from tfzoo.data.rows import Sliced
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
    images = Jpegs(files, begins[: None if count is None else count + 1])
    return images[:]


class Jpegs(Sliced):
    """Images uint8 [N, H, W, C] that lie as files end to end, decoded when they are read.

    Args:
        files: uint8 [*], also one that is read by rows.
        begins: whole numbers [N + 1], where each file begins and the last ends.

    Raises:
        ValueError: beginnings that do not fit the bytes; on access: images of several sizes.
        OSError: the first image, or one that is accessed, cannot be decoded.
        InputError: Pillow is missing.
    """

    def __init__(self, files: np.ndarray | Sliced, begins: np.ndarray):
        if files.dtype != np.uint8 or begins.ndim != 1 or begins.dtype.kind not in "ui":
            raise ValueError("files must be uint8, their beginnings whole numbers [N + 1]")
        begins = begins.astype("int64")
        sound = len(begins) > 1 and begins[0] >= 0 and begins[-1] <= files.size
        if not sound or (np.diff(begins) < 0).any():
            raise ValueError(f"beginnings of files must rise from 0 to at most {files.size}")
        self._files, self._begins, self.dtype = files, begins, np.dtype("uint8")
        self.shape = (len(begins) - 1, *self._decode(0, 1)[0].shape)

    def _read(self, start: int, stop: int) -> np.ndarray:
        return np.stack(self._decode(start, stop))

    def _decode(self, start: int, stop: int) -> list[np.ndarray]:
        try:
            from PIL import Image
        except ImportError:
            raise InputError("JPEG files in an .npz need `pip install pillow`") from None
        begins = self._begins[start : stop + 1]
        content = self._files[int(begins[0]) : int(begins[-1])].tobytes()
        begins = begins - begins[0]
        try:
            images = [
                np.asarray(Image.open(io.BytesIO(content[a:b]), formats=["JPEG"]))
                for a, b in zip(begins[:-1], begins[1:], strict=True)
            ]
        except Image.DecompressionBombError as error:
            raise OSError(str(error)) from None
        for image in images:
            if image.shape != getattr(self, "shape", (0, *images[0].shape))[1:]:
                raise ValueError("all images must have the same shape")
        return images
