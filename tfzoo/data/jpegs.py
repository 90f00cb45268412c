"""JPEG files stored end to end in one array of an `.npz`.

For each part, e.g. `train`: `jpeg_train` (uint8), the concatenated bytes of JPEG files;
`off_train`, integers [N + 1], where each begins and where the last ends; `y_train` [N], class
indices. This takes a third of the space of pixels, and `tfzoo_arrays` reads it, too.
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
    """The first images and class indices of a part.

    Args:
        file: an open `.npz` of this form.
        part: e.g. `"train"`.
        count: maximum number; None: all.

    Returns:
        Images uint8 [N, H, W, C] and labels int64 [N].

    Raises:
        KeyError: an array is missing.
        ValueError: offsets that do not match the bytes, or images of different sizes.
        OSError: an image cannot be decoded.
        InputError: Pillow is missing.
    """
    images = decoded(file[f"jpeg_{part}"], file[f"off_{part}"], count)
    return images, file[f"y_{part}"][: len(images)].astype("int64")


def decoded(files: np.ndarray, begins: np.ndarray, count: int | None = None) -> np.ndarray:
    """The first images, uint8 [N, H, W, C], of such files; raises what `read_jpegs` raises."""
    images = Jpegs(files, begins[: None if count is None else count + 1])
    return images[:]


class Jpegs(Sliced):
    """Images uint8 [N, H, W, C] from concatenated JPEG files, decoded when accessed.

    Args:
        files: uint8 [*]; may be an array that is read by rows.
        begins: integers [N + 1], where each file begins and the last ends.

    Raises:
        ValueError: offsets that do not match the bytes; on access: images of different sizes.
        OSError: the first image, or one that is accessed, cannot be decoded.
        InputError: Pillow is missing.
    """

    def __init__(self, files: np.ndarray | Sliced, begins: np.ndarray):
        if files.dtype != np.uint8 or begins.ndim != 1 or begins.dtype.kind not in "ui":
            raise ValueError("files must be uint8, their offsets integers [N + 1]")
        begins = begins.astype("int64")
        sound = len(begins) > 1 and begins[0] >= 0 and begins[-1] <= files.size
        if not sound or (np.diff(begins) < 0).any():
            raise ValueError(f"offsets of files must increase from 0 to at most {files.size}")
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
