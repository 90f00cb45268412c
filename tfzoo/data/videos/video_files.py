"""Frames of video files, through PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.data.memory import joined
from tfzoo.errors import InputError, first_line

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".gif")
_LEAST = 0.95
"""Share of the declared frames that must be there: edit lists and sparse videos lack a few."""


def read_video(path: str | Path, short_side: int | None = None) -> np.ndarray:
    """All frames of a file's first video stream, in the order in which they are shown.

    Args:
        path: of a file that FFmpeg can read.
        short_side: frames are scaled so that their shorter side has so many pixels; None leaves
            them as they are.

    Returns:
        uint8 [T, H, W, 3], T at least 1.

    Raises:
        InputError: no such file, no video in it, no frames, damaged ones, or fewer than the file
            declares.
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
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames = joined(_decoded(container, stream, str(path), short_side))
            declared = _declared(container, stream)
    except InputError:
        raise
    except (av.FFmpegError, ValueError, EOFError) as error:
        raise InputError(f"video {str(path)!r}: cannot be decoded: {first_line(error)}") from None
    if _cut_gif(Path(path)) or len(frames) < _LEAST * declared - 1:
        raise InputError(
            f"video {str(path)!r}: is cut off or damaged: {len(frames)} frames can be decoded of "
            f"{f'about {declared}' if declared else 'more'} that it declares"
        )
    return frames


def _decoded(
    container: Any, stream: Any, path: str, short_side: int | None
) -> Iterator[np.ndarray]:
    """The frames, uint8 [1, H, W, 3] of one size; a header's count of them may be 0 or wrong."""
    count, shape = 0, None
    for count, frame in enumerate(container.decode(stream), 1):
        if frame.is_corrupt:
            raise InputError(f"video {path!r}: frame {count - 1} is damaged")
        if short_side is not None and min(frame.width, frame.height) != short_side:
            width, height = scaled(frame.width, frame.height, short_side)
            frame = frame.reformat(width=width, height=height, format="rgb24")
        array = frame.to_ndarray(format="rgb24")
        shape = shape or array.shape
        if array.shape != shape:
            raise InputError(f"video {path!r}: changes its size on the way; must be of one size")
        yield array[None]
    if not count:
        raise InputError(f"video {path!r}: holds no frames")


def _declared(container: Any, stream: Any) -> int:
    """Frames by the header's count or, of a file without sound, its length; 0 if it tells none."""
    if stream.frames:
        return stream.frames
    length, rate = container.duration, stream.average_rate
    if not length or not rate or len(container.streams) > 1:
        return 0
    return round(length / 1e6 * float(rate))


def _cut_gif(path: Path) -> bool:
    """Whether it is a GIF, which tells no length, without the byte that ends one."""
    with path.open("rb") as file:
        magic = file.read(3)
        file.seek(-1, os.SEEK_END)
        return magic == b"GIF" and file.read() not in (b";", b"\0")  # some are padded with zeros


def scaled(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with the shorter side as wanted, in the same proportion."""
    factor = short_side / min(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def write_video(path: str | Path, frames: np.ndarray, rate: int = 25) -> None:
    """Writes frames as a file, in the codec that its suffix stands for (`.mp4`: H.264 or MPEG-4).

    Args:
        path: with one of `SUFFIXES`.
        frames: uint8 [T, H, W, 3]; an odd last row or column is left out, codecs want even ones.
        rate: frames a second.

    Raises:
        InputError: frames of another form.
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
