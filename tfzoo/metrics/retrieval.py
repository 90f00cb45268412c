"""Retrieval metrics of embeddings: each row is a query among all the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.registry import serializable

_CHUNK_BYTES = 2**26


@serializable("metrics")
def recall_at_k(y_true: ArrayLike, y_pred: ArrayLike, k: int = 1) -> float:
    """Fraction of queries with a row of their class among the k nearest others.

    Nearest by cosine similarity; a query whose class has no other row counts as a miss, as in
    common benchmarks (Stanford Online Products, CUB-200-2011, CARS196).

    Args:
        y_true: class indices [N].
        y_pred: embeddings [N, D].
        k: neighbours, from 1 to N - 1.

    Raises:
        ValueError: k is out of range, or the shapes do not match.
    """
    labels, unit = _checked(y_true, y_pred)
    if not 1 <= k < len(labels):
        raise ValueError(f"k={k}: must be from 1 to {len(labels) - 1}, the other rows")
    hits = 0
    for rows, similarity in _similarities(unit):
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        hits += int((labels[nearest] == labels[rows, None]).any(1).sum())
    return hits / len(labels)


@serializable("metrics")
def mean_average_precision(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean over queries of the average precision of all other rows, ranked by cosine similarity.

    scikit-learn's `label_ranking_average_precision_score`: rows of equal similarity share the last
    of their ranks. Queries whose class has no other row are left out.

    Args:
        y_true: class indices [N].
        y_pred: embeddings [N, D].

    Raises:
        ValueError: the shapes do not match, or no class has two rows.
    """
    from sklearn.metrics import label_ranking_average_precision_score

    labels, unit = _checked(y_true, y_pred)
    total, count = 0.0, 0
    for rows, similarity in _similarities(unit):
        relevant = (labels == labels[rows, None]) & (similarity > -np.inf)
        keep = relevant.any(1)
        if keep.any():
            scores = np.maximum(similarity[keep], -2)  # a finite number puts the query itself last
            precision = label_ranking_average_precision_score(relevant[keep], scores)
            total, count = total + precision * keep.sum(), count + keep.sum()
    if not count:
        raise ValueError("labels: no class has two rows")
    return float(total / count)


def _checked(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    labels, x = np.asarray(y_true), np.asarray(y_pred, "float64")
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(-1)
    labels = labels.reshape(-1)
    if x.ndim != 2 or len(x) != len(labels):
        raise ValueError(f"embeddings {list(x.shape)}: must be [{len(labels)}, D]")
    return labels, x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _similarities(unit: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, cosine similarities to all [len(rows), N]), a query's own set to -inf."""
    step = max(1, _CHUNK_BYTES // (8 * len(unit)))
    for start in range(0, len(unit), step):
        rows = np.arange(start, min(start + step, len(unit)))
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        yield rows, similarity
