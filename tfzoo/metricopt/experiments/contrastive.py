"""A loss for embeddings, without weights."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tfzoo.config import check
from tfzoo.typing import Tensor


class SupervisedContrastive(keras.losses.Loss):
    """Supervised contrastive loss of a batch (L_out of arXiv:2004.11362).

    A softmax over cosine similarities pulls each row towards the rows of its class; rows alone in
    their class do not count.

    Args:
        temperature: temperature of the softmax.
        **keywords: `name`.

    Raises:
        InputError: a temperature that is not positive.
    """

    def __init__(self, temperature: float = 0.1, **keywords: Any):
        keywords.setdefault("name", "supervised_contrastive")
        super().__init__(**keywords)
        check(temperature > 0, "temperature", temperature, "above 0")
        self.temperature = temperature

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            y_true: class indices [B] or [B, 1].
            y_pred: embeddings [B, D].
            sample_weight: ignored.
        """
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        x = ops.cast(y_pred, "float32")
        x = x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), -1, keepdims=True), 1e-12))
        logits = ops.matmul(x, ops.transpose(x)) / self.temperature
        others = 1.0 - ops.eye(ops.shape(x)[0])
        logits = logits - 1e9 * (1.0 - others)
        log_p = logits - ops.logsumexp(logits, -1, keepdims=True)
        same = ops.cast(labels[:, None] == labels[None, :], "float32") * others
        count = ops.sum(same, -1)
        rows = -ops.sum(same * log_p, -1) / ops.maximum(count, 1.0)
        return ops.sum(rows) / ops.maximum(ops.sum(ops.cast(count > 0, "float32")), 1.0)
