"""S1: the same network with halves of finite width, by automatic differentiation; for checks."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfzoo.bottleneck.dynamics.layers import Layers, forward
from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss
from tfzoo.bottleneck.kernels import InfiniteMLP

Gradient = Callable[[tf.Tensor], tf.Tensor]


class FiniteNetwork:
    """Plain gradient descent on all weights of f(g(x)).

    Args:
        g: network from inputs to the bottleneck.
        f: network from the bottleneck to the outputs.
        layers: layers of g, then of f; see `layers.draw_layers`.
        x: training inputs [N, n].
        y: targets [N, k].
        loss: loss of the outputs.
        centred: outputs are F - F_0.
    """

    def __init__(
        self,
        g: InfiniteMLP,
        f: InfiniteMLP,
        layers: tuple[Layers, Layers],
        x: tf.Tensor,
        y: tf.Tensor,
        loss: Loss = SQUARED,
        *,
        centred: bool = True,
    ):
        self.g, self.f, self.layers, self.loss = g, f, layers, loss
        self.x = tf.cast(x, layers[0][0].dtype)
        self.y = tf.cast(y, self.x.dtype)
        self.offset = tf.zeros_like(self.y)
        if centred:
            self.offset = self.outputs(layers)

    def start(self) -> tuple[Layers, Layers]:
        """The initial layers of g and f."""
        return self.layers

    def features(self, state: tuple[Layers, Layers]) -> tf.Tensor:
        """z of the training points, [N, d]."""
        return forward(self.g, state[0], self.x)

    def outputs(self, state: tuple[Layers, Layers]) -> tf.Tensor:
        """The outputs at the training points, [N, k]."""
        return forward(self.f, state[1], self.features(state)) - self.offset

    def step(self, state: tuple[Layers, Layers], rate: tf.Tensor) -> tuple:
        """The weights after one step, and the outputs before it."""
        outputs, gradient = self._pull(state, lambda f: self.loss.gradient(f, self.y))
        moved = tf.nest.map_structure(lambda w, g: w - rate * g, state, gradient)
        return moved, outputs

    def kernel_at(self, state: tuple[Layers, Layers]) -> Gradient:
        """The function w -> Theta_F w for w [N, k], by a backward and a forward pass."""

        def times(w: tf.Tensor) -> tf.Tensor:
            _, gradient = self._pull(state, lambda _: w)
            weights, tangents = tf.nest.flatten(state), tf.nest.flatten(gradient)
            with tf.autodiff.ForwardAccumulator(weights, tangents) as accumulator:
                outputs = self.outputs(state)
            return accumulator.jvp(outputs)

        return times

    def _pull(self, state: tuple[Layers, Layers], of: Gradient) -> tuple[tf.Tensor, tuple]:
        with tf.GradientTape() as tape:
            tape.watch(state)
            outputs = self.outputs(state)
        gradient = tape.gradient(outputs, tf.nest.flatten(state), of(outputs))
        return outputs, tf.nest.pack_sequence_as(state, gradient)
