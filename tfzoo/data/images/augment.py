"""Stateless augmentation of images: a function of its arguments and `seed` int32[2] alone.

Meant for `map_fn` (one image [H, W, C]) and `batch_map_fn` (a batch) of `train_stream`. Functions
of one image keep its dtype unless they say otherwise.
"""

from __future__ import annotations

import math

import tensorflow as tf

from tfzoo.data.images.randaugment import rand_augment

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "center_crop",
    "cutmix",
    "flip",
    "mixup",
    "mixup_or_cutmix",
    "normalize",
    "rand_augment",
    "random_erasing",
    "random_resized_crop",
    "shift_values",
]

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
_ATTEMPTS = 10


def flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors horizontally with probability 1/2."""
    return tf.image.stateless_random_flip_left_right(image, seed)


def shift_values(image: tf.Tensor, seed: tf.Tensor, limit: int = 10) -> tf.Tensor:
    """Adds one integer drawn from [-limit, limit] to all values, clipped to 0..255.

    The CIFAR-10 augmentation of AFT (2105.14103, section 5.1), read as one draw per image.
    """
    shift = tf.random.stateless_uniform([], seed, -limit, limit + 1, tf.int32)
    shifted = tf.clip_by_value(tf.cast(image, tf.int32) + shift, 0, 255)
    return tf.cast(shifted, image.dtype)


def random_resized_crop(
    image: tf.Tensor,
    seed: tf.Tensor,
    size: int,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tf.Tensor:
    """A random part of the image, resized bicubically (Inception's crop, 1409.4842, section 6).

    Args:
        image: [H, W, C], any numeric dtype; H and W may be unknown.
        seed: int32[2].
        size: side of the result.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width/height, drawn on a logarithmic scale.

    Returns:
        [size, size, C], rounded and clipped to 0..255 for uint8.
    """
    box, place = tf.unstack(tf.random.split(seed, 2))
    height, width = _sides(image)
    fits, h, w = _boxes(box, height, width, scale, ratio)
    first = tf.argmax(fits)  # the first attempt that fits
    least = tf.cast(tf.minimum(height, width), tf.float32)
    tallest, widest = tf.cast(least / ratio[0], tf.int32), tf.cast(least * ratio[1], tf.int32)
    h = tf.where(fits[first], h[first], tf.minimum(height, tallest))
    w = tf.where(fits[first], w[first], tf.minimum(width, widest))
    y, x = _corner(place, height - h, width - w)
    return _resize(image[y : y + h, x : x + w], size, size)


def center_crop(image: tf.Tensor, size: int, fraction: float = 0.875) -> tf.Tensor:
    """Resizes the shorter side to `size / fraction` and crops the centre [size, size, C].

    For evaluation; 0.875 means 224 of 256.
    """
    height, width = _sides(image)
    scale = math.floor(size / fraction) / tf.minimum(height, width)
    sides = [tf.cast(tf.round(tf.cast(s, tf.float64) * scale), tf.int32) for s in (height, width)]
    image = _resize(image, *sides)
    y, x = (sides[0] - size) // 2, (sides[1] - size) // 2
    return tf.ensure_shape(image[y : y + size, x : x + size], [size, size, image.shape[-1]])


def normalize(
    image: tf.Tensor,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
) -> tf.Tensor:
    """`(image - mean) / std` by channel, float32; `mean` and `std` refer to the scale 0..255."""
    return (tf.cast(image, tf.float32) - mean) / std


def random_erasing(
    image: tf.Tensor,
    seed: tf.Tensor,
    probability: float = 0.25,
    scale: tuple[float, float] = (0.02, 1 / 3),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
) -> tf.Tensor:
    """Replaces a random box by standard normal noise, with `probability` (1708.04896).

    Args:
        image: [H, W, C], float and normalized.
        seed: int32[2].
        probability: probability of erasing anything.
        scale: smallest and largest share of the image's area.
        ratio: smallest and largest width/height, drawn on a logarithmic scale.
    """
    decide, box, place, fill = tf.unstack(tf.random.split(seed, 4))
    height, width = _sides(image)
    fits, h, w = _boxes(box, height, width, scale, ratio)
    first = tf.argmax(fits)
    y, x = _corner(place, height - h[first], width - w[first])
    inside = _inside(height, width, y, x, h[first], w[first])
    erase = fits[first] & (tf.random.stateless_uniform([], decide) < probability)
    noise = tf.random.stateless_normal(tf.shape(image), fill, dtype=image.dtype)
    return tf.where(erase & inside, noise, image)


def mixup(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 0.8
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends the batch with its reverse, with one weight from Beta(alpha, alpha) (1710.09412).

    Args:
        images: [B, H, W, C], float.
        labels: [B, classes], float: one-hot or smoothed.
        seed: int32[2].
        alpha: parameter of the Beta distribution.

    Raises:
        ValueError: images or labels are not float, or labels are not vectors.
    """
    _check(images, labels)
    share = _beta(seed, alpha)
    return _blend(images, share), _blend(labels, share)


def cutmix(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, alpha: float = 1.0
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes a box from the reversed batch; labels mix by the box's area (1905.04899).

    Args:
        images: [B, H, W, C], float.
        labels: [B, classes], float.
        seed: int32[2].
        alpha: the area kept is drawn from Beta(alpha, alpha).

    Raises:
        ValueError: see `mixup`.
    """
    _check(images, labels)
    draw, place = tf.unstack(tf.random.split(seed, 2))
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    side = tf.sqrt(1 - _beta(draw, alpha))
    h, w = (tf.cast(tf.cast(s, tf.float32) * side, tf.int32) for s in (height, width))
    y, x = _corner(place, height - 1, width - 1)  # the box's centre; edges clip the box
    top, left = tf.maximum(y - h // 2, 0), tf.maximum(x - w // 2, 0)
    bottom, right = tf.minimum(y + h - h // 2, height), tf.minimum(x + w - w // 2, width)
    inside = _inside(height, width, top, left, bottom - top, right - left)
    kept = 1 - tf.reduce_mean(tf.cast(inside, tf.float32))
    return tf.where(inside, images[::-1], images), _blend(labels, kept)


def mixup_or_cutmix(
    batch: tuple[tf.Tensor, tf.Tensor],
    seed: tf.Tensor,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
    cutmix_probability: float = 0.5,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies mixup or cutmix to a whole batch (images, labels); fits `batch_map_fn`."""
    decide, mix = tf.unstack(tf.random.split(seed, 2))
    return tf.cond(
        tf.random.stateless_uniform([], decide) < cutmix_probability,
        lambda: cutmix(*batch, mix, cutmix_alpha),
        lambda: mixup(*batch, mix, mixup_alpha),
    )


def _sides(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(image)
    return shape[0], shape[1]


def _boxes(
    seed: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draws several boxes: whether each fits into the image, its height, its width."""
    a, b = tf.unstack(tf.random.split(seed, 2))
    share = tf.random.stateless_uniform([_ATTEMPTS], a, *scale)
    aspect = tf.random.stateless_uniform([_ATTEMPTS], b, *(math.log(r) for r in ratio))
    aspect, area = tf.exp(aspect), share * tf.cast(height * width, tf.float32)
    h = tf.cast(tf.round(tf.sqrt(area / aspect)), tf.int32)
    w = tf.cast(tf.round(tf.sqrt(area * aspect)), tf.int32)
    return (h > 0) & (w > 0) & (h <= height) & (w <= width), h, w


def _corner(seed: tf.Tensor, last_y: tf.Tensor, last_x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A point with 0 <= y <= last_y and 0 <= x <= last_x."""
    y, x = tf.unstack(tf.random.stateless_uniform([2], seed))
    return tuple(
        tf.minimum(tf.cast(u * tf.cast(last + 1, tf.float32), tf.int32), last)
        for u, last in ((y, last_y), (x, last_x))
    )


def _inside(height, width, y, x, h, w) -> tf.Tensor:
    """Mask [H, W, 1] of the box with corner (y, x)."""
    rows, columns = tf.range(height)[:, None, None], tf.range(width)[None, :, None]
    return (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)


def _resize(image: tf.Tensor, height: int | tf.Tensor, width: int | tf.Tensor) -> tf.Tensor:
    resized = tf.image.resize(image, [height, width], "bicubic", antialias=True)
    if image.dtype.is_integer:
        resized = tf.clip_by_value(tf.round(resized), image.dtype.min, image.dtype.max)
    return tf.cast(resized, image.dtype)


def _beta(seed: tf.Tensor, alpha: float) -> tf.Tensor:
    draws = tf.random.stateless_gamma([2], seed, alpha)
    return draws[0] / tf.maximum(draws[0] + draws[1], 1e-30)


def _blend(x: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    share = tf.cast(share, x.dtype)
    return share * x + (1 - share) * x[::-1]


def _check(images: tf.Tensor, labels: tf.Tensor) -> None:
    if not images.dtype.is_floating:
        raise ValueError(f"images: must be float, are {images.dtype.name}")
    if not labels.dtype.is_floating or labels.shape.rank != 2:
        raise ValueError(f"labels: must be float [batch, classes], are {labels}")
