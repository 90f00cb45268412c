"""Distances between sets of images, computed from their Fisher vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from tfzoo.typing import Tensor

if TYPE_CHECKING:
    from tfzoo.afv.gradients import PerExampleGradients


@dataclass(frozen=True)
class Similarity:
    """How close a set of images is to the model.

    Attributes:
        similarity: exp(-10 distance), as in the official code.
        distance: mean over live parameters of (mean V)^2.
        floor: expected distance of samples of the model itself, 1/n + 1/S.
        count: number of images n.
    """

    similarity: float
    distance: float
    floor: float
    count: int


@dataclass(frozen=True)
class SetSum:
    """The sum of a set's Fisher vectors, [P], and that of their squared lengths if requested."""

    total: np.ndarray
    count: int
    squares: float = float("nan")


class FisherSets:
    """`distance` and `similarity` of a vectorizer, which provides the members declared here."""

    gradients: PerExampleGradients
    mean: keras.Variable
    count: keras.Variable
    official: bool
    alive: Callable[[], Tensor]
    set_whitening: Callable[[], Tensor]
    _check_fitted: Callable[[], None]

    @property
    def size(self) -> int:
        """The number of parameters P."""
        return self.gradients.parameters

    @property
    def dead(self) -> int:
        """Coordinates that do not vary over generated images (dead units, saturation)."""
        return self.size - int(ops.sum(ops.cast(self.alive(), "int32")))

    @property
    def living(self) -> int:
        """Number of coordinates that a distance averages over: all if nothing is masked."""
        return self.size if self.official else self.size - self.dead

    def mean_vector(self, images: Tensor) -> np.ndarray:
        """The mean Fisher vector of a set, [N, S, S, C] -> [P].

        Takes one backward pass of D's sum over the set: examples do not interact, so no per-example
        gradients are needed.
        """
        self._check_fitted()
        total = self._sum(images)
        return total.total / total.count

    def distance(self, x: Tensor, y: Tensor | None = None, unbiased: bool = False) -> float:
        """The squared Fisher distance of two sets, a mean over live parameters.

        Args:
            x: images [N, S, S, C], N at least 1.
            y: likewise; None: the model itself, whose mean vector is 0 by construction.
            unbiased: excludes pairs of an image with itself (the U-statistic of the squared MMD);
                the result may then be negative, and the sets must be independent draws.

        Raises:
            ValueError: the statistics are not fitted, or a set has fewer than two images with
                `unbiased`.
        """
        self._check_fitted()
        sums = [self._sum(s, squares=unbiased) for s in ((x,) if y is None else (x, y))]
        if not unbiased:
            means = [s.total / s.count for s in sums]
            apart = means[0] - (means[1] if len(means) > 1 else 0.0)
            return float(np.sum(np.square(apart)) / self.living)
        if min(s.count for s in sums) < 2:
            raise ValueError("unbiased=True: every set must have at least two images")
        squared = sum(
            (np.sum(np.square(s.total)) - s.squares) / (s.count * (s.count - 1)) for s in sums
        )
        if len(sums) == 2:
            a, b = sums
            squared -= 2 * np.dot(a.total, b.total) / (a.count * b.count)
        return float(squared / self.living)

    def similarity(self, images: Tensor) -> Similarity:
        """How close a set of images is to the model, with the distance's noise floor."""
        self._check_fitted()
        total = self._sum(images)
        distance = float(np.sum(np.square(total.total / total.count)) / self.living)
        floor = 1 / total.count + 1 / float(self.count.numpy())
        return Similarity(math.exp(-10 * distance), distance, floor, total.count)

    def distance_matrix(self, sets: list[Tensor]) -> np.ndarray:
        """Squared distances of several sets from each other, [K, K]."""
        means = np.stack([self.mean_vector(s) for s in sets])
        return np.array([[np.sum(np.square(a - b)) / self.living for b in means] for a in means])

    def _sum(self, images: Tensor, squares: bool = False) -> SetSum:
        white = self.set_whitening()
        if squares:
            total, lengths, count = np.zeros(self.size), 0.0, 0
            for chunk in self.gradients.chunks(images):
                v = ((self.gradients(chunk) - self.mean.value) * white).numpy()
                total += v.sum(0, dtype=np.float64)
                lengths += float(np.sum(np.square(v), dtype=np.float64))
                count += len(v)
            return SetSum(total, count, lengths)
        total, count = np.zeros(self.size), 0
        for chunk in self.gradients.chunks(images):
            total += self.gradients.of_sum(chunk).numpy()
            count += chunk.shape[0]
        total = (total - count * self.mean.numpy().astype(np.float64)) * white.numpy()
        return SetSum(total, count)
