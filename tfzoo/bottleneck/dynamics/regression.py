"""No bottleneck: the kernel is constant, so gradient descent is linear in the outputs."""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss
from tfzoo.typing import Tensor


class KernelDescent:
    """dF = -eta Theta chi, for any loss.

    The state is a [N, k], minus the sum over steps of learning rate x chi: F = F_0 + Theta a, also
    for points outside the training set.

    Args:
        theta: the NTK of the training points, [N, N].
        y: targets [N, k].
        loss: loss of the outputs.
        initial: F_0 [N, k]; default 0, as for centred outputs.
    """

    def __init__(
        self,
        theta: Tensor,
        y: Tensor,
        loss: Loss = SQUARED,
        initial: Tensor | None = None,
    ):
        self.theta, self.loss = theta, loss
        self.y = ops.cast(y, theta.dtype)
        self.initial = ops.zeros_like(self.y) if initial is None else ops.cast(initial, theta.dtype)

    def start(self) -> Tensor:
        """The coefficients before the first step, zeros [N, k]."""
        return ops.zeros_like(self.y)

    def outputs(self, state: Tensor) -> Tensor:
        """The outputs at the training points, [N, k]."""
        return self.initial + ops.matmul(self.theta, state)

    def step(self, state: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
        """The state after a step, and the outputs before it."""
        outputs = self.outputs(state)
        return state - rate * self.loss.gradient(outputs, self.y), outputs

    def kernel_at(self, state: Tensor) -> Callable[[Tensor], Tensor]:
        """The function w -> Theta w for w [N, k]."""
        del state
        return lambda w: ops.matmul(self.theta, w)


def closed_form(theta: Tensor, y: Tensor, time: float, initial: Tensor | None = None) -> Tensor:
    """F_t = y + exp(-Theta t / N) (F_0 - y), the gradient flow of 1/(2N) sum |F - y|^2.

    Args:
        theta: [N, N], symmetric.
        y: [N, k].
        time: t, learning rate x steps.
        initial: F_0; default 0.
    """
    values, vectors = ops.eigh(theta)
    y = ops.cast(y, theta.dtype)
    gap = -y if initial is None else ops.cast(initial, theta.dtype) - y
    decay = ops.exp(-values * (time / len(y)))[:, None]
    return y + ops.matmul(vectors, decay * ops.matmul(ops.transpose(vectors), gap))
