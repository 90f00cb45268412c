"""Evaluates a model's field of logits in chunks of a few sizes."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from tfzoo.typing import Tensor

CHUNK = 8192
"""Number of points of an object evaluated at once."""

_LEAST = 256


class Functions:
    """A model's encoder and decoder as compiled functions, created on first use.

    They follow the model's weights but are not part of the model, whose attributes are saved.
    """

    def __init__(self, model: keras.Model):
        size = model.image_size
        features = (model.feature_shape, model.encoder.compute_dtype)
        self.encode = _compiled(
            lambda x: model.encode(x, training=False), ((size, size, 3), "float32")
        )
        self.decode = _compiled(
            lambda f, c, p: model.decode(f, c, p, training=False),
            features,
            ((3, 7), "float32"),
            ((3,), "float32"),
        )

    def __deepcopy__(self, memo: dict) -> None:
        """A copied model creates its own."""


def _compiled(
    function: Callable[..., Tensor], *inputs: tuple[tuple[int, ...], str]
) -> Callable[..., Tensor]:
    """On TensorFlow, a single graph of a function for any number of objects, views or points.

    Args:
        function: function of tensors.
        inputs: shape without the first two axes, and dtype, of each input.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf  # everything else runs on any backend

    specs = [tf.TensorSpec([None, None, *shape], dtype) for shape, dtype in inputs]
    return tf.function(function, input_signature=specs, autograph=False)


class Field:
    """Logits of points in objects whose images are already encoded.

    Args:
        functions: functions of the model.
        images: raw pixels [B, V, S, S, 3].
        cameras: [B, V, 3, 7].
    """

    def __init__(self, functions: Functions, images: np.ndarray, cameras: np.ndarray):
        self._decode = functions.decode
        self._features = functions.encode(ops.convert_to_tensor(images, "float32"))
        self._cameras = ops.convert_to_tensor(cameras, "float32")

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Logits float32 [B, N] of points [B, N, 3]; the last chunk is padded, then cut."""
        count = points.shape[1]
        size = min(CHUNK, max(_LEAST, 1 << max(0, count - 1).bit_length()))
        values = np.empty(points.shape[:2], np.float32)
        for i in range(0, count, size):
            part = points[:, i : i + size].astype(np.float32)
            have = part.shape[1]
            part = np.pad(part, [(0, 0), (0, size - have), (0, 0)])
            logits = self._decode(self._features, self._cameras, ops.convert_to_tensor(part))
            values[:, i : i + have] = ops.convert_to_numpy(logits)[:, :have]
        return values


def probabilities(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logit))."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
