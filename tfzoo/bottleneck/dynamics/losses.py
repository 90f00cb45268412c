"""The two losses of the simulators, with what stable steps need to know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Loss:
    """A loss of the outputs F [..., N, k] and targets y [N, k].

    Attributes:
        value: (F, y) -> [...], the mean over the N examples.
        gradient: (F, y) -> dL/dF, [..., N, k].
        curvature: bound on N times the eigenvalues of the second derivative by F; gradient descent
            is stable while learning rate x curvature x lambda_max(Theta) / N < 2.
    """

    value: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    gradient: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    curvature: float

    def times(self, factor: float) -> Loss:
        """The same loss in another unit."""
        return Loss(
            lambda f, y: factor * self.value(f, y),
            lambda f, y: factor * self.gradient(f, y),
            factor * self.curvature,
        )


def _count(f: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.shape(f)[-2], f.dtype)


def _squared(f: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.reduce_sum(tf.square(f - y), -1), -1) / 2.0


def _cross_entropy(f: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return -tf.reduce_mean(tf.reduce_sum(y * tf.nn.log_softmax(f), -1), -1)


SQUARED = Loss(_squared, lambda f, y: (f - y) / _count(f), 1.0)
"""1/(2N) sum |F - y|^2."""

CROSS_ENTROPY = Loss(_cross_entropy, lambda f, y: (tf.nn.softmax(f) - y) / _count(f), 0.5)
"""-1/N sum y log softmax(F); the rows of y sum to 1."""
