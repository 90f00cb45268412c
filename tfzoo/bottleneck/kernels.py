"""NNGP and NTK of infinitely wide fully connected networks, computed layer by layer."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import NamedTuple

from keras import backend, ops

from tfzoo.typing import Tensor

ACTIVATIONS = ("relu", "erf", "linear")


class DotProductKernel:
    """NNGP and NTK of a network as functions of only x.x'/n, |x|^2/n and |x'|^2/n."""

    def elementwise(
        self, nngp: Tensor, ntk: Tensor, diag1: Tensor, diag2: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`propagate` for tensors of any broadcastable shapes; if `ntk` is None, so is Theta."""
        raise NotImplementedError

    def propagate_diagonal(self, nngp: Tensor, ntk: Tensor) -> tuple[Tensor, Tensor]:
        """`propagate` for points with themselves: NNGP and NTK diagonals [N] -> two of [N]."""
        raise NotImplementedError

    def nngp(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """K(x1, x2): [N1, n], [N2, n] -> [N1, N2]; `x2` defaults to `x1`."""
        q, d1, d2 = _products(x1, x2)
        nngp = self.elementwise(q, None, d1[:, None], d2[None, :])[0]
        return nngp if x2 is not None else _on_diagonal(nngp, self.propagate_diagonal(d1, 0.0)[0])

    def ntk(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """Theta(x1, x2): [N1, n], [N2, n] -> [N1, N2]; `x2` defaults to `x1`."""
        return self.covariances(x1, x2)[1]

    def covariances(self, x1: Tensor, x2: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """K and Theta in one pass, each [N1, N2]."""
        q, d1, d2 = _products(x1, x2)
        moments = self.elementwise(q, 0.0, d1[:, None], d2[None, :])
        if x2 is not None:
            return moments
        return tuple(map(_on_diagonal, moments, self.propagate_diagonal(d1, 0.0)))

    def diagonal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """K(x, x) and Theta(x, x) of each point with itself: [N, n] -> two of [N]."""
        return self.propagate_diagonal(_norms(_points(x, "x")), 0.0)

    def propagate(
        self, nngp: Tensor, ntk: Tensor, diag1: Tensor, diag2: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The kernels after this network for points that are outputs of infinite networks.

        If g has kernels K_g, Theta_g, this gives those of f after g with infinitely many units
        between them: for depth 1 and the default scales, Sigma_f[K_g] + kappa_0 (K_g + Theta_g).

        Args:
            nngp: [N1, N2]; x.x'/n for plain points.
            ntk: [N1, N2]; 0 for plain points.
            diag1: `nngp` of each first point with itself, [N1].
            diag2: `nngp` of each second point with itself, [N2].

        Returns:
            K and Theta, each [N1, N2].
        """
        nngp, ntk = _floats(nngp), _floats(ntk)
        diag1, diag2 = _floats(diag1), _floats(diag2)
        return self.elementwise(nngp, ntk, diag1[:, None], diag2[None, :])


@dataclass(frozen=True)
class InfiniteMLP(DotProductKernel):
    """A fully connected network whose hidden layers are all infinitely wide.

    The network (NTK parametrisation, all W and b standard normal, m the width to infinity):

        h_0(x) = input_scale / sqrt(n) W_0 x + bias_scale b_0                    x: [n]
        h_l(x) = weight_scale / sqrt(m) W_l phi(h_{l-1}(x)) + bias_scale b_l     0 < l < depth
        f(x)   = readout_scale / sqrt(m) W_L phi(h_{L-1}(x)) + bias_scale b_L    L = depth

    Its NNGP is K(x, x') = E f(x) f(x'), its NTK is Theta(x, x') = E <df(x)/dw, df(x')/dw> over all
    W and b, each for one output. With depth 0 the only layer is linear in x; its scale is
    `readout_scale` if given, otherwise `input_scale`.

    With the defaults a ReLU network of depth L has K^0 = Theta^0 = x.x'/n, followed L times by K <-
    sqrt(K(x,x) K(x',x')) kappa_1, Theta <- K + kappa_0 Theta. For bottleneck points z [d], depth 1
    is sqrt(2/m) v.relu(U z / sqrt(d)); with activation erf, input_scale sigma_u and readout_scale
    sigma_v it is (sigma_v / sqrt(m)) v.erf(sigma_u U z / sqrt(d)).

    In neural_tangents it is `stax.serial(Dense(m, input_scale, bias_scale), Relu(), Dense(m,
    weight_scale, bias_scale), Relu(), ..., Dense(1, readout_scale, bias_scale))`.

    Kernels are computed in the dtype of the first argument, at least float32; on JAX float64 needs
    its x64 mode. Kernels and their gradients are finite for equal, zero and antipodal points: sines
    below 1e-6 (float32: 7e-4) count as 0, and the angle of a zero vector with any other is pi/2. In
    float32 the angle of nearly equal points has an error of this size; if `x2` is None, the
    diagonal is computed from the points' norms and is exact.

    Attributes:
        depth: number of hidden layers, at least 0.
        activation: phi: relu, erf or linear.
        weight_scale: sigma_w of the layers between hidden layers; None: sqrt(2) for relu, otherwise
            1.
        bias_scale: sigma_b of every layer.
        readout_scale: sigma_w of the last layer; None: `weight_scale`'s value.
        input_scale: sigma_w of the first layer, which acts on x.

    Raises:
        ValueError: a field is out of range.
    """

    depth: int
    activation: str = "relu"
    weight_scale: float | None = None
    bias_scale: float = 0.0
    readout_scale: float | None = None
    input_scale: float = 1.0

    def __post_init__(self) -> None:
        whole = isinstance(self.depth, int) and not isinstance(self.depth, bool)
        if not whole or not 0 <= self.depth <= 1000:
            raise ValueError(f"depth={self.depth!r}: must be a whole number from 0 to 1000")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation={self.activation!r}: must be one of {', '.join(ACTIVATIONS)}"
            )
        for name in ("weight_scale", "readout_scale", "input_scale", "bias_scale"):
            value = getattr(self, name)
            if value is None and name in ("weight_scale", "readout_scale"):
                continue
            number = isinstance(value, numbers.Real) and math.isfinite(value)
            if not (number and value >= 0 and (value or name == "bias_scale")):
                least = "0 or more" if name == "bias_scale" else "above 0"
                raise ValueError(f"{name}={value!r}: must be finite and {least}")

    @property
    def scales(self) -> tuple[float, ...]:
        """sigma_w of each of the depth + 1 layers, with defaults filled in."""
        if self.depth == 0:
            return (self.input_scale if self.readout_scale is None else self.readout_scale,)
        weight = self.weight_scale
        if weight is None:
            weight = math.sqrt(2.0) if self.activation == "relu" else 1.0
        readout = weight if self.readout_scale is None else self.readout_scale
        return (self.input_scale, *[weight] * (self.depth - 1), readout)

    def elementwise(
        self, nngp: Tensor, ntk: Tensor, diag1: Tensor, diag2: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`propagate` for tensors of any broadcastable shapes; if `ntk` is None, so is Theta."""
        moments, diagonal = _MOMENTS[self.activation], _DIAGONALS[self.activation]
        for layer, scale in enumerate(self.scales):
            if layer:
                nngp, slope = moments(nngp, diag1, diag2)
                ntk = None if ntk is None else slope * ntk
                diag1, diag2 = diagonal(diag1)[0], diagonal(diag2)[0]
            weight, bias = scale**2, self.bias_scale**2
            nngp = _affine(nngp, weight, bias)
            ntk = None if ntk is None else nngp + weight * ntk
            diag1, diag2 = _affine(diag1, weight, bias), _affine(diag2, weight, bias)
        return nngp, ntk

    def propagate_diagonal(self, nngp: Tensor, ntk: Tensor) -> tuple[Tensor, Tensor]:
        """`propagate` for points with themselves: NNGP and NTK diagonals [N] -> two of [N]."""
        for layer, scale in enumerate(self.scales):
            if layer:
                nngp, slope, _ = _DIAGONALS[self.activation](nngp)
                ntk = slope * ntk
            nngp = _affine(nngp, scale**2, self.bias_scale**2)
            ntk = nngp + scale**2 * ntk
        return nngp, ntk

    def input_gradient(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """dK(z1, z2)/dz1 and dTheta(z1, z2)/dz1: [N1, n], [N2, n] -> two of [N1, N2, n].

        Where Theta has no derivative (equal, antipodal and zero points of a ReLU network), the
        discontinuous term with kappa_0's slope is 0.
        """
        z1, z2 = _points(z1, "z1"), _points(z2, "z2")
        parts = self.gradient_factors(z1, z2)
        return tuple(
            a[..., None] * z2[None, :, :] + b[..., None] * z1[:, None, :] for a, b in parts
        )

    def gradient_factors(
        self, z1: Tensor, z2: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """`input_gradient` as coefficients: d/dz1 = a z2 + b z1, for K and for Theta.

        So sum_j chi_j dTheta(z, z_j)/dz = (a chi) z2 + (b chi) z1 does not need [N1, N2, n].

        Returns:
            ((a, b) of K, (a, b) of Theta), each [N1, N2].
        """
        q, d1, d2 = _products(z1, z2)
        n = _features(z1)
        # derivatives by q = z1.z2/n and by d1 = |z1|^2/n, forward through the layers
        k, d1, d2 = q, d1[:, None], d2[None, :]
        t = k_d = t_q = t_d = ops.zeros_like(q)
        k_q, d_d = ops.ones_like(q), ops.ones_like(d1)
        for layer, scale in enumerate(self.scales):
            if layer:
                s = _SLOPES[self.activation](k, d1, d2)
                # sums over the paths through k and through d1
                t_q = s.slope_k * k_q * t + s.slope * t_q
                t_d = (s.slope_k * k_d + s.slope_d * d_d) * t + s.slope * t_d
                t = s.slope * t
                k, k_q, k_d = s.mean, s.slope * k_q, s.slope * k_d + s.mean_d * d_d
                diagonal = _DIAGONALS[self.activation]
                (d1, _, change), d2 = diagonal(d1), diagonal(d2)[0]
                d_d = change * d_d
            weight, bias = scale**2, self.bias_scale**2
            k, k_q, k_d = _affine(k, weight, bias), weight * k_q, weight * k_d
            t, t_q, t_d = k + weight * t, k_q + weight * t_q, k_d + weight * t_d
            d1, d_d, d2 = _affine(d1, weight, bias), weight * d_d, _affine(d2, weight, bias)
        return (k_q / n, 2.0 * k_d / n), (t_q / n, 2.0 * t_d / n)


@dataclass(frozen=True)
class Composition(DotProductKernel):
    """The network `outer` on infinitely many outputs of `inner`: no bottleneck between them.

    Attributes:
        outer: f.
        inner: g.
    """

    outer: DotProductKernel
    inner: DotProductKernel

    def elementwise(
        self, nngp: Tensor, ntk: Tensor, diag1: Tensor, diag2: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`propagate` for tensors of any broadcastable shapes; if `ntk` is None, so is Theta."""
        nngp, ntk = self.inner.elementwise(nngp, ntk, diag1, diag2)
        diag1, diag2 = (self.inner.propagate_diagonal(d, 0.0)[0] for d in (diag1, diag2))
        return self.outer.elementwise(nngp, ntk, diag1, diag2)

    def propagate_diagonal(self, nngp: Tensor, ntk: Tensor) -> tuple[Tensor, Tensor]:
        """`propagate` for points with themselves: NNGP and NTK diagonals [N] -> two of [N]."""
        return self.outer.propagate_diagonal(*self.inner.propagate_diagonal(nngp, ntk))


class _Slopes(NamedTuple):
    """Moments of a layer with their derivatives by k and by the first point's diagonal d."""

    mean: Tensor  # E phi phi'; its derivative by k is `slope`
    slope: Tensor  # E phi_dot phi_dot'
    mean_d: Tensor
    slope_k: Tensor
    slope_d: Tensor


def _affine(k: Tensor, weight: float, bias: float) -> Tensor:
    if weight != 1.0:
        k = weight * k
    return k + bias if bias else k


def _floats(x: Tensor) -> Tensor:
    """A float32 or float64 tensor; half precision and integers become float32."""
    x = ops.convert_to_tensor(x)
    kind = backend.standardize_dtype(x.dtype)
    return x if kind in ("float32", "float64") else ops.cast(x, "float32")


def _points(x: Tensor, name: str) -> Tensor:
    x = _floats(x)
    if len(x.shape) != 2:
        raise ValueError(f"{name} of shape {tuple(x.shape)}: must be [N, n]")
    return x


def _products(x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x1.x2/n [N1, N2], |x1|^2/n [N1], |x2|^2/n [N2]."""
    x1 = _points(x1, "x1")
    d1 = _norms(x1)
    if x2 is None:
        x2, d2 = x1, d1
    else:
        x2 = ops.cast(_points(x2, "x2"), x1.dtype)
        if None not in (x1.shape[1], x2.shape[1]) and x1.shape[1] != x2.shape[1]:
            raise ValueError(
                f"x2 of {x2.shape[1]} features: must have as many as x1, {x1.shape[1]}"
            )
        d2 = _norms(x2)
    return ops.matmul(x1, ops.transpose(x2)) / _features(x1), d1, d2


def _features(x: Tensor) -> Tensor:
    n = x.shape[-1]
    return n if n is not None else ops.cast(ops.shape(x)[-1], x.dtype)


def _on_diagonal(k: Tensor, d: Tensor) -> Tensor:
    """k [N, N] with d [N] on its diagonal."""
    place = ops.arange(ops.shape(k)[0], dtype="int32")
    return ops.where(place[:, None] == place[None, :], d[:, None], k)


def _norms(x: Tensor) -> Tensor:
    return ops.mean(ops.square(x), -1)


def _cosine(k: Tensor, d1: Tensor, d2: Tensor) -> tuple[Tensor, ...]:
    """cos, sin, pi - theta, |u|, |u'|, 1/|u|, 1/|u'|, and where sin counts as 0.

    The second factor of each product is safe where the first is not (the gradient of `where` is NaN
    if that of the other branch is infinite).
    """
    (r1, i1), (r2, i2) = _root(d1), _root(d2)
    c = k * i1 * i2
    square = (1.0 - c) * (1.0 + c)  # 1 - c^2 without cancellation near 1
    tiny = 5e-7 if backend.standardize_dtype(c.dtype) == "float32" else 1e-12
    straight = square <= tiny
    zero = ops.zeros_like(c)
    sine = ops.where(straight, zero, ops.sqrt(ops.where(straight, ops.ones_like(c), square)))
    theta = _arccos(ops.where(straight, zero, c))
    theta = ops.where(straight, math.pi * ops.cast(c < 0, c.dtype), theta)
    return c, sine, math.pi - theta, r1, r2, i1, i2, straight


def _arccos(c: Tensor) -> Tensor:
    """arccos; in float32 a polynomial accurate to 2e-8, which XLA vectorises.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 4.4.46.
    """
    if backend.standardize_dtype(c.dtype) != "float32":
        return ops.arccos(c)
    negative = c < 0
    size = ops.where(negative, -c, c)  # not abs, whose gradient at 0 is 0
    value = _ARCCOS[0]
    for coefficient in _ARCCOS[1:]:
        value = value * size + coefficient
    theta = ops.sqrt(1.0 - size) * value
    return ops.where(negative, math.pi - theta, theta)


_ARCCOS = (
    -0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810,
    -0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050,
)  # fmt: skip


def _root(d: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(d) and its inverse; both 0 for 0."""
    positive = d > 0
    root = ops.sqrt(ops.where(positive, d, ops.ones_like(d)))
    zero = ops.zeros_like(d)
    return ops.where(positive, root, zero), ops.where(positive, 1.0 / root, zero)


def _relu(k: Tensor, d1: Tensor, d2: Tensor) -> tuple[Tensor, Tensor]:
    c, sine, rest, r1, r2, *_ = _cosine(k, d1, d2)
    # kappa_0 = rest / pi, kappa_1 = (sine + rest c) / pi; E relu relu' = r1 r2 kappa_1 / 2
    return (r1 * r2) * (sine + rest * c) / (2.0 * math.pi), rest / (2.0 * math.pi)


def _relu_slopes(k: Tensor, d1: Tensor, d2: Tensor) -> _Slopes:
    c, sine, rest, r1, r2, i1, i2, straight = _cosine(k, d1, d2)
    one = ops.ones_like(sine)
    jump = ops.where(straight, ops.zeros_like(c), 1.0 / ops.where(straight, one, sine))
    jump = jump / (2.0 * math.pi)  # d(kappa_0 / 2)/dc
    return _Slopes(
        mean=(r1 * r2) * (sine + rest * c) / (2.0 * math.pi),
        slope=rest / (2.0 * math.pi),
        mean_d=sine * (r2 * i1) / (4.0 * math.pi),
        slope_k=jump * (i1 * i2),
        slope_d=-0.5 * jump * c * (i1 * i1),
    )


def _relu_diagonal(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return 0.5 * d, 0.5, 0.5


def _erf(k: Tensor, d1: Tensor, d2: Tensor) -> tuple[Tensor, Tensor]:
    gap = _erf_gap(k, d1, d2)
    root = ops.sqrt(gap)
    # asin(2k / sqrt(ab)) = atan(2k / sqrt(ab - 4k^2)), which has no steep parts
    return (2.0 / math.pi) * ops.arctan(2.0 * k / root), (4.0 / math.pi) / root


def _erf_gap(k: Tensor, d1: Tensor, d2: Tensor) -> Tensor:
    """(1 + 2 d1)(1 + 2 d2) - 4 k^2, at least the bound that follows from k^2 <= d1 d2."""
    a, b = 1.0 + 2.0 * d1, 1.0 + 2.0 * d2
    return ops.maximum(a * b - 4.0 * k * k, a + b - 1.0)


def _erf_slopes(k: Tensor, d1: Tensor, d2: Tensor) -> _Slopes:
    mean, slope = _erf(k, d1, d2)
    cube = slope / _erf_gap(k, d1, d2)
    return _Slopes(
        mean=mean,
        slope=slope,
        mean_d=-slope * k / (1.0 + 2.0 * d1),
        slope_k=4.0 * k * cube,
        slope_d=-(1.0 + 2.0 * d2) * cube,
    )


def _erf_diagonal(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    root = ops.sqrt(1.0 + 4.0 * d)
    slope = (4.0 / math.pi) / root
    return (2.0 / math.pi) * ops.arctan(2.0 * d / root), slope, slope / (1.0 + 2.0 * d)


def _linear(k: Tensor, d1: Tensor, d2: Tensor) -> tuple[Tensor, Tensor]:
    return k, 1.0


def _linear_slopes(k: Tensor, d1: Tensor, d2: Tensor) -> _Slopes:
    return _Slopes(k, 1.0, 0.0, 0.0, 0.0)


def _linear_diagonal(d: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return d, 1.0, 1.0


_MOMENTS = {"relu": _relu, "erf": _erf, "linear": _linear}
"""Covariance k and diagonals before a layer -> E phi phi' and E phi_dot phi_dot'."""
_SLOPES = {"relu": _relu_slopes, "erf": _erf_slopes, "linear": _linear_slopes}
_DIAGONALS = {"relu": _relu_diagonal, "erf": _erf_diagonal, "linear": _linear_diagonal}
"""For a point with itself, from its diagonal d: E phi^2, E phi_dot^2, and d(E phi^2)/dd."""
