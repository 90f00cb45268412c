"""The model's last layer: changes of its shift are evaluated in closed form on cached outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from scipy.special import expit, log_softmax, softmax

from tfzoo.metricopt import hooks
from tfzoo.metricopt.adapters import FiLM
from tfzoo.metricopt.model import AdaptedModel


class Head:
    """Outputs of a model under a different shift of its last adapter.

    The adapter acts before the layer's activation, so a shift delta is added to the logits: y +
    delta for a linear output, softmax(log p + delta) for a softmax, and likewise for a sigmoid. No
    pass through the model is needed.

    Attributes:
        where: the shift's coordinates in phi.
    """

    def __init__(self, where: slice, activation: str):
        self.where, self.activation = where, activation

    @classmethod
    def of(cls, model: AdaptedModel) -> Head | None:
        """The head of a model whose last layer has an adapter with a shift; otherwise None."""
        host = hooks.paths(model.base)[model.layer_paths[-1]]
        layers = getattr(model.base, "layers", None) or [None]
        adapter = model.adapters[-1]
        name = keras.activations.serialize(
            getattr(host, "activation", None) or keras.activations.linear
        )
        if len(getattr(model.base, "outputs", None) or []) != 1:
            return None
        able = isinstance(host, keras.layers.Dense) and name in ("linear", "softmax", "sigmoid")
        if not able or layers[-1] is not host or not isinstance(adapter, FiLM) or not adapter.shift:
            return None
        size, count = len(model.get_vector()), host.units
        return cls(slice(size - count, size), name)  # delta is the last weight of the last adapter

    def moved(self, outputs: np.ndarray, delta: np.ndarray) -> np.ndarray:
        """Outputs [N, C] after delta [C] is added to the shift."""
        y = outputs.astype("float64")
        if self.activation == "softmax":
            return softmax(np.log(np.maximum(y, 1e-30)) + delta, -1)
        if self.activation == "sigmoid":
            y = np.clip(y, 1e-15, 1 - 1e-15)
            return expit(np.log(y) - np.log1p(-y) + delta)
        return y + delta

    def prior_correction(self, outputs: np.ndarray, labels: Any) -> np.ndarray | None:
        """log of the class frequencies among labels over the model's expected frequencies, [C].

        None for labels that are not class indices, or outputs with one column.
        """
        y = np.asarray(labels)
        y = y.reshape(len(y), -1)
        if outputs.ndim != 2 or outputs.shape[1] < 2 or y.shape[1] != 1:
            return None
        if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= outputs.shape[1]:
            return None
        log_p = np.log(np.maximum(outputs, 1e-30))
        if self.activation == "linear":
            log_p = log_softmax(outputs.astype("float64"), -1)
        expected = np.exp(log_p).mean(0)
        share = (np.bincount(y[:, 0], minlength=outputs.shape[1]) + 0.5) / len(y)
        correction = np.log(share) - np.log(np.maximum(expected, 1e-6))
        return correction - correction.mean()
