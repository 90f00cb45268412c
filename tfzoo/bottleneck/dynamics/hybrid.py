"""S2: bottleneck points driven by the NTK of g, followed by the linearised f; O(N n d) per step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from tfzoo.bottleneck.dynamics.head import Change, Head, Point
from tfzoo.bottleneck.dynamics.losses import SQUARED, Loss
from tfzoo.typing import Tensor


class State(NamedTuple):
    """The variables of the training.

    Attributes:
        c: C [..., N, d], minus the sum over steps of learning rate x J^T chi.
        change: change of f's parameters.
    """

    c: Tensor
    change: Change


class Hybrid:
    """Gradient descent on F = f(g(x)), with infinitely wide halves and d units between them.

    The limit's equations, for explicit Euler steps (our derivation, see the model card):

        z_t(x) = g_0(x) + sum_j Theta_g(x, x_j) C_j        C <- C - eta J_t^T chi
        F_t(x) = f_t(z_t(x)),  chi = dL/dF                 dU, dv <- their gradient step

    As Theta_g is constant, g's state is C, also for points outside the training set.

    Args:
        theta: Theta_g of the training points, [N, N].
        z: g_0 of the training points, [..., N, d]; leading axes are independent draws.
        head: f.
        y: targets [N, k].
        loss: loss of the outputs.
        centred: outputs are F - F_0, so that training starts at 0 for each x; J_0 is kept.
        frozen: z is fixed (kernel regression on the features g_0).
    """

    def __init__(
        self,
        theta: Tensor,
        z: Tensor,
        head: Head,
        y: Tensor,
        loss: Loss = SQUARED,
        *,
        centred: bool = True,
        frozen: bool = False,
    ):
        self.theta, self.z, self.head, self.loss, self.frozen = theta, z, head, loss, frozen
        self.y = ops.cast(y, z.dtype)
        start = head.at(z).value
        self.offset = start if centred else ops.zeros_like(start)

    def start(self) -> State:
        """The state before the first step."""
        return State(ops.zeros_like(self.z), self.head.unmoved())

    def features(self, state: State) -> Tensor:
        """z_t of the training points, [..., N, d]."""
        return self.z + ops.matmul(self.theta, state.c)

    def at(self, state: State) -> Point:
        """f_t at the training points."""
        return self.head.at(self.features(state), state.change)

    def outputs(self, state: State) -> Tensor:
        """The outputs at the training points, [..., N, k]."""
        return self.at(state).value - self.offset

    def step(self, state: State, rate: Tensor) -> tuple[State, Tensor]:
        """The state after one step, and the outputs before it."""
        point = self.at(state)
        outputs = point.value - self.offset
        dz, change = point.pull(self.loss.gradient(outputs, self.y))
        c = state.c if self.frozen else state.c - rate * dz
        moved = (a - rate * b for a, b in zip(state.change, change, strict=True))
        return State(c, Change(*moved)), outputs

    def kernel_at(self, state: State) -> Callable[[Tensor], Tensor]:
        """The function w -> Theta_F w for w [..., N, k], without Theta_F."""
        point = self.at(state)

        def times(w: Tensor) -> Tensor:
            dz, change = point.pull(w)
            dz = ops.zeros_like(dz) if self.frozen else ops.matmul(self.theta, dz)
            return point.push(dz, change)

        return times

    def kernel(self, state: State) -> Tensor:
        """Theta_F, [..., N, k, N, k]."""
        n, k = self.y.shape
        times, columns = self.kernel_at(state), []
        for j in range(n):
            for b in range(k):
                one = ops.reshape(ops.one_hot(j * k + b, n * k, dtype=self.z.dtype), (n, k))
                columns.append(times(ops.ones_like(self.offset) * one))
        stacked = ops.stack(columns, -1)  # [..., N, k, N k]
        return ops.reshape(stacked, [*stacked.shape[:-1], n, k])


def draw_points(nngp: Tensor, dim: int, *, seed: int, jitter: float = 1e-10) -> Tensor:
    """g_0 of N points as one draw of the Gaussian process: float64 [N, d].

    Args:
        nngp: K_g of all points together, training and test, [N, N].
        dim: number of units d.
        seed: seed of the draw.
        jitter: added to the diagonal, relative to its mean.

    Raises:
        ValueError: `nngp` with the jitter is not positive definite.
    """
    import tensorflow as tf  # Keras's generators draw different numbers

    nngp = ops.cast(nngp, "float64")
    noise = tf.random.Generator.from_seed(seed, alg="philox").normal(
        (len(nngp), dim), dtype="float64"
    )
    return ops.matmul(cholesky(nngp, jitter), noise)


def cholesky(kernel: Tensor, jitter: float) -> Tensor:
    """The Cholesky factor of kernel + jitter x mean diagonal x I.

    Raises:
        ValueError: the matrix is not positive definite, or not finite.
    """
    level = jitter * ops.mean(ops.diagonal(kernel))
    shifted = kernel + level * ops.eye(len(kernel), dtype=kernel.dtype)
    try:
        factor = ops.cholesky(shifted)
        good = bool(ops.all(ops.isfinite(factor)))
    except ValueError:  # how Keras reports a failure
        good = False
    if not good:
        raise ValueError(
            f"jitter={jitter}: the kernel of {len(kernel)} points is not positive definite with "
            "it (duplicate or nearly equal points?); must be larger"
        )
    return factor
