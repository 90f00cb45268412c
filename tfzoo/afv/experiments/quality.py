"""Quality of generated images by another network's features: the kernel inception distance.

Any network can replace Inception, but figures of different networks are not comparable. Real images
compared with other real images give the floor.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from tfzoo import zoo
from tfzoo.afv.pixels import to_network
from tfzoo.config import check

NETWORK = "ala/digits"
"""Package weights whose last hidden layer gives the features: a classifier of 8x8 digits."""
IMAGES = 1000
"""Maximum number of images of each set."""


def features(name: str = NETWORK) -> Callable[[np.ndarray], np.ndarray]:
    """Maps images [N, S, S, C] in [-1, 1] to the named network's last hidden layer [N, d].

    Images are resized to its size and averaged over channels to one channel of its range.
    """
    model = zoo.load(name, compile=False)
    hidden = keras.Model(model.inputs, model.layers[-2].output)
    size = model.input_shape[1]

    def of(images: np.ndarray) -> np.ndarray:
        grey = np.asarray(images, "float32").mean(-1, keepdims=True)
        small = 8.0 * (np.asarray(to_network(grey, size, 0.0, 1.0)) + 1)  # 0 to 16
        outputs = hidden.predict(small, batch_size=500, verbose=0)
        return np.asarray(outputs, "float64").reshape(len(images), -1)

    return of


def kid(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased squared MMD of features [N, d], [M, d] under (x.y / d + 1)^3 (1801.01401).

    About 0, and negative half the time, for two draws of one distribution.

    Raises:
        InputError: fewer than two rows, or different widths.
    """
    check(min(len(x), len(y)) > 1, "features", [len(x), len(y)], "at least two rows each")
    check(x.shape[1] == y.shape[1], "features", [x.shape[1], y.shape[1]], "equal in width")
    within = [_mean_apart(_kernel(a, a)) for a in (x, y)]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def columns(fake: np.ndarray, real: np.ndarray, name: str = NETWORK) -> dict[str, float]:
    """`kid` of generated images [N, S, S, C] against real ones, and `kid_floor`, of real halves."""
    of = features(name)
    half = len(real) // 2
    one, two = of(real[:half][:IMAGES]), of(real[half:][:IMAGES])
    return {"kid": kid(of(fake[:IMAGES]), one), "kid_floor": kid(two, one)}


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_apart(kernel: np.ndarray) -> float:
    """The mean over off-diagonal entries."""
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
