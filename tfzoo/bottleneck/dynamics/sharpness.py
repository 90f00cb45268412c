"""The sharpness of a simulator's loss: the largest eigenvalue of its kernel, and stable rates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from keras import backend, ops

from tfzoo.bottleneck.dynamics.losses import Loss
from tfzoo.typing import Tensor

Times = Callable[[Tensor], Tensor]
"""A symmetric matrix as its action on a vector."""


class Problem(Protocol):
    """The interface of a simulator for gradient descent; a state is any nest of tensors."""

    loss: Loss
    y: Tensor

    def start(self) -> Any:
        """The state before the first step."""

    def step(self, state: Any, rate: Tensor) -> tuple[Any, Tensor]:
        """The state after a step, and the outputs [..., N, k] before it."""

    def outputs(self, state: Any) -> Tensor:
        """The outputs at the training points, [..., N, k]."""

    def kernel_at(self, state: Any) -> Times:
        """The function w -> Theta_F w, w [..., N, k]."""


def greatest_eigenvalue(times: Times, probe: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """lambda_max of a symmetric matrix by power iteration, from below.

    Args:
        times: w [..., N, k] -> matrix w; leading axes are separate matrices.
        probe: start vectors, [..., N, k].
        iterations: a few from an earlier result, about 30 from random vectors.

    Returns:
        The largest of all, and the vectors to continue from.
    """
    tiny = np.finfo(backend.standardize_dtype(probe.dtype)).tiny

    def body(i: Tensor, probe: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        probe = times(probe)
        length = ops.sqrt(ops.sum(ops.square(probe), (-2, -1), keepdims=True))
        return i + 1, probe / ops.maximum(length, tiny), ops.max(length)

    start = (0, probe, ops.zeros((), probe.dtype))
    _, probe, greatest = ops.while_loop(lambda i, *_: i < iterations, body, start)
    return greatest, probe


def random_probe(outputs: Tensor) -> Tensor:
    """A fixed direction of the outputs' shape, with length 1 in each draw."""
    import tensorflow as tf  # Keras's generators draw different numbers

    kind = backend.standardize_dtype(outputs.dtype)
    noise = ops.convert_to_tensor(
        tf.random.stateless_normal(ops.shape(outputs), [0, 1], dtype=kind)
    )
    return noise / ops.norm(noise, axis=(-2, -1), keepdims=True)


def largest(problem: Problem, state: Any, iterations: int = 30) -> float:
    """lambda_max(Theta_F / N) at a state."""
    probe = random_probe(problem.outputs(state))
    eigenvalue, _ = greatest_eigenvalue(problem.kernel_at(state), probe, iterations)
    return float(eigenvalue) / len(problem.y)


def watch(
    problem: Problem, state: Any, probe: Tensor, rate: Tensor, limit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Reduces the learning rate so that the sharpness is at most `limit`.

    Returns:
        The learning rate, the vectors for the next check, and the sharpness before.
    """
    eigenvalue, probe = greatest_eigenvalue(problem.kernel_at(state), probe, 1)
    count = ops.cast(ops.shape(problem.y)[0], rate.dtype)
    sharpness = rate * problem.loss.curvature * eigenvalue / count
    lowered = rate * limit / ops.maximum(sharpness, limit)
    return ops.where(ops.isfinite(sharpness), lowered, rate), probe, sharpness
