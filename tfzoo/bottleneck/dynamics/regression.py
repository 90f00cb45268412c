"""No bottleneck: the kernel stays, so gradient descent is linear in the outputs."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss


class KernelDescent:
    """dF = -eta Theta chi, for any loss.

    The state is a [N, k], minus the sum over steps of learning rate x chi: F = F_0 + Theta a, for
    points outside the training set too.

    Args:
        theta: the NTK of the training points, [N, N].
        y: targets [N, k].
        loss: of the outputs.
        initial: F_0 [N, k]; default 0, as for centred outputs.
    """

    def __init__(
        self,
        theta: tf.Tensor,
        y: tf.Tensor,
        loss: Loss = SQUARED,
        initial: tf.Tensor | None = None,
    ):
        self.theta, self.loss = theta, loss
        self.y = tf.cast(y, theta.dtype)
        self.initial = tf.zeros_like(self.y) if initial is None else tf.cast(initial, theta.dtype)

    def start(self) -> tf.Tensor:
        """a = 0."""
        return tf.zeros_like(self.y)

    def outputs(self, state: tf.Tensor) -> tf.Tensor:
        """[N, k]."""
        return self.initial + tf.matmul(self.theta, state)

    def step(self, state: tf.Tensor, rate: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The state after a step, and the outputs before it."""
        outputs = self.outputs(state)
        return state - rate * self.loss.gradient(outputs, self.y), outputs

    def kernel_at(self, state: tf.Tensor) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function w -> Theta w for w [N, k]."""
        del state
        return lambda w: tf.matmul(self.theta, w)


def closed_form(
    theta: tf.Tensor, y: tf.Tensor, time: float, initial: tf.Tensor | None = None
) -> tf.Tensor:
    """F_t = y + exp(-Theta t / N) (F_0 - y), the gradient flow of 1/(2N) sum |F - y|^2.

    Args:
        theta: [N, N], symmetric.
        y: [N, k].
        time: t, learning rate x steps.
        initial: F_0; default 0.
    """
    values, vectors = tf.linalg.eigh(theta)
    y = tf.cast(y, theta.dtype)
    gap = -y if initial is None else tf.cast(initial, theta.dtype) - y
    decay = tf.exp(-values * (time / len(y)))[:, None]
    return y + tf.matmul(vectors, decay * tf.matmul(vectors, gap, transpose_a=True))
