"""Reads and writes the frames of video files, with PyAV."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.data.memory import joined
from tfzoo.errors import InputError, first_line

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".gif")
_LEAST = 0.95
"""Fraction of the declared frames that must exist: edit lists and sparse videos lack a few."""
_LONGEST = 1000
"""Maximum duration of a frame in seconds: a longer one means a damaged time stamp."""


def read_video(
    path: str | Path, short_side: int | None = None, fps: float | None = None
) -> np.ndarray:
    """All frames of a file's first video stream, in display order.

    They are upright: rotated and mirrored by the file's display matrix.

    Args:
        path: a file that FFmpeg can read.
        short_side: scales frames to a shorter side of this many pixels; None: unscaled.
        fps: frames per second, sampled by their time stamps; None: each frame once, however long it
            is shown.

    Returns:
        uint8 [T, H, W, 3], T at least 1.

    Raises:
        InputError: no such file, no video in it, no frames, damaged frames, or fewer than the file
            declares.
    """
    frames, fault = read_part(path, short_side, fps)
    if fault is not None:
        raise InputError(fault)
    return frames


def read_part(
    path: str | Path, short_side: int | None = None, fps: float | None = None
) -> tuple[np.ndarray, str | None]:
    """The frames before the first damaged or missing one, and what is wrong with the file.

    Args:
        path: see `read_video`.
        short_side: see `read_video`.
        fps: see `read_video`.

    Returns:
        uint8 [T, H, W, 3], T at least 1, and one line on the fault, or None for an intact file.

    Raises:
        InputError: no such file, no video in it, or no frame can be decoded.
    """
    try:
        import av
    except ImportError:
        raise InputError("video files: need `pip install av`, or tfzoo[video]") from None
    if not Path(path).is_file():
        raise InputError(f"video {str(path)!r}: no such file")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"video {str(path)!r}: holds no video stream")
            shown = _Shown(container, short_side)
            arrays = (array for _, array in shown) if fps is None else _at_rate(shown, fps)
            first = next(arrays, None)
            if first is None:
                raise InputError(f"video {str(path)!r}: {shown.fault or 'holds no frames'}")
            frames = joined(array[None] for array in itertools.chain([first], arrays))
            fault = shown.fault or shown.missing()
    except (av.FFmpegError, ValueError, EOFError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"video {str(path)!r}: cannot be decoded: {first_line(error)}") from None
    if fault is None and _cut_gif(Path(path)):
        fault = f"is cut off or damaged: only {shown.count} frames can be decoded"
    return frames, fault and f"video {str(path)!r}: {fault}"


class _Shown:
    """The times and frames of a container's first video stream, up to the first damaged one.

    Attributes:
        count: frames so far; a header's frame count may be 0 or wrong.
        fault: why the frames ended; None at the end of the stream.
        start: time stamp of the first frame in seconds; None if frames have none.
        end: the time at which the last frame ends, in seconds.
        tick: unit of the time stamps' clock, in seconds.
    """

    def __init__(self, container: Any, short_side: int | None):
        self._container, self._short_side = container, short_side
        self._stream = container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.count = 0
        self.fault: str | None = None
        self.start: Fraction | None = None
        self.end: Fraction | None = None
        self.tick = Fraction(0)

    def __iter__(self) -> Iterator[tuple[Fraction | None, np.ndarray]]:
        """Yields seconds since the first frame (or None) and frames uint8 [H, W, 3] of one size."""
        import av

        shape = None
        try:
            for frame in self._container.decode(self._stream):
                if frame.is_corrupt:
                    self.fault = f"frame {self.count} is damaged"
                    return
                array = self._upright(frame)
                shape = shape or array.shape
                if array.shape != shape:
                    self.fault = "frame size changes mid-stream; must be constant"
                    return
                self.count += 1
                yield self._time(frame), array
        except (av.FFmpegError, ValueError, EOFError) as error:
            self.fault = f"cannot be decoded: {first_line(error)}"

    def _time(self, frame: Any) -> Fraction | None:
        if frame.pts is None or frame.time_base is None:
            return None
        self.tick = Fraction(frame.time_base)
        now = frame.pts * self.tick
        self.start = now if self.start is None else self.start
        rate = self._stream.average_rate
        usual = 1 / Fraction(rate) if rate else Fraction(0)
        length = getattr(frame, "duration", None)
        self.end = now + (length * self.tick if length else usual)
        return now - self.start

    def _upright(self, frame: Any) -> np.ndarray:
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if self._short_side is not None and min(frame.width, frame.height) != self._short_side:
            width, height = scaled(frame.width, frame.height, self._short_side)
            frame = frame.reformat(width=width, height=height, format="rgb24")
        array = frame.to_ndarray(format="rgb24")
        return array if matrix is None else turned(array, np.frombuffer(matrix, np.int32))

    def missing(self) -> str | None:
        """The fault of a stream that ends earlier than its file's header says."""
        declared, has = self._stream.frames, Fraction(self.count)
        if not declared:
            length, rate = self._container.duration, self._stream.average_rate
            if not length or not rate or len(self._container.streams) > 1:
                return None  # audio may be longer than video
            declared = round(length / 1e6 * float(rate))
            if self.start is not None and self.end is not None:  # durations of frames may differ
                has = (self.end - self.start) * Fraction(rate)
        if has >= _LEAST * declared - 1:
            return None
        return f"is cut off or damaged: only {self.count} frames of about {declared} can be decoded"


def _at_rate(shown: _Shown, fps: float) -> Iterator[np.ndarray]:
    """The frames shown at k / fps seconds, k = 0, 1, ...; times are accurate to a clock tick."""
    rate = Fraction(fps).limit_denominator(1001)
    held, at = None, 0
    for time, array in shown:
        if time is None:
            shown.fault = f"frame {shown.count - 1} has no time stamp, which data.fps needs"
            break
        slot = max(at, math.ceil((time - shown.tick) * rate))
        if slot - at > _LONGEST * max(rate, Fraction(1)):
            shown.fault = f"frame {shown.count - 1} is shown {float(time):.6g} s after the first"
            break
        if held is not None:
            yield from itertools.repeat(held, slot - at)
        held, at = array, slot
    if held is not None:
        assert shown.start is not None and shown.end is not None  # it had a time stamp
        slot = math.ceil((shown.end - shown.start - shown.tick) * rate)
        least = 0 if at else 1  # it may be later than the last sample, but there must be one
        yield from itertools.repeat(held, max(least, min(slot - at, _LONGEST)))


def turned(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Applies a display matrix made of quarter turns and mirrors to an image.

    Args:
        image: [H, W, C].
        matrix: nine numbers in FFmpeg's order, fixed point or not: (a, b, u, c, d, v, ...) maps the
            point (x, y) to (a x + c y, b x + d y).

    Returns:
        [H, W, C] or [W, H, C].
    """
    a, b, _, c, d = (float(v) for v in matrix[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, right, down = image.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    image = image[:, ::-1] if right < 0 else image
    return image[::-1] if down < 0 else image


def _cut_gif(path: Path) -> bool:
    """Whether it is a GIF, which declares no length, without its final byte."""
    with path.open("rb") as file:
        magic = file.read(3)
        file.seek(-1, os.SEEK_END)
        return magic == b"GIF" and file.read() not in (b";", b"\0")  # some are zero-padded


def scaled(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the given shorter side, keeping proportions."""
    factor = short_side / min(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def write_video(path: str | Path, frames: np.ndarray, rate: int = 25) -> None:
    """Writes frames to a file, with the codec for its suffix (`.mp4`: H.264 or MPEG-4).

    Args:
        path: a file with one of `SUFFIXES`.
        frames: uint8 [T, H, W, 3]; an odd last row or column is cut off, since codecs need even
            sizes.
        rate: frames per second.

    Raises:
        InputError: frames of another shape or dtype.
    """
    import av

    from tfzoo.files import replacing

    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InputError(
            f"frames: {frames.dtype}{list(frames.shape)}, must be uint8 [T, H, W, 3], T at least 1"
        )
    height, width = (n // 2 * 2 for n in frames.shape[1:3])
    with replacing(path) as aside, av.open(str(aside), "w") as container:
        stream: Any = container.add_stream(container.default_video_codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for array in frames:
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(array[:height, :width]), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
