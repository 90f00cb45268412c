"""Digits as rows of equal length, with one-hot targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfzoo import data

NORM = 8.0


@dataclass(frozen=True)
class Digits:
    """Rows [N, 64] of length `NORM` and labels of the train, validation or test split."""

    x: np.ndarray
    labels: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """The labels as one-hot rows, float32 [N, 10]."""
        return np.eye(10, dtype=np.float32)[self.labels]

    def accuracy(self, answer: np.ndarray) -> float:
        """Fraction of examples whose largest output is their label's."""
        return float(np.mean(answer.argmax(1) == self.labels))


def load(split: str) -> Digits:
    """A split of `tfzoo_digits`."""
    builder = data.builder(data.DataConfig("tfzoo_digits"))
    batch = next(data.split(builder, split).batch(2000).as_numpy_iterator())
    flat = batch["image"].reshape(len(batch["image"]), -1).astype(np.float32)
    return Digits(flat * (NORM / np.linalg.norm(flat, axis=1, keepdims=True)), batch["label"])
