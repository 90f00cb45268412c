"""The smoothness of a loss at the end of training, along its gradient."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfzoo.ala.parametric import ParametricLoss
from tfzoo.typing import Tensor

STEPS = np.linspace(0.02, 0.4, 8)
"""Lengths of the steps along the gradient, relative to the weights' norm."""


def smoothness(
    model: keras.Model, loss: ParametricLoss, phi: ArrayLike, x: np.ndarray, y: np.ndarray
) -> dict[str, float]:
    """Range of the loss and change of the gradient along the gradient's direction.

    The measures of arXiv:1805.11604 (Santurkar et al., Fig. 4), made independent of the loss's
    scale: `loss_range`, the difference between the largest and smallest loss along the direction,
    in standard deviations of the loss over rows; and `gradient_change`, the mean over steps of |g(w
    + s u) - g(w)| / |g(w)|. We assume that the paper measures smoothness in this way.

    Args:
        model: the model; its weights are changed temporarily.
        loss: the loss.
        phi: the loss's parameters.
        x: inputs [N, ...].
        y: labels [N].
    """
    values = [v.value for v in model.trainable_variables]
    before = [np.array(v) for v in values]

    @tf.function(autograph=False)
    def look() -> tuple[Tensor, Tensor, Tensor]:
        with tf.GradientTape() as tape:
            rows = loss.value(tf.convert_to_tensor(phi, tf.float32), y, model(x, training=False))
            mean = tf.reduce_mean(rows)
        flat = [tf.reshape(g, [-1]) for g in tape.gradient(mean, values)]
        return mean, tf.math.reduce_std(rows), tf.concat(flat, 0)

    first, spread, gradient = (a.numpy() for a in look())
    size = float(np.linalg.norm(gradient))
    if size < 1e-12:
        return {"loss_range": 0.0, "gradient_change": 0.0}
    norm = np.sqrt(sum(float((b**2).sum()) for b in before))
    seen, changes = [float(first)], []
    for length in STEPS:
        at = 0
        for variable, old in zip(values, before, strict=True):
            part = gradient[at : at + old.size].reshape(old.shape)
            variable.assign(old - length * norm * part / size)
            at += old.size
        mean, _, there = look()
        seen.append(float(mean))
        changes.append(float(np.linalg.norm(there.numpy() - gradient)) / size)
    for variable, old in zip(values, before, strict=True):
        variable.assign(old)
    span = (max(seen) - min(seen)) / max(float(spread), 1e-12)
    return {"loss_range": span, "gradient_change": float(np.mean(changes))}
