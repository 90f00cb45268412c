"""The half f after the bottleneck: one wide hidden layer, linearised only in its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from keras import ops

from tfzoo.bottleneck.kernels import InfiniteMLP
from tfzoo.typing import Tensor


class Change(NamedTuple):
    """The change of f's parameters: those of the hidden layer and those of the readout."""

    u: Tensor
    v: Tensor


class Head:
    """f_t(z) = f_0(z) + <grad_(U,v) f_0(z), (dU, dv)>: R^d -> R^k with n hidden units.

        f_0(z) = (sigma_v / sqrt(n)) v^T phi(h) + sigma_b c,   h = sigma_u U z / sqrt(d) + sigma_b b

    For n to infinity this is the infinitely wide f itself (our derivation): U_0, v_0 are fixed, and
    only dU, dv and the arguments z change. Biases are a last column of U and a last row of v.

    Where phi has a kink (ReLU), J = df/dz includes the contribution of moving kinks, with the
    difference phi'(h + dh) - phi'(h) in place of the derivative phi''(h) dh. The finite network's
    Jacobian does the same, whereas that of the linearised function, taken almost everywhere, would
    lack it.

    Args:
        mlp: f, of depth 1; determines activation and scales.
        u: U_0 [..., n, d], with biases [..., n, d + 1]; leading axes are independent draws.
        v: v_0 [..., n, k], with biases [..., n + 1, k].

    Raises:
        ValueError: `mlp` is not of depth 1.
    """

    def __init__(self, mlp: InfiniteMLP, u: Tensor, v: Tensor):
        if mlp.depth != 1:
            raise ValueError(f"f has depth {mlp.depth}: must be 1, the paper's one hidden layer")
        self.mlp, self.u, self.v = mlp, u, v
        self.bias = 1 if mlp.bias_scale else 0
        self.units, self.dim = int(u.shape[-2]), int(u.shape[-1]) - self.bias
        self.outputs = int(v.shape[-1])
        self.scale_in = mlp.scales[0] / math.sqrt(self.dim)
        self.scale_out = mlp.scales[1] / math.sqrt(self.units)

    @staticmethod
    def shapes(mlp: InfiniteMLP, dim: int, units: int, outputs: int) -> tuple[tuple, tuple]:
        """The shapes of U_0 and v_0, biases included."""
        bias = 1 if mlp.bias_scale else 0
        return (units, dim + bias), (units + bias, outputs)

    @classmethod
    def draw(
        cls,
        mlp: InfiniteMLP,
        dim: int,
        units: int,
        outputs: int,
        *,
        seed: int,
        draws: tuple[int, ...] = (),
        dtype: str = "float32",
    ) -> Head:
        """Standard normal U_0 and v_0."""
        import tensorflow as tf  # Keras's generators draw different numbers

        generator = tf.random.Generator.from_seed(seed, alg="philox")
        shapes = cls.shapes(mlp, dim, units, outputs)
        return cls(mlp, *(generator.normal((*draws, *shape), dtype=dtype) for shape in shapes))

    def unmoved(self) -> Change:
        """The change before the first step: dU = 0 and dv = 0."""
        return Change(ops.zeros_like(self.u), ops.zeros_like(self.v))

    def at(self, z: Tensor, change: Change | None = None) -> Point:
        """f_t at the points z [..., N, d]."""
        return Point(self, z, change or self.unmoved())


class Point:
    """f_t at points z [..., N, d]: its value, and products with its derivatives.

    Attributes:
        value: f_t(z), [..., N, k].
    """

    def __init__(self, head: Head, z: Tensor, change: Change):
        self.head, self.change = head, change
        x = head.scale_in * z
        if head.bias:
            x = _with_ones(x, head.mlp.bias_scale)
        h = ops.matmul(x, _transposed(head.u))  # [..., N, n]
        dh = ops.matmul(x, _transposed(change.u))
        function, slope, bend = ACTIVATIONS[head.mlp.activation]
        phi = head.scale_out * function(h)
        self.inputs = x
        self.phi = _with_ones(phi, head.mlp.bias_scale) if head.bias else phi
        self.slope = head.scale_out * slope(h)
        self.bent = self.slope + head.scale_out * bend(h, dh)
        moved = ops.matmul(self.slope * dh, self._hidden(head.v))
        self.value = ops.matmul(self.phi, head.v + change.v) + moved

    def pull(self, w: Tensor) -> tuple[Tensor, Change]:
        """Transposed derivatives times w [..., N, k]: by z, [..., N, d], and by the parameters."""
        head = self.head
        back = ops.matmul(w, _transposed(self._hidden(head.v)))  # [..., N, n]
        by_unit = self.slope * back
        change_back = ops.matmul(w, _transposed(self._hidden(self.change.v)))
        to_u = self.bent * back + self.slope * change_back
        dz = ops.matmul(to_u, self._weights(head.u))
        dz += ops.matmul(by_unit, self._weights(self.change.u))
        du = ops.matmul(_transposed(by_unit), self.inputs)
        dv = _transposed(ops.matmul(_transposed(w), self.phi))  # w is smaller than phi
        return head.scale_in * dz, Change(du, dv)

    def push(self, dz: Tensor, change: Change) -> Tensor:
        """Derivatives times a change of z [..., N, d] and of the parameters: [..., N, k]."""
        head = self.head
        dz = head.scale_in * dz
        by_u = ops.matmul(dz, _transposed(self._weights(head.u)))
        by_change = ops.matmul(dz, _transposed(self._weights(self.change.u)))
        by_unit = ops.matmul(self.inputs, _transposed(change.u))
        value = ops.matmul(self.phi, change.v)
        value += ops.matmul(
            self.bent * by_u + self.slope * (by_change + by_unit), self._hidden(head.v)
        )
        return value + ops.matmul(self.slope * by_u, self._hidden(self.change.v))

    def jacobian(self) -> Tensor:
        """J = df_t/dz, [..., N, k, d]."""
        unit = ops.eye(self.head.outputs, dtype=self.value.dtype)
        ones = ops.ones_like(self.value)
        columns = [self.pull(ones * unit[a])[0] for a in range(self.head.outputs)]
        return ops.stack(columns, -2)

    def _hidden(self, v: Tensor) -> Tensor:
        return v[..., : self.head.units, :]

    def _weights(self, u: Tensor) -> Tensor:
        return u[..., : self.head.dim]


def _with_ones(x: Tensor, value: float) -> Tensor:
    return ops.concatenate([x, ops.full_like(x[..., :1], value)], -1)


def _transposed(x: Tensor) -> Tensor:
    return ops.swapaxes(x, -2, -1)


def _step(h: Tensor) -> Tensor:
    return ops.cast(h > 0, h.dtype)


def _erf_slope(h: Tensor) -> Tensor:
    return (2.0 / math.sqrt(math.pi)) * ops.exp(-ops.square(h))


ACTIVATIONS: dict[str, tuple[Callable, Callable, Callable]] = {
    "relu": (ops.relu, _step, lambda h, dh: _step(h + dh) - _step(h)),
    "erf": (ops.erf, _erf_slope, lambda h, dh: -2.0 * h * dh * _erf_slope(h)),
    "linear": (lambda h: h, ops.ones_like, lambda h, dh: ops.zeros_like(h)),
}
"""phi, phi', and the change of phi' from h to h + dh, to first order if phi is smooth."""
