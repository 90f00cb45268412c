"""Full-batch gradient descent with a learning rate from the kernel, for the study."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfzoo.collegial.ntk import empirical_ntk


@dataclass(frozen=True)
class Descent:
    """The result of gradient descent.

    Attributes:
        loss: mean of |f - f_0 - y|^2 / 2 over the examples.
        steps: number of steps taken.
        answer: f - f_0 of the test examples, [N, k].
    """

    loss: float
    steps: int
    answer: np.ndarray


def greatest_eigenvalue(model: keras.Model, x: np.ndarray, examples: int = 256) -> float:
    """lambda_max(K) / N on the first examples: the curvature that bounds the learning rate."""
    x = x[:examples]
    return float(np.linalg.eigvalsh(empirical_ntk(model, x))[-1]) / len(x)


def descend(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    test: np.ndarray,
    *,
    learning_rate: float,
    steps: int,
    until: float = 0.0,
) -> Descent:
    """Gradient descent on the squared error of the centred output f - f_0.

    Args:
        model: [B, n] -> [B, k]; its weights are changed.
        x: training examples [N, n].
        y: targets [N, k].
        test: test examples.
        learning_rate: learning rate of plain gradient descent on the mean of |f - f_0 - y|^2 / 2.
        steps: maximum number of steps.
        until: stops when the loss is at most this.

    Returns:
        The result; the loss is NaN if it diverged.
    """
    x, y = tf.constant(x), tf.constant(y)
    weights = [w.value for w in model.trainable_weights]
    start, test_start = model(x), model(test)

    def loss_of(outputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.reduce_sum(tf.square(outputs - start - y), -1)) / 2

    def step(i: tf.Tensor, loss: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = loss_of(model(x))
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(learning_rate * tf.convert_to_tensor(gradient))
        return i + 1, loss

    @tf.function(autograph=False)
    def run() -> tuple[tf.Tensor, tf.Tensor]:
        def going(i: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
            return tf.logical_and(i < steps, loss > until)

        taken, _ = tf.while_loop(going, step, (0, float("inf")))
        return taken, loss_of(model(x))

    taken, loss = run()
    answer = (model(test) - test_start).numpy()
    return Descent(float(loss), int(taken), answer)
