"""Monitors a GAN in training: images at fixed seeds, and its distance from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.model import EnergyGAN
from tfzoo.files import replacing


class GANMonitor(keras.callbacks.Callback):
    """Adds Fisher similarities to an epoch's logs, and writes images at fixed seeds.

    Logs `fisher_<name>` (the similarity exp(-10 d)) and `distance_<name>` (d) for each image set
    and for `fake`, fresh images of the generator, and `floor`, the expected d for images of the
    model itself. A distance is informative only if it is above both.

    Args:
        sets: images [N, S, S, C] of raw pixels by name, e.g. `train` and `val`.
        directory: folder for `epoch-0001.png` and so on; None: no images.
        samples: number of generated images for the statistics, and for `fake`.
        every: epochs between evaluations; the last epoch of a `fit` is always evaluated.
        grid: images per row, and rows, in the picture.
        seed: seed of the images and statistics.
    """

    def __init__(
        self,
        sets: Mapping[str, ArrayLike],
        directory: str | Path | None = None,
        samples: int = 512,
        every: int = 1,
        grid: int = 8,
        seed: int = 0,
    ):
        super().__init__()
        if every < 1 or grid < 1:
            raise ValueError(f"every={every}, grid={grid}: must be at least 1")
        self.sets, self.directory = sets, None if directory is None else Path(directory)
        self.samples, self.every, self.grid, self.seed = samples, every, grid, seed
        self._vectorizer: FisherVectorizer | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluates, when due."""
        last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not last:
            return
        if logs is not None:
            logs.update(self.look(self.model))
        if self.directory is not None:
            with replacing(self.directory / f"epoch-{epoch + 1:04d}.png") as aside:
                aside.write_bytes(picture(self.model, self.grid, self.seed))

    def look(self, gan: EnergyGAN) -> dict[str, float]:
        """Similarities and distances by name; NaN where the discriminator has saturated."""
        if self._vectorizer is None:
            self._vectorizer = FisherVectorizer(gan.discriminator)
        vectorizer = self._vectorizer
        vectorizer.load_discriminator(gan.discriminator)
        fake, fresh = np.split(_generated(gan, 2 * self.samples, self.seed), 2)
        sets = {name: np.asarray(gan.prepare(x)) for name, x in self.sets.items()}
        try:
            vectorizer.adapt(fake)
            everything = {**sets, "fake": fresh}
            similarities = {name: vectorizer.similarity(x) for name, x in everything.items()}
        except ValueError:
            nothing = {f"{w}_{name}": math.nan for name in (*sets, "fake") for w in _WORDS}
            return nothing | {"floor": math.nan}
        logs: dict[str, float] = {}
        for name, one in similarities.items():
            logs |= {f"fisher_{name}": one.similarity, f"distance_{name}": one.distance}
        return logs | {"floor": similarities["fake"].floor}


_WORDS = ("fisher", "distance")


def _generated(gan: EnergyGAN, count: int, seed: int) -> np.ndarray:
    z = gan.latents(count, seed)
    parts = [np.asarray(gan.generate(z[at : at + 64])) for at in range(0, count, 64)]
    return np.concatenate(parts)


def picture(gan: EnergyGAN, grid: int = 8, seed: int = 0) -> bytes:
    """A PNG of grid x grid generated images, with z fixed by the seed."""
    import tensorflow as tf  # only for the PNG

    images = (_generated(gan, grid * grid, seed) + 1) * 127.5
    size, channels = images.shape[1], images.shape[3]
    if channels not in (1, 3):
        images, channels = images[..., :1], 1
    rows = images.reshape(grid, grid, size, size, channels).transpose(0, 2, 1, 3, 4)
    whole = rows.reshape(grid * size, grid * size, channels)
    return tf.io.encode_png(np.clip(np.rint(whole), 0, 255).astype("uint8")).numpy()
