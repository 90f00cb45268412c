"""Mean and variance of many numbers, streamed and merged (Chan, Golub, LeVeque)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of rows [., P], float64.

    Attributes:
        count: rows so far.
        mean: [P].
        m2: [P], the sum of (row - mean)^2.
    """

    count: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def empty(cls, size: int) -> Moments:
        """The moments of no rows, for vectors [P] of `size` P."""
        return cls(0, np.zeros(size), np.zeros(size))

    @classmethod
    def of(cls, rows: np.ndarray) -> Moments:
        """The moments of rows [n, P]."""
        mean = rows.mean(0, dtype=np.float64)
        m2 = np.zeros(rows.shape[1])
        for row in rows:  # avoids a float64 copy of all rows
            m2 += np.square(row - mean)
        return cls(len(rows), mean, m2)

    def merged(self, other: Moments) -> Moments:
        """The moments of both sets of rows together."""
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        m2 = self.m2 + other.m2 + np.square(apart) * (self.count * other.count / count)
        return Moments(count, mean, m2)

    @property
    def variance(self) -> np.ndarray:
        """The biased variance [P], as in the method."""
        return self.m2 / max(self.count, 1)
