"""Fisher vectors for scikit-learn: a transformer for `LinearSVC`, pipelines and `GridSearchCV`.

Imported by itself, so that `import tfzoo` does not import scikit-learn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tfzoo.afv.fisher import FisherVectorizer


class FisherFeatures(TransformerMixin, BaseEstimator):
    """Images [N, S, S, C] in [-1, 1] to what a fitted `FisherVectorizer` makes of them.

    There is nothing to learn in `fit`: the statistics are those of generated images.

    Args:
        vectorizer: with fitted statistics; clones share it.
        stride: keeps every k-th of the vectorizer's features, so that a search can vary it.
        normalise: scales each row to length 1.
    """

    def __init__(self, vectorizer: FisherVectorizer, stride: int = 1, normalise: bool = False):
        self.vectorizer, self.stride, self.normalise = vectorizer, stride, normalise

    def __sklearn_clone__(self) -> FisherFeatures:
        """A copy with the same vectorizer: a network is not copied for each fold."""
        return type(self)(**self.get_params(deep=False))

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
        found = self.vectorizer.transform(x)[:, :: self.stride]
        if self.normalise:
            found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found
