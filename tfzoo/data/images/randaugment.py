"""RandAugment (1909.13719), as the DeiT recipe uses it: "rand-m9-mstd0.5-inc1".

Fifteen operations whose strength grows with the magnitude, on a scale of 0 to 10, as defined in
Pillow (tests compare with it). Keras's own RandAugment takes no stateless seed, computes every
operation for every image, and has a different set of operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import tensorflow as tf

FILL = (124.0, 116.0, 104.0)
"""Fill colour of geometric operations: ImageNet's mean colour."""


def rand_augment(
    image: tf.Tensor,
    seed: tf.Tensor,
    operations: int = 2,
    magnitude: float = 9.0,
    deviation: float = 0.5,
    probability: float = 0.5,
) -> tf.Tensor:
    """Applies random operations, one after the other.

    Args:
        image: uint8 [H, W, 3].
        seed: int32[2].
        operations: how many are drawn, with replacement.
        magnitude: mean strength, 0 to 10.
        deviation: standard deviation of the strength.
        probability: that a drawn operation is applied at all.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ValueError: the image is not uint8 with three channels.
    """
    if image.dtype != tf.uint8 or image.shape[-1] != 3:
        raise ValueError(f"image: must be uint8 [H, W, 3], is {image.dtype.name}{image.shape}")
    result = tf.cast(image, tf.float32)
    for draw in tf.unstack(tf.random.split(seed, operations)):
        which, strength, apply, sign = tf.unstack(tf.random.split(draw, 4))
        level = magnitude + deviation * tf.random.stateless_normal([], strength)
        level = tf.clip_by_value(level, 0.0, 10.0) / 10.0
        signed = tf.where(tf.random.stateless_uniform([], sign) < 0.5, -level, level)
        branches = [
            lambda f=f, x=result, lv=level, s=signed: tf.round(
                tf.clip_by_value(f(x, lv, s), 0, 255)
            )
            for f in OPERATIONS.values()
        ]
        index = tf.random.stateless_uniform([], which, maxval=len(branches), dtype=tf.int32)
        skip = tf.random.stateless_uniform([], apply) >= probability
        branches.append(partial(tf.identity, result))
        result = tf.switch_case(tf.where(skip, len(branches) - 1, index), branches)
        result = tf.ensure_shape(result, image.shape)
    return tf.cast(result, tf.uint8)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretches each channel's range to 0..255."""
    low = tf.reduce_min(image, [0, 1])
    high = tf.reduce_max(image, [0, 1])
    scale = 255.0 / tf.maximum(high - low, 1.0)
    return tf.where(high > low, tf.floor((image - low) * scale + 1e-3), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Equalises each channel's histogram."""
    return tf.stack([_equalize(image[..., c]) for c in range(3)], axis=-1)


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keeps the first `bits` bits of each value."""
    step = 2.0 ** (8.0 - bits)
    return tf.floor(image / step) * step


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Inverts values of at least `threshold`."""
    return tf.where(image < threshold, image, 255.0 - image)


def solarize_add(image: tf.Tensor, addition: tf.Tensor) -> tf.Tensor:
    """Adds to values below 128."""
    return tf.where(image < 128.0, tf.minimum(image + addition, 255.0), image)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the grey image (0) through the image (1) and beyond."""
    return _blend(_grey(image), image, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the mean grey (0) through the image (1) and beyond."""
    return _blend(tf.floor(tf.reduce_mean(_grey(image)) + 0.5), image, factor)


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from black (0) through the image (1) and beyond."""
    return image * factor


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blends from the smoothed image (0) through the image (1) and beyond; edges stay."""
    kernel = tf.constant([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]])[..., None, None] / 13.0
    kernel = tf.tile(kernel, [1, 1, 3, 1])
    smooth = tf.nn.depthwise_conv2d(image[None], kernel, [1, 1, 1, 1], "VALID")[0]
    smooth = tf.pad(tf.round(smooth), [[1, 1], [1, 1], [0, 0]])
    inner = tf.pad(tf.ones(tf.shape(image)[:2] - 2, tf.bool), [[1, 1], [1, 1]])[..., None]
    return _blend(tf.where(inner, smooth, image), image, factor)


def affine(image: tf.Tensor, matrix: list[float | tf.Tensor]) -> tf.Tensor:
    """Output (x, y) shows input (a x + b y + c, d x + e y + f), bilinear; outside is `FILL`.

    Coordinates are Pillow's: the centre of the first pixel is (0.5, 0.5).
    """
    a, b, c, d, e, f = (tf.cast(m, tf.float32) for m in matrix)
    c, f = c + (a + b - 1.0) / 2.0, f + (d + e - 1.0) / 2.0  # TensorFlow's are pixel centres
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=(image - FILL)[None],
        transforms=tf.stack([a, b, c, d, e, f, 0.0, 0.0])[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[0] + FILL


def rotate(image: tf.Tensor, degrees: tf.Tensor) -> tf.Tensor:
    """Rotates counter-clockwise around the centre."""
    angle = degrees * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    y, x = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32) / 2.0)
    return affine(image, [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y])


def _shift(image: tf.Tensor, share: tf.Tensor, axis: int) -> tf.Tensor:
    offset = share * tf.cast(tf.shape(image)[axis], tf.float32)
    return affine(image, [1, 0, offset, 0, 1, 0] if axis == 1 else [1, 0, 0, 0, 1, offset])


OPERATIONS = {
    "autocontrast": lambda x, level, signed: autocontrast(x),
    "equalize": lambda x, level, signed: equalize(x),
    "invert": lambda x, level, signed: 255.0 - x,
    "rotate": lambda x, level, signed: rotate(x, 30.0 * signed),
    "posterize": lambda x, level, signed: posterize(x, 4.0 - tf.floor(4.0 * level)),
    "solarize": lambda x, level, signed: solarize(x, 256.0 - tf.floor(256.0 * level)),
    "solarize_add": lambda x, level, signed: solarize_add(x, tf.floor(110.0 * level)),
    "color": lambda x, level, signed: color(x, 1.0 + 0.9 * signed),
    "contrast": lambda x, level, signed: contrast(x, 1.0 + 0.9 * signed),
    "brightness": lambda x, level, signed: brightness(x, 1.0 + 0.9 * signed),
    "sharpness": lambda x, level, signed: sharpness(x, 1.0 + 0.9 * signed),
    "shear_x": lambda x, level, signed: affine(x, [1, 0.3 * signed, 0, 0, 1, 0]),
    "shear_y": lambda x, level, signed: affine(x, [1, 0, 0, 0.3 * signed, 1, 0]),
    "translate_x": lambda x, level, signed: _shift(x, 0.45 * signed, 1),
    "translate_y": lambda x, level, signed: _shift(x, 0.45 * signed, 0),
}
"""By name: (image, level from 0 to 1, level with a random sign) -> image; float, 0..255."""


def _run(operation: Callable, image: tf.Tensor, *strength: tf.Tensor) -> tf.Tensor:
    return tf.round(tf.clip_by_value(operation(image, *strength), 0.0, 255.0))


def _grey(image: tf.Tensor) -> tf.Tensor:
    return tf.round(tf.reduce_sum(image * [0.299, 0.587, 0.114], -1, keepdims=True))


def _blend(start: tf.Tensor, end: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    return start + factor * (end - start)


def _equalize(channel: tf.Tensor) -> tf.Tensor:
    values = tf.cast(channel, tf.int32)
    counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
    last = counts[tf.reduce_max(values)]
    step = (tf.size(values) - last) // 255
    table = (tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, 255), tf.range(256))
    return tf.cast(tf.gather(table, values), tf.float32)
