"""Monitors a Set Distribution Network in training."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np
from numpy.typing import ArrayLike

from tfzoo.files import replacing
from tfzoo.sdn.model import SetDistributionNetwork

FEW = 0.05
"""Unique codes per set below which the encoder counts as collapsed."""


class CodeMonitor(keras.callbacks.Callback):
    """Logs code statistics of sets per epoch, warns of a collapse, and writes pictures.

    See `SetDistributionNetwork.code_stats` for the statistics.

    Args:
        sets: raw pixels [M, n, S, S, C].
        mask: [M, n], or None.
        directory: folder for `epoch-0001.png` and so on, with sets, their reconstructions and free
            samples; None: no pictures.
        every: epochs between evaluations; the last epoch of a `fit` is always evaluated.
        seed: seed of the generated images.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(
        self,
        sets: ArrayLike | list[np.ndarray],
        mask: ArrayLike | None = None,
        directory: str | Path | None = None,
        every: int = 1,
        seed: int = 0,
    ):
        super().__init__()
        if every < 1:
            raise ValueError(f"every={every}: must be at least 1")
        self.sets, self.mask = np.asarray(sets), mask
        self.directory = None if directory is None else Path(directory)
        self.every, self.seed, self.warned = every, seed, False

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Evaluates, when due."""
        last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not last:
            return
        stats = self.model.code_stats(self.sets, self.mask, self.seed)
        if logs is not None:
            logs.update(stats)
        self._judge(stats, epoch)
        if self.directory is not None:
            self.directory.mkdir(parents=True, exist_ok=True)
            with replacing(self.directory / f"epoch-{epoch + 1:04d}.png") as aside:
                aside.write_bytes(picture(self.model, self.sets, self.mask, seed=self.seed))

    def _judge(self, stats: dict[str, float], epoch: int) -> None:
        few = stats["unique_codes"] <= max(1, FEW * len(self.sets))
        if few and len(self.sets) > 1 and not self.warned:
            self.warned = True
            warnings.warn(
                f"epoch {epoch + 1}: {stats['unique_codes']:.0f} codes for {len(self.sets)} sets, "
                "the encoder collapses; a smaller prior_to_encoder or another margin may help",
                stacklevel=2,
            )


def picture(
    model: SetDistributionNetwork,
    sets: ArrayLike | list[np.ndarray],
    mask: ArrayLike | None = None,
    rows: int = 6,
    seed: int = 0,
) -> bytes:
    """A PNG of three columns: sets, their reconstructions, and sets sampled freely.

    Args:
        model: the model.
        sets: raw pixels [M, n, S, S, C].
        mask: [M, n], or None.
        rows: maximum number of sets shown.
        seed: seed of the generated images.
    """
    import tensorflow as tf

    given = np.asarray(sets)[:rows]
    here = None if mask is None else np.asarray(mask)[:rows]
    n = given.shape[1]
    parts = [given, model.reconstruct(given, n, here, seed), model.generate(len(given), n, seed)]
    strips = [np.concatenate(list(np.moveaxis(part, 1, 0)), 2) for part in parts]
    gap = np.full((len(given), given.shape[2], 3, given.shape[4]), model.pixel_mean)
    whole = np.concatenate([strips[0], gap, strips[1], gap, strips[2]], 2)
    whole = np.concatenate(list(whole), 0)
    low, high = (model.pixel_mean + s * model.pixel_std for s in (-1, 1))
    grey = np.clip((whole - low) / (high - low), 0, 1) * 255
    return tf.io.encode_png(np.rint(grey).astype("uint8")).numpy()
