"""Images whose identity nobody would recognise: what a verification network must not accept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfzoo.errors import InputError

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""A function from images [N, S, S, C] in [0, 1] to corrupted ones, of about that range."""


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise with a deviation of 0.25 to 0.6 is added."""
    return images + _each(rng, images, 0.25, 0.6) * rng.standard_normal(images.shape)


def blurred(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian blur over 7 to 14 % of the side, stretched to the former contrast."""
    wide = _smooth(images, rng.uniform(0.07, 0.14))
    low = wide.min((1, 2, 3), keepdims=True)
    reach = np.maximum(wide.max((1, 2, 3), keepdims=True) - low, 1e-6)
    return (wide - low) / reach * images.max((1, 2, 3), keepdims=True)


def shuffled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sixteen tiles of an image in random order; sides that 4 does not divide are cropped."""
    n, size, _, channels = images.shape
    side = size // 4
    tiles = images[:, : 4 * side, : 4 * side].reshape(n, 4, side, 4, side, channels)
    tiles = tiles.swapaxes(2, 3).reshape(n, 16, side, side, channels)
    order = np.argsort(rng.random((n, 16)), 1)
    tiles = np.take_along_axis(tiles, order[..., None, None, None], 1)
    whole = tiles.reshape(n, 4, 4, side, side, channels).swapaxes(2, 3)
    mixed = images.copy()
    mixed[:, : 4 * side, : 4 * side] = whole.reshape(n, 4 * side, 4 * side, channels)
    return mixed


def blended(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The maximum of half an image and halves of two random others."""
    others = images[rng.integers(len(images), size=(2, len(images)))]
    return np.maximum(images, others.max(0)) / 2


def smeared(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blots: an image's blurred strokes, times coarse noise, on a noisy background."""
    coarse = _smooth(rng.standard_normal(images.shape), rng.uniform(0.01, 0.05))
    coarse /= coarse.std() + 1e-9
    strokes = _smooth(images, rng.uniform(0.03, 0.08)) * _each(rng, images, 1.0, 3.0)
    return strokes * (1 + _each(rng, images, 0.5, 1.5) * coarse) + 0.05 * coarse


def noise_alone(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of any smoothness in place of an image."""
    coarse = _smooth(rng.standard_normal(images.shape), rng.uniform(0.01, 0.1))
    return _each(rng, images, 0, 0.6) + _each(rng, images, 0.1, 0.5) * coarse / coarse.std()


CORRUPTIONS: dict[str, Corruption] = {
    function.__name__: function
    for function in (noisy, blurred, shuffled, blended, smeared, noise_alone)
}


def corrupted(
    images: np.ndarray, seed: int = 0, kind: str | None = None, limits: tuple = (0.0, 255.0)
) -> np.ndarray:
    """Images made unrecognisable.

    Args:
        images: raw pixels [N, S, S, C].
        seed: of the random draws.
        kind: a key of `CORRUPTIONS`; None: each in turn, on a part of the images.
        limits: the pixels' range, to which the result is clipped.

    Returns:
        Raw pixels, float32 [N, S, S, C].

    Raises:
        InputError: an unknown kind, or images of another rank.
    """
    if kind is not None and kind not in CORRUPTIONS:
        raise InputError(f"kind={kind!r}: must be one of {', '.join(CORRUPTIONS)}")
    if np.ndim(images) != 4 or not len(images):
        raise InputError(f"images: shape {list(np.shape(images))}, must be [N, S, S, C], N above 0")
    low, high = limits
    unit = (np.asarray(images, "float32") - low) / (high - low)
    rng = np.random.default_rng(seed)
    names = [kind] if kind else list(CORRUPTIONS)
    parts = np.array_split(unit, min(len(names) * 16, len(unit)))  # several draws of each strength
    new = [CORRUPTIONS[names[i % len(names)]](part, rng) for i, part in enumerate(parts)]
    return (np.clip(np.concatenate(new), 0, 1) * (high - low) + low).astype("float32")


def _each(rng: np.random.Generator, images: np.ndarray, low: float, high: float) -> np.ndarray:
    return rng.uniform(low, high, (len(images), 1, 1, 1))


def _smooth(images: np.ndarray, share: float) -> np.ndarray:
    """A Gaussian blur whose deviation is a share of the side."""
    from scipy import ndimage

    sigma = share * images.shape[1]
    return ndimage.gaussian_filter(images, (0, sigma, sigma, 0))
