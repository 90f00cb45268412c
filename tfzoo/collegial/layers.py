"""Layers that hold all members of an ensemble (arXiv:2006.07678)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.collegial.ops import grouped_conv2d
from tfzoo.config import Count, OneOf
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

PARAMETRIZATIONS = ("standard", "ntk")


@serializable("collegial")
class GroupConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D(groups=g)` with the same weights and results, fast to train on CPU.

    A block of an ensemble with m members of width n is a grouped convolution with g = m groups of
    n channels: filters [k n, (k+1) n) belong to member k.

    Args:
        filters: output channels, a multiple of `groups`.
        kernel_size: height and width.
        groups: number of groups g.
        **keywords: those of `keras.layers.Conv2D`; `data_format` is `"channels_last"`.

    Input: [B, H, W, C], C a multiple of `groups`. Output: [B, H', W', filters].

    Raises:
        ValueError: filters or channels are not a multiple of `groups`, or another data format.
    """

    def __init__(
        self, filters: int, kernel_size: int | Sequence[int], groups: int = 1, **keywords: Any
    ):
        if groups < 1 or filters % groups:
            raise ValueError(f"groups={groups}: must divide filters={filters}")
        if keywords.setdefault("data_format", "channels_last") != "channels_last":
            raise ValueError(f"data_format={keywords['data_format']!r}: must be 'channels_last'")
        if str(keywords.get("padding", "valid")).lower() not in ("valid", "same"):
            raise ValueError(f"padding={keywords['padding']!r}: must be 'valid' or 'same'")
        super().__init__(filters, kernel_size, groups=groups, **keywords)

    def build(self, shape: Shape) -> None:
        """Creates kernel [height, width, C / g, filters] and bias."""
        if shape[-1] is None or shape[-1] % self.groups:
            raise ValueError(f"groups={self.groups}: must divide the input's {shape[-1]} channels")
        super().build(shape)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """The convolution without bias and activation."""
        return grouped_conv2d(inputs, kernel, self.strides, self.padding, self.dilation_rate)


@serializable("collegial")
class CollegialDense(keras.layers.Layer):
    """m parallel dense layers as one batched product: a block-diagonal matrix.

    Args:
        members: m.
        units: outputs of each member.
        activation: as in `keras.layers.Dense`.
        use_bias: as in `keras.layers.Dense`.
        parametrization: `"standard"`; or `"ntk"`: kernels start standard normal, the product is
            scaled by `weight_scale / sqrt(inputs)` and biases by `bias_scale`.
        weight_scale: weight scale of the NTK parametrisation; sqrt(2) preserves the scale of ReLU
            activations.
        bias_scale: bias scale of the NTK parametrisation.
        kernel_initializer: default: He normal for one member, standard normal under `"ntk"`.
        bias_initializer: default: zeros, standard normal under `"ntk"`.
        **keywords: `name`, `dtype`, ...

    Input: [B, n], shared by all members, or [B, m, n], one row per member. Output: [B, m, units].

    Raises:
        ValueError: an invalid argument or input shape.
    """

    def __init__(
        self,
        members: Count,
        units: Count,
        activation: Callable | str | None = None,
        use_bias: bool = True,
        parametrization: Annotated[str, OneOf(*PARAMETRIZATIONS)] = "standard",
        weight_scale: float = math.sqrt(2.0),
        bias_scale: float = 0.0,
        kernel_initializer: keras.initializers.Initializer | str | None = None,
        bias_initializer: keras.initializers.Initializer | str | None = None,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.members, self.units, self.use_bias = members, units, use_bias
        self.parametrization = parametrization
        self.weight_scale, self.bias_scale = weight_scale, bias_scale
        self.activation = keras.activations.get(activation)
        ntk = parametrization == "ntk"
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.kernel_initializer = keras.initializers.get(
            kernel_initializer or (normal if ntk else MemberHeNormal())
        )
        self.bias_initializer = keras.initializers.get(
            bias_initializer or (normal.clone() if ntk else "zeros")
        )
        self.arguments.activation = keras.activations.serialize(self.activation)
        self.arguments.kernel_initializer = self.kernel_initializer
        self.arguments.bias_initializer = self.bias_initializer

    def build(self, shape: Shape) -> None:
        """Creates kernel [m, n, units] and bias [m, units]."""
        good = len(shape) == 2 or (len(shape) == 3 and shape[1] == self.members)
        if not good or shape[-1] is None:
            raise ValueError(f"input {tuple(shape)}: must be [B, n] or [B, {self.members}, n]")
        self.kernel = self.add_weight(
            (self.members, shape[-1], self.units), self.kernel_initializer, name="kernel"
        )
        if self.use_bias:
            self.bias = self.add_weight(
                (self.members, self.units), self.bias_initializer, name="bias"
            )

    def call(self, x: Tensor) -> Tensor:
        """[B, n] or [B, m, n] -> [B, m, units]."""
        m, n, units = self.kernel.shape
        kernel = ops.cast(self.kernel, self.compute_dtype)
        if len(x.shape) == 2:  # one product: [B, n] [n, m units]
            y = ops.matmul(x, ops.reshape(ops.transpose(kernel, (1, 0, 2)), (n, m * units)))
        else:
            y = ops.transpose(ops.matmul(ops.transpose(x, (1, 0, 2)), kernel), (1, 0, 2))
            y = ops.reshape(y, (-1, m * units))  # adding the bias as a row is faster
        ntk = self.parametrization == "ntk"
        if ntk:
            y = y * (self.weight_scale / math.sqrt(n))
        if self.use_bias:
            bias = ops.reshape(ops.cast(self.bias, y.dtype), (m * units,))
            y = y + (bias * self.bias_scale if ntk else bias)
        return self.activation(ops.reshape(y, (-1, m, units)))

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.members, self.units)


@serializable("collegial")
class MemberHeNormal(keras.initializers.Initializer):
    """He normal initialisation of kernels [m, n, units]: variance 2 / n, with one member's n.

    Args:
        seed: integer, `keras.random.SeedGenerator` or None.
    """

    def __init__(self, seed: int | keras.random.SeedGenerator | None = None):
        self._normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed)

    def __call__(self, shape: Shape, dtype: str | None = None) -> Tensor:
        """Values of a shape [..., n, units]."""
        return self._normal(shape, dtype) * math.sqrt(2.0 / shape[-2])


@serializable("collegial")
class Aggregate(keras.layers.Layer):
    """F = m^(-1/2) sum_j F_j over the members' axis: [B, m, ...] -> [B, ...]."""

    def call(self, x: Tensor) -> Tensor:
        """[B, m, ...] -> [B, ...]."""
        return ops.sum(x, 1) / math.sqrt(x.shape[1])

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *shape[2:])
