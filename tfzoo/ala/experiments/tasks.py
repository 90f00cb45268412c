"""The study's tasks: data in three parts, a network, and the metric that drives the controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfzoo import metrics
from tfzoo.data.jpegs import read_jpegs
from tfzoo.data.tables.imbalance import cut
from tfzoo.errors import InputError
from tfzoo.layers import Conv2D

Part = tuple[np.ndarray, np.ndarray]

NORM = 16.0
"""Mean squared norm of the inputs of dense networks, about that of the digits and as of the
recipes: the learning rates are chosen on digits, and a step changes the first layer's outputs in
proportion to it."""
MNIST_ROWS = (4000, 1000, 2000)
CIFAR_ROWS = (4000, 1000, 2000)
OMNIGLOT_CLASSES = (200, 60, 100)


@dataclass(frozen=True)
class Problem:
    """One task with one seed.

    Attributes:
        make: creates a new network; for CIFAR-10-JPEG, one on precomputed features.
        classes: number of classes; 0 for embeddings.
        metric: name of the metric that rewards the controller.
        mode: see `tfzoo.ala.Children`.
        train: inputs and labels.
        validation: data on which the metric is observed.
        test: data for the reported results.
        rare: classes that were reduced, for plots.
    """

    make: Callable[[], keras.Model]
    classes: int
    metric: str
    mode: str
    train: Part
    validation: Part
    test: Part
    rare: np.ndarray

    def black_box(self) -> metrics.BlackBoxMetric:
        """The metric, with a separate count of calls."""
        return metrics.get(self.metric)

    def report(self, y_pred: np.ndarray) -> dict[str, float]:
        """The reported metrics of test predictions."""
        labels = self.test[1]
        if not self.classes:
            return {f"recall_at_{k}": metrics.recall_at_k(labels, y_pred, k) for k in (1, 4)}
        names = {"misclassification": "misclassification_rate"}
        names |= {"balanced_error": "balanced_error", "aucpr": "average_precision"}
        return {name: metrics.get(metric)(labels, y_pred) for name, metric in names.items()}


def digits(seed: int) -> Problem:
    """Digits with five classes reduced to four training examples; balanced error."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    source, split = load_digits(), {"random_state": seed, "shuffle": True}
    x, y = (source.data / 16).astype("float32"), source.target.astype("int64")
    x, a, y, b = train_test_split(x, y, test_size=0.5, stratify=y, **split)
    xv, xt, yv, yt = train_test_split(a, b, test_size=0.5, stratify=b, **split)
    return _rare((x, y), (xv, yv), (xt, yt), 4, seed, "balanced_error")


def _mnist(path: str) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        with np.load(path, allow_pickle=False) as file:
            x, y = file["x_train"], file["y_train"].astype("int64")
            test = file["x_test"], file["y_test"].astype("int64")
        parts = _drawn((x, y), test, MNIST_ROWS, seed)
        parts = [(a.reshape(len(a), -1).astype("float32"), b) for a, b in parts]
        train, held, tested = _normed(parts)
        return _rare(train, held, tested, 20, seed, "balanced_error")

    return make


def _cifar(path: str, metric: str, rare: int | None) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        n, m, k = CIFAR_ROWS
        with np.load(path, allow_pickle=False) as file:
            first = read_jpegs(file, "train", 2 * (n + m))
            last = read_jpegs(file, "test", 2 * k)
        parts = _drawn(first, last, CIFAR_ROWS, seed)
        parts = [(a.astype("float32") / 255, b) for a, b in parts]
        x, y = parts[0]
        kept = np.arange(n) if rare is None else cut(y, 5, rare, seed)
        parts[0] = x[kept], y[kept]
        trunk = _trunk(parts[0])
        parts = [(trunk.predict(a, batch_size=500, verbose=0), b) for a, b in parts]
        mean, std = parts[0][0].mean(0), parts[0][0].std(0) + 1e-3
        parts = [((a - mean) / std, b) for a, b in parts]
        train, held, tested = _normed(parts)
        return _rare(train, held, tested, None, seed, metric)

    return make


def _omniglot(path: str) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        with np.load(path, allow_pickle=False) as file:
            x, y = file["x28_background"], file["y_background"].astype("int64")
            xt, yt = file["x28_evaluation"], file["y_evaluation"].astype("int64")
        random = np.random.RandomState(seed)
        n, m, k = OMNIGLOT_CLASSES
        order = random.permutation(np.unique(y))
        other = random.permutation(np.unique(yt))[:k]
        train, held = (_of_classes(x, y, chosen) for chosen in (order[:n], order[n : n + m]))
        tested, none = _of_classes(xt, yt, other), np.zeros(0, "int64")
        return Problem(_embedder, 0, "recall_at_k", "loop", train, held, tested, none)

    return make


def embedded() -> dict[str, Callable[[int], Problem]]:
    """Tasks on data shipped with scikit-learn."""
    return {"digits": digits}


def by_path(mnist: str, cifar: str, omniglot: str) -> dict[str, Callable[[int], Problem]]:
    """Tasks on the user's files, for paths that are not empty.

    Raises:
        InputError: a file is missing.
    """
    tasks: dict[str, Callable[[int], Problem]] = {}
    for name, path in (("mnist", mnist), ("cifar", cifar), ("omniglot", omniglot)):
        if path and not Path(path).is_file():
            raise InputError(f"--{name}={path!r}: no such file")
    if mnist:
        tasks["mnist"] = _mnist(mnist)
    if cifar:
        tasks["cifar10_jpeg_error"] = _cifar(cifar, "misclassification_rate", None)
        tasks["cifar10_jpeg_aucpr"] = _cifar(cifar, "average_precision", 40)
    if omniglot:
        tasks["omniglot"] = _omniglot(omniglot)
    return tasks


def _normed(parts: Sequence[Part]) -> list[Part]:
    """Parts whose inputs are scaled to a mean squared norm of `NORM` on the first."""
    scale = np.sqrt(NORM / np.square(parts[0][0]).sum(1).mean())
    return [((a * scale).astype("float32"), b) for a, b in parts]


def _rare(
    train: Part, validation: Part, test: Part, keep: int | None, seed: int, metric: str
) -> Problem:
    """A network with one hidden layer; five classes keep `keep` training examples, unless None."""
    rows = np.arange(len(train[1])) if keep is None else cut(train[1], 5, keep, seed)
    train = train[0][rows], train[1][rows]
    counts = np.bincount(train[1], minlength=10)
    width = train[0].shape[1]

    def make() -> keras.Model:
        layers = keras.layers
        return keras.Sequential(
            [keras.Input((width,)), layers.Dense(32, "relu"), layers.Dense(10, name="logits")]
        )

    few = np.flatnonzero(counts < 0.5 * counts.max())
    return Problem(make, 10, metric, "vectorised", train, validation, test, few)


def _drawn(train: Part, test: Part, counts: tuple[int, int, int], seed: int) -> list[Part]:
    random = np.random.RandomState(seed)
    rows = random.permutation(len(train[1]))[: counts[0] + counts[1]]
    other = random.permutation(len(test[1]))[: counts[2]]
    parts = (train, rows[: counts[0]]), (train, rows[counts[0] :]), (test, other)
    return [(x[r], y[r]) for (x, y), r in parts]


def _trunk(train: Part) -> keras.Model:
    """Three convolutions, trained by cross-entropy with a top layer that is discarded."""
    h = inputs = keras.Input(train[0].shape[1:])
    for width in (16, 32, 64):
        h = Conv2D(width, 3, padding="same", activation="relu")(h)
        h = keras.layers.MaxPooling2D()(h)
    trunk = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(h))
    whole = keras.Sequential([trunk, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    whole.compile(keras.optimizers.Adam(2e-3), loss)
    whole.fit(*train, batch_size=64, epochs=5, verbose=0)
    return trunk


def _of_classes(x: np.ndarray, y: np.ndarray, classes: np.ndarray) -> Part:
    """Images of some classes, averaged over 2x2 pixels, with high values for ink [N, 14, 14, 1]."""
    rows = np.isin(y, classes)
    images = x[rows].reshape(-1, 14, 2, 14, 2).mean((2, 4))[..., None]
    return (images / max(float(images.max()), 1.0)).astype("float32"), y[rows]


def _embedder() -> keras.Model:
    layers = [keras.Input((14, 14, 1))]
    for width in (16, 32):
        layers.append(Conv2D(width, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D(padding="same"))
    layers += [keras.layers.Flatten(), keras.layers.Dense(32, name="embedding")]
    return keras.Sequential(layers)
