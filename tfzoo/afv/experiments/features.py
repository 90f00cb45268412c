"""Every feature set as kernels between training, validation and test images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.readout import choose_ridge

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Values of C for logistic regression, for feature sets that are small enough."""


@dataclass(frozen=True)
class Kernels:
    """Inner products with the training images, and squared lengths.

    Attributes:
        train: [N, N].
        held: [M, N].
        test: [T, N].
        lengths: squared, of the test images, [T].
        rows: the standardised features themselves, train, validation, test; None for AFV.
    """

    train: np.ndarray
    held: np.ndarray
    test: np.ndarray
    lengths: np.ndarray
    rows: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


def of_rows(function: Callable, *images: np.ndarray) -> Kernels:
    """Kernels of a network's features, standardised by those of the training images."""
    parts = []
    for x in images:
        pieces = [np.asarray(function(x[at : at + 500])) for at in range(0, len(x), 500)]
        parts.append(np.concatenate(pieces).reshape(len(x), -1).astype(np.float64))
    mean, std = parts[0].mean(0), parts[0].std(0) + 1e-6
    train, held, test = ((f - mean) / std for f in parts)
    lengths = np.sum(test**2, 1)
    return Kernels(train @ train.T, held @ train.T, test @ train.T, lengths, (train, held, test))


def of_vectors(
    vectorizer: FisherVectorizer, train: np.ndarray, held: np.ndarray, test: np.ndarray
) -> Kernels:
    """Kernels of Fisher vectors; only those of the training images are held in memory."""
    rows = vectorizer.transform(train)

    def products(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pairs = []
        for chunk in vectorizer.gradients.chunks(images):
            v = vectorizer.transform(chunk)
            pairs.append((v @ rows.T, np.sum(np.square(v), 1)))
        product, lengths = (np.concatenate(part) for part in zip(*pairs, strict=True))
        return product, lengths

    return Kernels(rows @ rows.T, products(held)[0], *products(test))


def classify(
    kernels: Kernels,
    labels: tuple[np.ndarray, np.ndarray, np.ndarray],
    count: int,
    classes: int,
    iterations: int = 300,
) -> dict[str, float]:
    """Test error of a linear classifier on the first `count` training images.

    One-vs-all ridge, with the penalty chosen on validation; for few features also logistic
    regression (up to `iterations` of L-BFGS), with C chosen in the same way. The better of both on
    validation counts.

    Returns:
        `error_<count>`, and 1 if logistic regression was chosen.
    """
    y, held, test = labels[0][:count], labels[1], labels[2]
    problem, alpha, _, best = choose_ridge(
        kernels.train[:count, :count], y, kernels.held[:, :count], held, classes
    )
    predicted, logistic = problem.predict(alpha, kernels.test[:, :count]).argmax(1), 0
    if kernels.rows is not None:
        x, x_held, x_test = kernels.rows
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=iterations, tol=1e-3)
            with warnings.catch_warnings():  # early stopping is fine, as validation decides
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(x[:count], y)
            accuracy = model.score(x_held, held)
            if accuracy > best:
                best, predicted, logistic = accuracy, model.predict(x_test), 1
    return {f"error_{count}": float(np.mean(predicted != test)), f"logistic_{count}": logistic}


def nearest_error(kernels: Kernels, labels: tuple[np.ndarray, ...]) -> float:
    """Test error of the nearest neighbour among training images, by cosine."""
    scale = np.sqrt(np.maximum(np.diag(kernels.train), 1e-12))
    nearest = (kernels.test / scale).argmax(1)
    return float(np.mean(labels[0][nearest] != labels[2]))
