"""Decodes image files (PNG, JPEG, BMP, GIF, WebP) to a given number of channels."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tfzoo.errors import InputError, first_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_BOTH = (b"\x89P", b"\xff\xd8")  # PNG and JPEG, decoded to one or three channels


def decode(content: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a file's bytes, of an animation the first frame; usable in a graph.

    Grey and colour are converted to `channels`, 16 bits to 8; transparency is ignored.

    Args:
        content: string scalar.
        channels: 1 or 3.

    Returns:
        uint8 [H, W, channels].

    Raises:
        tf.errors.InvalidArgumentError: the bytes cannot be decoded as an image.
    """
    if channels == 1:
        magic = tf.strings.substr(content, 0, 2)
        both = tf.reduce_any(magic == tf.constant(_BOTH))
        image = tf.cond(
            both,
            lambda: tf.io.decode_image(content, 1, expand_animations=False),
            lambda: tf.image.rgb_to_grayscale(
                tf.ensure_shape(
                    tf.io.decode_image(content, 3, expand_animations=False), [None, None, 3]
                )
            ),
        )
    else:
        image = tf.io.decode_image(content, channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])


def read_image(path: Path, channels: int = 3, named: str = "data.path") -> tuple[bytes, tf.Tensor]:
    """A file's bytes, and its pixels as `decode` gives them.

    Args:
        path: the file.
        channels: 1 or 3.
        named: what error messages call it.

    Raises:
        InputError: the file cannot be read or decoded; one line that names it.
    """
    try:
        content = path.read_bytes()
        if not content:
            raise ValueError("the file is empty")
        _check_palette(content)
        return content, decode(content, channels)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{named}: {str(path)!r} must be a readable image: {first_line(error)}"
        ) from None


def _check_palette(content: bytes) -> None:
    """Refuses an 8-bit BMP with a colour palette: the decoder takes its indices for greys."""
    if content[:2] != b"BM" or int.from_bytes(content[28:30], "little") != 8:
        return
    start = 14 + int.from_bytes(content[14:18], "little")
    end = int.from_bytes(content[10:14], "little")
    colours = content[start:end]
    if any(colours[i : i + 3] != bytes([i // 4]) * 3 for i in range(0, len(colours) - 3, 4)):
        raise ValueError("a BMP with a colour palette; must have 24 bits per pixel or be a PNG")
