"""Spectral normalisation as a re-parametrisation: the kernel is divided by its largest singular
value, and the gradient goes through the division.

Keras's own `SpectralNormalization` overwrites the kernel (a projection) and passes no gradient
through sigma. Here, as in PyTorch's `spectral_norm`, kernel W, u and v are variables and the layer
computes with W / sigma, sigma = v^T W u.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.config import Count
from tfzoo.layers.convolution import conv
from tfzoo.registry import configurable, serializable
from tfzoo.typing import Shape, Tensor

EPSILON = 1e-12
START = 15
"""Power iterations from random vectors when a layer is built, as in PyTorch's parametrisation."""


def _unit(x: Tensor) -> Tensor:
    return x / ops.maximum(ops.sqrt(ops.sum(ops.square(x))), EPSILON)


@configurable
class SpectralLayer(keras.layers.Layer):
    """Base of the spectrally normalised layers: kernel, bias, u, v and the division.

    One power iteration per call in training mode updates u and v, without a gradient; in inference
    they stay fixed. Computed in at least float32 under any policy.
    """

    def __init__(
        self,
        activation: Callable | str | None = None,
        use_bias: bool = True,
        kernel_initializer: keras.initializers.Initializer | str = "glorot_uniform",
        bias_initializer: keras.initializers.Initializer | str = "zeros",
        power_iterations: Count = 1,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.activation = keras.activations.get(activation)
        self.use_bias, self.power_iterations = use_bias, power_iterations
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.arguments.activation = keras.activations.serialize(self.activation)
        self.arguments.kernel_initializer = self.kernel_initializer
        self.arguments.bias_initializer = self.bias_initializer

    def _make(self, shape: tuple[int, ...]) -> None:
        """Creates kernel, bias, u [outputs] and v [inputs]."""
        rows, columns = math.prod(shape[:-1]), shape[-1]
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel", autocast=False)
        if self.use_bias:
            self.bias = self.add_weight(
                (columns,), self.bias_initializer, name="bias", autocast=False
            )
        random = keras.initializers.RandomNormal(stddev=1.0)

        def start_u(size: Shape, dtype: str | None = None) -> Tensor:
            return self._iterate(_unit(random(size, dtype)), START)[0]

        def start_v(size: Shape, dtype: str | None = None) -> Tensor:
            return _unit(ops.matmul(self.matrix(), ops.convert_to_tensor(self.u)))

        # v starts from u's values, also if Keras creates variables later
        self.u = self.add_weight((columns,), start_u, name="u", trainable=False, autocast=False)
        self.v = self.add_weight((rows,), start_v, name="v", trainable=False, autocast=False)

    def matrix(self) -> Tensor:
        """The kernel as W [inputs, outputs] without a gradient."""
        kernel = ops.stop_gradient(ops.convert_to_tensor(self.kernel))
        return ops.reshape(kernel, (-1, self.kernel.shape[-1]))

    def _iterate(self, u: Tensor, times: int) -> tuple[Tensor, Tensor]:
        matrix, v = self.matrix(), None
        for _ in range(times):
            v = _unit(ops.matmul(matrix, u))
            u = _unit(ops.matmul(ops.transpose(matrix), v))
        return u, v

    def settle(self, times: int = 20) -> None:
        """Updates u and v by power iterations, e.g. after the kernel was set from outside."""
        u, v = self._iterate(ops.convert_to_tensor(self.u), times)
        self.u.assign(u)
        self.v.assign(v)

    def sigma(self) -> Tensor:
        """v^T W u, a scalar with a gradient to the kernel."""
        u = ops.stop_gradient(ops.convert_to_tensor(self.u))
        v = ops.stop_gradient(ops.convert_to_tensor(self.v))
        matrix = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        return ops.sum(v * ops.matmul(matrix, u))

    def normalised(self, training: bool | None = False) -> Tensor:
        """The kernel over sigma, in the variables' dtype; in training, first updates u and v."""
        if training:
            self.settle(self.power_iterations)
        return ops.convert_to_tensor(self.kernel) / self.sigma()

    def linear(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The layer's linear part without bias, given the normalised kernel."""
        raise NotImplementedError

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """The layer's output in the compute dtype."""
        y = self.linear(x, ops.cast(self.normalised(training), x.dtype))
        if self.use_bias:
            y = y + ops.cast(self.bias, y.dtype)
        return self.activation(y)


@serializable("layers")
class SNDense(SpectralLayer):
    """A dense layer whose kernel is divided by its largest singular value.

    Args:
        units: outputs.
        activation: as in `keras.layers.Dense`.
        use_bias: as in `keras.layers.Dense`.
        kernel_initializer: as in `keras.layers.Dense`.
        bias_initializer: as in `keras.layers.Dense`.
        power_iterations: per call in training mode.
        **keywords: `name`, `dtype`, ...

    Input: [..., n]. Output: [..., units].

    Raises:
        ValueError: `units` or `power_iterations` is below 1, or n is not known.
    """

    def __init__(
        self,
        units: Count,
        activation: Callable | str | None = None,
        use_bias: bool = True,
        **keywords: Any,
    ):
        super().__init__(activation, use_bias, **keywords)
        self.units = units

    def build(self, shape: Shape) -> None:
        """Creates kernel [n, units] and the rest."""
        if shape[-1] is None:
            raise ValueError(f"input {tuple(shape)}: the last axis must be known")
        self._make((shape[-1], self.units))

    def linear(self, x: Tensor, kernel: Tensor) -> Tensor:
        """[..., n] -> [..., units]."""
        return ops.matmul(x, kernel)

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)


@serializable("layers")
class SNConv2D(SpectralLayer):
    """A 2-D convolution whose kernel, as a matrix, is divided by its largest singular value.

    The matrix is [height x width x inputs, filters], whose spectrum is that of PyTorch's [filters,
    inputs x height x width]. This does not bound the operator norm of the convolution itself.

    Args:
        filters: output channels.
        kernel_size: height and width, or one number for both.
        strides: as in `keras.layers.Conv2D`.
        padding: `"valid"` or `"same"`.
        activation: as in `keras.layers.Conv2D`.
        use_bias: as in `keras.layers.Conv2D`.
        kernel_initializer: as in `keras.layers.Conv2D`.
        bias_initializer: as in `keras.layers.Conv2D`.
        power_iterations: per call in training mode.
        **keywords: `name`, `dtype`, ...

    Input: [B, H, W, C]. Output: [B, H', W', filters].

    Raises:
        ValueError: a number is below 1, an unknown padding, or an input that is not [B, H, W, C]
            with known C.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: str = "valid",
        activation: Callable | str | None = None,
        use_bias: bool = True,
        **keywords: Any,
    ):
        super().__init__(activation, use_bias, **keywords)
        self.filters, self.padding = filters, str(padding).lower()
        self.kernel_size, self.strides = _pair(kernel_size), _pair(strides)
        for name in ("filters", "kernel_size", "strides"):
            value = getattr(self, name)
            if min(_pair(value)) < 1:
                raise ValueError(f"{name}={value}: must be at least 1")
        if self.padding not in ("valid", "same"):
            raise ValueError(f"padding={padding!r}: must be 'valid' or 'same'")

    def build(self, shape: Shape) -> None:
        """Creates kernel [height, width, C, filters] and the rest."""
        if len(shape) != 4 or shape[-1] is None:
            raise ValueError(f"input {tuple(shape)}: must be [B, H, W, C] with known C")
        self._make((*self.kernel_size, shape[-1], self.filters))

    def linear(self, x: Tensor, kernel: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, H', W', filters]."""
        return conv(x, kernel, self.strides, self.padding)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """[B, H', W', filters]."""
        sides = []
        for side, k, s in zip(shape[1:3], self.kernel_size, self.strides, strict=True):
            less = 0 if self.padding == "same" else k - 1
            sides.append(None if side is None else (side - less + s - 1) // s)
        return (shape[0], *sides, self.filters)


def settle(model: keras.layers.Layer, times: int = 20) -> None:
    """Updates u and v of all spectrally normalised layers of a model by power iterations."""
    for layer in model._flatten_layers():
        if isinstance(layer, SpectralLayer):
            layer.settle(times)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)
