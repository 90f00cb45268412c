"""The two losses of the simulators, with the constants for stable steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from tfzoo.typing import Tensor


@dataclass(frozen=True)
class Loss:
    """A loss of the outputs F [..., N, k] and targets y [N, k].

    Attributes:
        value: (F, y) -> [...], the mean over the N examples.
        gradient: (F, y) -> dL/dF, [..., N, k].
        curvature: bound on N times the eigenvalues of the second derivative by F; gradient descent
            is stable if learning rate x curvature x lambda_max(Theta) / N < 2.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor, Tensor], Tensor]
    curvature: float

    def times(self, factor: float) -> Loss:
        """The same loss multiplied by a factor."""
        return Loss(
            lambda f, y: factor * self.value(f, y),
            lambda f, y: factor * self.gradient(f, y),
            factor * self.curvature,
        )


def _count(f: Tensor) -> Tensor:
    return ops.cast(ops.shape(f)[-2], f.dtype)


def _squared(f: Tensor, y: Tensor) -> Tensor:
    return ops.mean(ops.sum(ops.square(f - y), -1), -1) / 2.0


def _cross_entropy(f: Tensor, y: Tensor) -> Tensor:
    return -ops.mean(ops.sum(y * ops.log_softmax(f), -1), -1)


SQUARED = Loss(_squared, lambda f, y: (f - y) / _count(f), 1.0)
"""1/(2N) sum |F - y|^2."""

CROSS_ENTROPY = Loss(_cross_entropy, lambda f, y: (ops.softmax(f) - y) / _count(f), 0.5)
"""-1/N sum y log softmax(F); the rows of y sum to 1."""
