"""Chooses the next observation with a Gaussian process over phi, trusted near the best observation.

This is ours, not the paper's: `MetricOpt(value="trust_region")`. The loss's own path is observed
occasionally; in between, the metric is observed at points around the best one so far, in a box
that grows with success and shrinks otherwise (the box is TuRBO's, arXiv:1910.01739).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

CANDIDATES = 256
MOVED = 12
"""Approximate number of coordinates that a candidate changes."""
SUCCESSES, FAILURES = 2, 6
"""Consecutive successes and failures after which the box doubles or halves."""
LEAST = 2.0**-5
"""Side at which a box that only shrank is reset."""
LENGTHS, NOISES = (0.3, 0.6, 1.2, 2.4), (1e-3, 1e-2, 1e-1)
"""Settings tried for the process: length scales in box sides times sqrt(D), noise variances."""
NEAREST = 200
"""Number of observations to which the process is fitted."""


@dataclass
class GaussianProcess:
    """A Matern 5/2 process with the observations' mean and variance; the best of a few settings.

    Args:
        x: [N, D], in box sides.
        y: [N].
    """

    x: np.ndarray
    y: np.ndarray
    settings: tuple[float, float] | None = None
    _best: tuple = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.mean, self.std = float(self.y.mean()), max(float(self.y.std()), 1e-12)
        z, distances = (self.y - self.mean) / self.std, _distances(self.x, self.x)
        tried = [self.settings] if self.settings else [(a, b) for a in LENGTHS for b in NOISES]
        each = [(*self._fit(z, distances, length, noise), length, noise) for length, noise in tried]
        _, self._factor, self._weights, length, noise = max(each, key=lambda e: e[0])
        self.settings = (length, noise)

    def _fit(
        self, z: np.ndarray, distances: np.ndarray, length: float, noise: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        kernel = _matern(distances, length * self.x.shape[1] ** 0.5)
        kernel[np.diag_indices_from(kernel)] += noise
        factor = scipy.linalg.cholesky(kernel, lower=True, check_finite=False)
        weights = scipy.linalg.cho_solve((factor, True), z, check_finite=False)
        return -0.5 * float(z @ weights) - float(np.log(np.diag(factor)).sum()), factor, weights

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations [M] at points [M, D]."""
        assert self.settings is not None
        length = self.settings[0] * self.x.shape[1] ** 0.5
        cross = _matern(_distances(x, self.x), length)
        half = scipy.linalg.solve_triangular(self._factor, cross.T, lower=True, check_finite=False)
        spread = np.sqrt(np.maximum(1 - np.square(half).sum(0), 1e-12))
        return cross @ self._weights * self.std + self.mean, spread * self.std


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(squares, 0))


def _matern(distances: np.ndarray, length: float) -> np.ndarray:
    r = 5**0.5 * distances / length
    return (1 + r + r * r / 3) * np.exp(-r)


class TrustRegion:
    """Proposes points one at a time; its state consists only of the observations.

    Args:
        scale: scale of each coordinate [D], the box's initial half side.
        free: which coordinates may change [D].
        seed: seed of the candidates.
    """

    def __init__(self, scale: np.ndarray, free: np.ndarray, seed: int = 0):
        self.scale, self.free, self.seed = scale, np.flatnonzero(free), seed
        self._settings: tuple[float, float] | None = None

    def side(self, start: float, costs: Sequence[float]) -> float:
        """The box's side after proposals with these costs, starting from a best of `start`."""
        side, best, good, bad = 1.0, start, 0, 0
        for cost in costs:
            better = cost < best - 1e-12
            best, good, bad = (
                min(best, cost),
                (good + 1 if better else 0),
                (0 if better else bad + 1),
            )
            if good == SUCCESSES:
                side, good = min(2 * side, 2.0), 0
            elif bad == FAILURES:
                side, bad = (side / 2 if side > LEAST else 1.0), 0
        return side

    def propose(self, phi: np.ndarray, cost: np.ndarray, own: np.ndarray) -> np.ndarray:
        """The next point [D].

        Args:
            phi: all observed points [N, D].
            cost: costs there [N].
            own: which points this region proposed, in order [N].
        """
        center, number = phi[int(np.argmin(cost))], int(own.sum())
        before = cost[~own]
        side = self.side(float(before.min()) if len(before) else np.inf, cost[own])
        sides = side * self.scale[self.free]
        x = (phi[:, self.free] - center[self.free]) / sides
        near = np.argsort(np.square(x).sum(1), kind="stable")[:NEAREST]
        if number % 8 == 0:
            self._settings = None
        process = GaussianProcess(x[near], cost[near], self._settings)
        self._settings = process.settings
        random = np.random.default_rng([self.seed, number])
        candidates = self._candidates(random, process, x[near], cost[near])
        mean, spread = process.predict(candidates)
        eagerness = (0.0, 0.5, 1.0, 2.0)[number % 4]
        chosen = candidates[int(np.argmin(mean - eagerness * spread))]
        point = center.copy()
        point[self.free] += chosen * sides
        return point

    def _candidates(
        self,
        random: np.random.Generator,
        process: GaussianProcess,
        x: np.ndarray,
        cost: np.ndarray,
    ) -> np.ndarray:
        """Points around the best one and around means of the best few, in box sides [M, D]."""
        size = len(self.free)
        dense = random.normal(size=(CANDIDATES, size))
        kept = random.random((CANDIDATES, size)) < min(1.0, MOVED / size)
        kept[np.arange(CANDIDATES), random.integers(0, size, CANDIDATES)] = True
        order = np.argsort(cost, kind="stable")
        means = np.stack([x[order[:n]].mean(0) for n in (1, 4, 8, 16)])
        around = means[random.integers(0, len(means), CANDIDATES)] + dense
        lines = self._downhill(process) * np.linspace(0.1, 1.5, 8)[:, None]
        return np.concatenate([dense * kept, around, means[1:], lines, around[:64] + lines[3]])

    def _downhill(self, process: GaussianProcess) -> np.ndarray:
        """The descent direction of the process at the centre, as long as a candidate's step [D]."""
        size = len(self.free)
        steps = 0.05 * np.eye(size)
        ahead, _ = process.predict(np.concatenate([steps, -steps]))
        slope = ahead[:size] - ahead[size:]
        return -slope * size**0.5 / max(np.linalg.norm(slope), 1e-30)


def smoothed_best(phi: np.ndarray, cost: np.ndarray, scale: np.ndarray, among: int = 12) -> int:
    """Which of the `among` lowest costs is the lowest according to the process.

    The lowest of many noisy observations is partly luck; the process also uses its neighbours.
    """
    best = np.argsort(cost, kind="stable")[:among]
    x = (phi - phi[best[0]]) / scale
    near = np.argsort(np.square(x).sum(1), kind="stable")[:NEAREST]
    mean, _ = GaussianProcess(x[near], cost[near]).predict(x[best])
    return int(best[int(np.argmin(mean))])
