"""Evaluates frozen features by retrieval and a linear probe; accuracy by clips and by videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from tfzoo.metrics.predictions import class_numbers
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


def compiled(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A single graph of a function for any number of rows."""
    import tensorflow as tf  # everything else uses Keras and numpy

    return tf.function(function, reduce_retracing=True, autograph=False)


def of_videos(
    function: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """A function's outputs on evaluation clips.

    Args:
        function: clips [N, T, S, S, C] -> [N, D].
        batches: batches from `streams.evaluation_clips`.

    Returns:
        float32 [videos, clips, D] and labels [videos].
    """
    run = compiled(function)
    answers, labels = [], []
    for clips, y in batches:
        features = run(ops.reshape(clips, (-1, *clips.shape[2:])))
        answers.append(np.asarray(features).reshape(len(clips), clips.shape[1], -1))
        labels.append(y.numpy())
    return np.concatenate(answers), np.concatenate(labels)


def retrieve(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Gallery rows for each query, nearest first, by cosine: [Q, D], [G, D] -> int64 [Q, G]."""
    unit = [
        x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12) for x in (queries, gallery)
    ]
    return np.argsort(-(unit[0] @ unit[1].T), axis=1, kind="stable")


def recall(order: np.ndarray, labels: np.ndarray, gallery_labels: np.ndarray, k: int = 1) -> float:
    """Fraction of queries with a row of their class among the k nearest of the gallery."""
    near = np.asarray(gallery_labels)[order[:, :k]]
    return float((near == np.asarray(labels)[:, None]).any(1).mean())


def linear_probe(
    train: tuple[np.ndarray, np.ndarray],
    held: tuple[np.ndarray, np.ndarray],
    strengths: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0),
) -> Pipeline:
    """Logistic regression on standardised features, with the penalty chosen on held-out videos.

    Args:
        train: features [N, D] and class indices [N].
        held: the same, for choosing the penalty.
        strengths: values of scikit-learn's C.

    Returns:
        A fitted scikit-learn pipeline.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best, best_score = None, -1.0
    for c in strengths:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        probe.fit(*train)
        score = probe.score(*held)
        if score > best_score:  # among equals, the stronger penalty
            best, best_score = probe, score
    return best


def as_dense(probe: Pipeline, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """A probe's kernel [D, classes] and bias [classes] for unstandardised features."""
    scale, regression = (step for _, step in probe.steps)
    kernel = np.zeros((scale.n_features_in_, classes), "float32")
    bias = np.full(classes, -30.0, "float32")  # for classes missing from the training videos
    coefficients, intercept = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # one row represents both classes
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    weights = coefficients / scale.scale_
    kernel[:, regression.classes_] = weights.T
    bias[regression.classes_] = intercept - weights @ scale.mean_
    return kernel, bias


def accuracies(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy of clips, and accuracy and loss of videos by the mean of their clips' softmax.

    Args:
        logits: [videos, clips, K].
        labels: [videos].
    """
    y = class_numbers(labels)
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    mean = p.mean(1)
    likelihood = np.maximum(mean[np.arange(len(y)), y], 1e-12)
    return {
        "accuracy": float((mean.argmax(-1) == y).mean()),
        "clip_accuracy": float((logits.argmax(-1) == y[:, None]).mean()),
        "loss": float(-np.log(likelihood).mean()),
        "count": len(y),
    }
