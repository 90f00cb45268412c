"""Images for classifiers: one size, raw pixels, augmented for training."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfzoo.data.images import augment


def to_size(image: tf.Tensor, size: int) -> tf.Tensor:
    """The centre of an image as float32 [size, size, C] of raw pixels; unchanged if it fits."""
    image = tf.cast(image, tf.float32)
    if image.shape[0] == size and image.shape[1] == size:
        return image
    shape = tf.shape(image)
    fits = tf.logical_and(shape[0] == size, shape[1] == size)
    square = tf.cond(fits, lambda: image, lambda: augment.center_crop(image, size))
    return tf.ensure_shape(square, [size, size, image.shape[-1]])


def shift(image: tf.Tensor, seed: tf.Tensor, limit: int) -> tf.Tensor:
    """Shifts an image by up to `limit` pixels each way, repeating its edge pixels."""
    offset = tf.random.stateless_uniform([2], seed, -limit, limit + 1, tf.int32)
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    rows = tf.clip_by_value(tf.range(height) + offset[0], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) + offset[1], 0, width - 1)
    moved = tf.gather(tf.gather(image, rows, axis=0), columns, axis=1)
    return tf.ensure_shape(moved, image.shape)


def deit(
    image: tf.Tensor, seed: tf.Tensor, size: int, mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """DeiT's augmentation of one image: random crop, flip, RandAugment 9/0.5, erasing 0.25.

    Args:
        image: uint8 [H, W, 3].
        seed: int32 [2].
        size: side of the result.
        mean: mean of raw pixels, by channel; erased boxes are filled with noise around it.
        std: std of raw pixels, by channel.

    Returns:
        float32 [size, size, 3] of raw pixels.
    """
    crop, mirror, policy, erase = tf.unstack(tf.random.split(seed, 4))
    image = augment.flip(augment.random_resized_crop(image, crop, size), mirror)
    image = augment.rand_augment(image, policy)
    normal = (tf.cast(image, tf.float32) - tf.constant(mean)) / tf.constant(std)
    image = augment.random_erasing(normal, erase) * tf.constant(std) + tf.constant(mean)
    return tf.ensure_shape(image, [size, size, 3])


def padded_crop(image: tf.Tensor, seed: tf.Tensor, padding: int) -> tf.Tensor:
    """Pads the image with zeros and crops it back to its size at a random place."""
    shape = tf.shape(image)
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed, 0, 2 * padding + 1, tf.int32))
    wide = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
    return tf.ensure_shape(wide[y : y + shape[0], x : x + shape[1]], image.shape)


def color_jitter(image: tf.Tensor, seed: tf.Tensor, strength: float) -> tf.Tensor:
    """Changes brightness, contrast and saturation, in a random order, as torchvision does.

    Args:
        image: float [H, W, 3] of raw pixels.
        seed: int32 [2].
        strength: each factor is drawn from [1 - strength, 1 + strength].

    Returns:
        float32 [H, W, 3], clipped to 0..255.
    """
    order_seed, factor_seed = tf.unstack(tf.random.split(seed, 2))
    low, high = max(0.0, 1 - strength), 1 + strength
    factors = tf.random.stateless_uniform([3], factor_seed, low, high)
    order = tf.random.experimental.stateless_shuffle(tf.range(3), order_seed)
    image = tf.cast(image, tf.float32)

    def blend(other: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(factor * image + (1 - factor) * other, 0.0, 255.0)

    for i in range(3):
        gray = tf.image.rgb_to_grayscale(image)
        others = tf.stack(
            [
                tf.zeros_like(image),
                tf.zeros_like(image) + tf.round(tf.reduce_mean(gray)),
                tf.zeros_like(image) + gray,
            ]
        )
        image = blend(others[order[i]], factors[order[i]])
    return image
