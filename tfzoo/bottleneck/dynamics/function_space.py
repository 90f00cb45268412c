"""S3: the equations in function space, with the whole history; O(t N^2 d) per step, for checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from tfzoo.bottleneck.dynamics.head import Head
from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss
from tfzoo.typing import Tensor


class Past(NamedTuple):
    """The points at each step, and the forces on f there."""

    z: Tensor  # [N, d], now
    points: Tensor  # [t N, d], z_j(s)
    pulls: Tensor  # [t N, k], learning rate x chi_j(s)


class FunctionSpace:
    """Gradient descent with kernels only, and f_0 and J_0 from a frozen wide network.

        f_t(z) = f_0(z) - eta sum_(s, j) Theta_f(z, z_j(s)) chi_j(s)
        J_t(z) = J_0(z) - eta sum_(s, j) chi_j(s) (x) grad_z Theta_f(z, z_j(s))

    Args:
        theta: Theta_g of the training points, [N, N].
        z: g_0 of the training points, [N, d].
        head: f_0, which should have 20,000 units or more to approximate infinite width.
        y: targets [N, k].
        loss: loss of the outputs.
        centred: outputs are F - F_0.
    """

    growing = True  # the state's shape changes with each step

    def __init__(
        self,
        theta: Tensor,
        z: Tensor,
        head: Head,
        y: Tensor,
        loss: Loss = SQUARED,
        *,
        centred: bool = True,
    ):
        self.theta, self.z, self.head, self.loss = theta, z, head, loss
        self.y = ops.cast(y, z.dtype)
        start = head.at(z).value
        self.offset = start if centred else ops.zeros_like(start)

    def start(self) -> Past:
        """The state before the first step."""
        return Past(self.z, self.z[:0], self.y[:0])

    def outputs(self, state: Past) -> Tensor:
        """The outputs at the training points, [N, k]."""
        moved = self.head.at(state.z).value
        if len(state.points):
            moved -= ops.matmul(self.head.mlp.ntk(state.z, state.points), state.pulls)
        return moved - self.offset

    def step(self, state: Past, rate: Tensor) -> tuple[Past, Tensor]:
        """The state after one step, and the outputs before it."""
        outputs = self.outputs(state)
        chi = self.loss.gradient(outputs, self.y)
        z = state.z - rate * ops.matmul(self.theta, self.pull(state, chi))
        points = ops.concatenate([state.points, state.z], 0)
        return Past(z, points, ops.concatenate([state.pulls, rate * chi], 0)), outputs

    def pull(self, state: Past, w: Tensor) -> Tensor:
        """J_t(z_i)^T w_i at the training points: [N, k] -> [N, d]."""
        change = self.head.at(state.z).pull(w)[0]
        if not len(state.points):
            return change
        a, b = self.head.mlp.gradient_factors(state.z, state.points)[1]
        shares = ops.matmul(w, ops.transpose(state.pulls))  # [N, t N]
        along = ops.matmul(shares * a, state.points)
        return change - along - ops.sum(shares * b, 1, keepdims=True) * state.z

    def kernel_at(self, state: Past) -> Callable[[Tensor], Tensor]:
        """The function w -> Theta_F w for w [N, k]."""
        ones, k = ops.ones_like(self.y), self.y.shape[1]
        unit = ops.eye(k, dtype=self.y.dtype)
        jacobian = ops.stack([self.pull(state, ones * unit[a]) for a in range(k)], 1)  # [N, k, d]
        theta = self.head.mlp.ntk(state.z)

        def times(w: Tensor) -> Tensor:
            moved = ops.matmul(self.theta, self.pull(state, w))
            return ops.matmul(theta, w) + ops.squeeze(ops.matmul(jacobian, moved[..., None]), -1)

        return times
