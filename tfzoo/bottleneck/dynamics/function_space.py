"""S3: the equations in function space, with the whole history. O(t N^2 d) a step: for checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfzoo.bottleneck.dynamics.head import Head
from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss


class Past(NamedTuple):
    """Where the points were at each step, and what pulled on f there."""

    z: tf.Tensor  # [N, d], now
    points: tf.Tensor  # [t N, d], z_j(s)
    pulls: tf.Tensor  # [t N, k], learning rate x chi_j(s)


class FunctionSpace:
    """Gradient descent by kernels alone, f_0 and J_0 from a frozen wide net.

        f_t(z) = f_0(z) - eta sum_(s, j) Theta_f(z, z_j(s)) chi_j(s)
        J_t(z) = J_0(z) - eta sum_(s, j) chi_j(s) (x) grad_z Theta_f(z, z_j(s))

    Args:
        theta: Theta_g of the training points, [N, N].
        z: g_0 of the training points, [N, d].
        head: f_0; its units should be 20,000 or more, since they stand for infinitely many.
        y: targets [N, k].
        loss: of the outputs.
        centred: outputs are F - F_0.
    """

    growing = True  # the state's shape changes from step to step

    def __init__(
        self,
        theta: tf.Tensor,
        z: tf.Tensor,
        head: Head,
        y: tf.Tensor,
        loss: Loss = SQUARED,
        *,
        centred: bool = True,
    ):
        self.theta, self.z, self.head, self.loss = theta, z, head, loss
        self.y = tf.cast(y, z.dtype)
        start = head.at(z).value
        self.offset = start if centred else tf.zeros_like(start)

    def start(self) -> Past:
        """Before the first step."""
        return Past(self.z, self.z[:0], self.y[:0])

    def outputs(self, state: Past) -> tf.Tensor:
        """[N, k]."""
        moved = self.head.at(state.z).value
        if len(state.points):
            moved -= tf.matmul(self.head.mlp.ntk(state.z, state.points), state.pulls)
        return moved - self.offset

    def step(self, state: Past, rate: tf.Tensor) -> tuple[Past, tf.Tensor]:
        """The state after one step, and the outputs before it."""
        outputs = self.outputs(state)
        chi = self.loss.gradient(outputs, self.y)
        z = state.z - rate * tf.matmul(self.theta, self.pull(state, chi))
        points = tf.concat([state.points, state.z], 0)
        return Past(z, points, tf.concat([state.pulls, rate * chi], 0)), outputs

    def pull(self, state: Past, w: tf.Tensor) -> tf.Tensor:
        """J_t(z_i)^T w_i at the training points: [N, k] -> [N, d]."""
        found = self.head.at(state.z).pull(w)[0]
        if not len(state.points):
            return found
        a, b = self.head.mlp.gradient_factors(state.z, state.points)[1]
        shares = tf.matmul(w, state.pulls, transpose_b=True)  # [N, t N]
        along = tf.matmul(shares * a, state.points)
        return found - along - tf.reduce_sum(shares * b, 1, keepdims=True) * state.z

    def kernel_at(self, state: Past) -> Callable[[tf.Tensor], tf.Tensor]:
        """The function w -> Theta_F w for w [N, k]."""
        ones, units = tf.ones_like(self.y), tf.eye(self.y.shape[1], dtype=self.y.dtype)
        jacobian = tf.stack([self.pull(state, ones * unit) for unit in units], 1)  # [N, k, d]
        theta = self.head.mlp.ntk(state.z)

        def times(w: tf.Tensor) -> tf.Tensor:
            moved = tf.matmul(self.theta, self.pull(state, w))
            return tf.matmul(theta, w) + tf.linalg.matvec(jacobian, moved)

        return times
