"""Validation data on which a metric is evaluated repeatedly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfzoo.errors import InputError
from tfzoo.metrics.black_box import BlackBoxMetric


class HeldOut:
    """Labels and inputs of a validation split, in batches.

    Args:
        data: `(x, y)` of arrays or structures of arrays; or a finite dataset (any iterable) of such
            batches.
        batch_size: batch size for arrays.

    Raises:
        InputError: no examples, or no labels.
    """

    def __init__(self, data: Any, batch_size: int = 256):
        if data is None:
            raise InputError("validation_data=None: must be (x, y) or batches of them")
        if isinstance(data, tuple) and len(data) == 2:
            x, y = data
            count = len(keras.tree.flatten(y)[0])
            starts = range(0, count, batch_size)
            part = lambda t, i: keras.tree.map_structure(lambda a: a[i : i + batch_size], t)  # noqa: E731
            batches = [(part(x, i), part(y, i)) for i in starts]
        else:
            batches = [self._pair(batch) for batch in data]
        if not batches:
            raise InputError("validation_data: holds no examples")
        self.inputs = [x for x, _ in batches]
        self.labels = _joined([y for _, y in batches])

    @staticmethod
    def _pair(batch: Any) -> tuple[Any, Any]:
        if not isinstance(batch, tuple) or len(batch) < 2:
            raise InputError("validation_data: must give (inputs, labels)")
        return batch[0], batch[1]

    def predictions(self, model: keras.Model) -> Any:
        """The model's predictions for all inputs, NumPy arrays."""
        return _predicted(model, self.inputs)

    def evaluate(self, model: keras.Model, metric: BlackBoxMetric) -> float:
        """The metric of the model's predictions for all inputs."""
        return metric(self.labels, self.predictions(model))


def answers(model: keras.Model, batches: Any) -> tuple[Any, Any]:
    """Labels and predictions of all batches, NumPy arrays."""
    inputs, labels = zip(*map(HeldOut._pair, batches), strict=True)
    return _joined(labels), _predicted(model, inputs)


def _predicted(model: keras.Model, batches: Sequence[Any]) -> Any:
    size = _rows(batches[0])
    parts = []
    for x in batches:
        count = _rows(x)
        if count < size:  # a smaller batch would be traced once more after each `compile`
            x = keras.tree.map_structure(lambda a: _padded(np.asarray(a), size), x)
        answer = model.predict_on_batch(x)
        # under a strategy each replica predicts the whole batch, one after another
        parts.append(keras.tree.map_structure(lambda a, rows=count: a[:rows], answer))
    return _joined(parts)


def _rows(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([array, np.repeat(array[-1:], size - len(array), 0)])


def _joined(parts: Sequence[Any]) -> Any:
    arrays = [keras.tree.map_structure(np.asarray, part) for part in parts]
    return keras.tree.map_structure(lambda *a: np.concatenate(a), *arrays)
