"""Converts raw pixels of any size to the networks' inputs, [-1, 1] at 16, 32, 64 or 128."""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor


def to_network(images: Tensor, size: int, mean: float = 127.5, std: float = 127.5) -> Tensor:
    """Converts raw pixels to the networks' inputs.

    Smaller images whose side divides `size` are repeated; larger ones are averaged over blocks,
    after padding with 0 to the next multiple of `size`; others are padded with 0 to `size`.

    Args:
        images: [B, S, S, C] of raw pixels, any numeric dtype, S known.
        size: side of the networks' images.
        mean: subtracted from raw pixels.
        std: divisor of the result, which is then clipped to [-1, 1].

    Returns:
        float32 [B, size, size, C].

    Raises:
        ValueError: images are not [B, S, S, C] of a known, square size.
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] is None or shape[1] != shape[2]:
        raise ValueError(f"images {shape}: must be [B, S, S, C], square and of a known size")
    x, side = ops.cast(images, "float32"), shape[1]
    if size % side == 0:
        times = size // side
        x = ops.repeat(ops.repeat(x, times, 1), times, 2) if times > 1 else x
    else:
        full = -(-side // size) * size  # the next multiple
        if missing := full - side:
            ends = (missing // 2, missing - missing // 2)
            x = ops.pad(x, ((0, 0), ends, ends, (0, 0)))
        if full > size:
            block = full // size
            x = ops.average_pool(x, block, block, data_format="channels_last")
    return ops.clip((x - mean) / std, -1.0, 1.0)


def to_pixels(images: Tensor, mean: float = 127.5, std: float = 127.5) -> Tensor:
    """Converts the networks' images to raw pixels, at the networks' size: float32."""
    return ops.cast(images, "float32") * std + mean
