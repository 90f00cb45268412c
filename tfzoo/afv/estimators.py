"""Fisher vectors for scikit-learn: a transformer for `LinearSVC`, pipelines and `GridSearchCV`.

A separate import, so that `import tfzoo` does not import scikit-learn.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import weakref
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tfzoo.afv.fisher import FisherVectorizer


class FisherFeatures(TransformerMixin, BaseEstimator):
    """Transforms images [N, S, S, C] in [-1, 1] with a fitted `FisherVectorizer`.

    `fit` learns nothing, as the statistics are those of generated images.

    With `n_jobs`, a worker process reads the network only once for all folds and settings, and
    gives TensorFlow the threads that joblib allows (`OMP_NUM_THREADS`).

    Args:
        vectorizer: with fitted statistics; clones share it.
        stride: keeps every k-th of the vectorizer's features, so that a search can vary it.
        normalise: scales each row to length 1.
    """

    def __init__(self, vectorizer: FisherVectorizer, stride: int = 1, normalise: bool = False):
        self.vectorizer, self.stride, self.normalise = vectorizer, stride, normalise

    def __sklearn_clone__(self) -> FisherFeatures:
        """A copy with the same vectorizer, so that the network is not copied for each fold."""
        return type(self)(**self.get_params(deep=False))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state["vectorizer"] = _packed(self.vectorizer)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"vectorizer": _unpacked(*state["vectorizer"])})

    def fit(self, x: ArrayLike, y: ArrayLike | None = None) -> FisherFeatures:
        """Checks the statistics.

        Raises:
            ValueError: they are not fitted, or `stride` is below 1.
        """
        if self.stride < 1:
            raise ValueError(f"stride={self.stride}: must be at least 1")
        self.vectorizer._check_fitted()
        self.n_features_out_ = -(-self.vectorizer.features // self.stride)
        return self

    def transform(self, x: ArrayLike) -> np.ndarray:
        """[N, S, S, C] -> [N, features]."""
        check_is_fitted(self, "n_features_out_")
        vectors = self.vectorizer.transform(x)[:, :: self.stride]
        if self.normalise:
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors


_written: weakref.WeakKeyDictionary[FisherVectorizer, tuple[str, bytes]] = (
    weakref.WeakKeyDictionary()
)
_read: dict[str, FisherVectorizer] = {}
"""The process's vectorizers, by the digest of their weights and settings."""


def _packed(vectorizer: FisherVectorizer) -> tuple[str, bytes]:
    """A digest and the pickled vectorizer, which is written once per state."""
    digest = hashlib.sha256(repr(vectorizer.get_config()).encode())
    for value in vectorizer.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    mark = digest.hexdigest()
    if _written.get(vectorizer, ("", b""))[0] != mark:
        _written[vectorizer] = mark, pickle.dumps(vectorizer)
    return _written[vectorizer]


def _unpacked(mark: str, packed: bytes) -> FisherVectorizer:
    """The vectorizer, read once per process, as each copy would be retraced for every fold."""
    if mark not in _read:
        _limit_threads()
        _read.clear()  # keeps only one network
        _read[mark] = pickle.loads(packed)
    return _read[mark]


def _limit_threads() -> None:
    import tensorflow as tf

    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        with contextlib.suppress(RuntimeError):  # TensorFlow already runs with its own threads
            tf.config.threading.set_intra_op_parallelism_threads(int(threads))
