"""Augmentations of tuples of clips, designed so that no low-level cue reveals their order.

Position, mirroring and quarter turns are shared by a tuple, which keeps its cells comparable.
Colour, and a shift much smaller than the motion, are drawn per clip to remove cues.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import tensorflow as tf
from annotated_types import Ge, Le

from tfzoo.config import Config, Count, Natural, OneOf, Share, check, key
from tfzoo.data.videos import splits

_LUMA = (0.299, 0.587, 0.114)
DRAWN = ("clip", "tuple")


@dataclass(frozen=True)
class AugmentConfig(Config):
    """The config group `augment`. The paper does not give its values."""

    resize: Count = key(128, "shorter side of the frames before cropping")
    size: Count = key(112, "side of the square crop")
    shift: Natural = key(
        2, "maximum shift in pixels of each clip's crop relative to the tuple's, each way"
    )
    flip: bool = key(
        True,
        "whether half of the tuples are mirrored horizontally; not for classes that are "
        "directions.",
    )
    brightness: Share = key(0.5, "each clip's brightness is multiplied by a factor in 1 +- this")
    contrast: Share = key(0.5, "likewise")
    saturation: Share = key(0.5, "likewise")
    hue: Annotated[float, Ge(0), Le(0.5)] = key(
        0.25, "maximum rotation of the hue, as a fraction of a full turn, each way"
    )
    gray: Share = key(0.5, "probability that a clip loses its colours")
    colours: Annotated[str, OneOf(*DRAWN)] = key(
        "clip", "whether brightness to gray are drawn per `clip` or per `tuple`"
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        check(self.resize >= self.size, "resize", self.resize, f"at least {self.size}")


def crop(clips: tf.Tensor, seed: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """Scales clips, crops a square at a common position plus small shifts, mirrors all or none.

    Args:
        clips: uint8 [n, T, H, W, C], from one video.
        seed: int32 [2].
        config: `resize`, `size`, `shift`, `flip`.

    Returns:
        uint8 [n, T, size, size, C].
    """
    place, off, mirror = tf.unstack(tf.random.split(seed, 3))
    count, size = clips.shape[0], config.size
    clips = splits.short_side(clips, config.resize)
    room = tf.shape(clips)[2:4] - size
    shared = tf.random.stateless_uniform([2], place)
    shared = tf.cast(shared * tf.cast(room + 1, tf.float32), tf.int32)
    limit = config.shift
    shifts = tf.random.stateless_uniform([count, 2], off, -limit, limit + 1, tf.int32)
    corners = tf.clip_by_value(shared + shifts, 0, room)
    cropped = tf.stack(
        [
            tf.slice(clips[i], [0, corners[i, 0], corners[i, 1], 0], [-1, size, size, -1])
            for i in range(count)
        ]
    )
    if config.flip:
        cropped = tf.cond(
            tf.random.stateless_uniform([], mirror) < 0.5,
            lambda: tf.reverse(cropped, [3]),
            lambda: cropped,
        )
    return tf.ensure_shape(cropped, [count, clips.shape[1], size, size, clips.shape[-1]])


def middle(clips: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """The central square of scaled clips, for evaluation: uint8 [..., size, size, C]."""
    size, shape = config.size, clips.shape
    clips = splits.short_side(clips, config.resize)
    y, x = tf.unstack((tf.shape(clips)[-3:-1] - size) // 2)
    cropped = clips[..., y : y + size, x : x + size, :]
    return tf.ensure_shape(cropped, [*shape[:-3], size, size, shape[-1]])


def turn(clips: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
    """Square clips [..., S, S, C] rotated by `times` quarter turns counterclockwise, all alike."""
    shape = clips.shape
    flat = tf.reshape(clips, [-1, *shape[-3:]])
    return tf.reshape(tf.image.rot90(flat, times), shape)


def colour(clips: tf.Tensor, seed: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """Brightness, contrast, saturation, hue and gray, the same in all frames of a clip.

    All are combined in one linear map of the three colours about the clip's mean, clipped to 0..255
    at the end (torchvision clips after each operation, in random order).

    Args:
        clips: uint8 [B, n, T, S, S, 3].
        seed: int32 [2].
        config: the strengths.

    Returns:
        uint8, of the same shape.
    """
    strengths = (config.brightness, config.contrast, config.saturation, config.hue, config.gray)
    if not any(strengths):
        return clips
    batch = tf.shape(clips)[:2]
    if config.colours == "tuple":
        batch = tf.stack([batch[0], 1])
    seeds = tf.unstack(tf.random.split(seed, 5))

    def draw(i: int, low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform(tf.concat([batch, [1, 1]], 0), seeds[i], low, high)

    light, contrast, saturation = (draw(i, 1 - s, 1 + s) for i, s in enumerate(strengths[:3]))
    luma, eye = tf.constant([_LUMA] * 3), tf.eye(3)  # luma x: gray in all three channels
    angle = 2 * math.pi * draw(3, -config.hue, config.hue)
    saturation = tf.where(draw(4, 0.0, 1.0) < config.gray, 0.0, saturation)
    # hue rotates the colours about the gray axis (Rodrigues' formula)
    axis = tf.constant([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], tf.float32) / math.sqrt(3)
    mean = tf.ones([3, 3]) / 3
    around = mean + tf.cos(angle) * (eye - mean) + tf.sin(angle) * axis
    colours = tf.matmul(saturation * eye + (1 - saturation) * luma, around)  # [B, n, 3, 3]
    colours = light * colours
    x = tf.cast(clips, tf.float32)
    shape = tf.shape(x)
    flat = tf.reshape(x, [shape[0], shape[1], -1, 3])
    mixed = tf.matmul(flat, colours, transpose_b=True)
    # contrast is relative to the clip's mean gray
    level = tf.reduce_mean(mixed, [2, 3], keepdims=True)
    mixed = tf.clip_by_value(level + contrast * (mixed - level), 0.0, 255.0)
    return tf.reshape(tf.cast(tf.round(mixed), tf.uint8), shape)
