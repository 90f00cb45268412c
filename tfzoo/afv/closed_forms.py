"""Per-example gradients of one layer's parameters in closed form.

A linear layer computes s = a W + b (a convolution: at every position p, over patches). With
delta[b, p, o] = dD(x_b)/ds, which one backward pass gives for all examples, as they do not
interact,

    dD(x_b)/dW = sum_p a[b, p] delta[b, p]^T        dD(x_b)/db = sum_p delta[b, p]

and under spectral normalisation, W^ = W / sigma, sigma = v^T W u,

    dD/dW = (dD/dW^ - <dD/dW^, W^> v u^T) / sigma
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfzoo.layers import Conv2D, SNConv2D, SNDense, SpectralLayer


class DenseForm:
    """`keras.layers.Dense` and `SNDense` on inputs [B, ..., n]."""

    def __init__(self, layer: keras.layers.Layer):
        self.layer = layer

    @staticmethod
    def fits(layer: keras.layers.Layer) -> bool:
        """Whether the closed form applies to this layer."""
        if type(layer) is SNDense:
            return True
        plain = type(layer) is keras.layers.Dense
        return plain and not getattr(layer, "lora_enabled", False) and not layer.quantization_mode

    def linear(self, x: tf.Tensor) -> tf.Tensor:
        """The layer's pre-activation s."""
        y = self.product(x, tf.cast(self.kernel(), x.dtype))
        return y + tf.cast(self.layer.bias.value, y.dtype) if self.layer.use_bias else y

    def product(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """x W for a kernel of the layer's shape, or with more outputs."""
        return tf.matmul(x, kernel)

    def kernel(self) -> tf.Tensor:
        """The layer's effective kernel W, [n, units]; W / sigma in a spectral layer."""
        if isinstance(self.layer, SpectralLayer):
            return tf.convert_to_tensor(self.layer.normalised())
        return tf.convert_to_tensor(self.layer.kernel)

    def finish(self, s: tf.Tensor) -> tf.Tensor:
        """The layer's output from s."""
        activation = self.layer.activation
        return s if activation is None else activation(s)

    def of_kernel(self, a: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
        """Gradients [B, n_W] by W (by W / sigma if normalised), in the kernel's order."""
        a = tf.reshape(a, (tf.shape(a)[0], -1, a.shape[-1]))
        delta = tf.reshape(delta, (tf.shape(delta)[0], -1, delta.shape[-1]))
        return _flat(tf.matmul(a, delta, transpose_a=True))

    def gradients(self, a: tf.Tensor, delta: tf.Tensor) -> list[tf.Tensor]:
        """[B, size] for kernel and bias, float32."""
        a, delta = tf.cast(a, tf.float32), tf.cast(delta, tf.float32)
        parts = [self._of_own_kernel(a, delta)]
        if self.layer.use_bias:
            axes = list(range(1, len(delta.shape) - 1))
            parts.append(tf.reduce_sum(delta, axes) if axes else delta)
        return parts

    def _of_own_kernel(self, a: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
        """[B, n_W], the gradients with respect to W itself, through sigma."""
        if not isinstance(self.layer, SpectralLayer):
            return self.of_kernel(a, delta)
        layer = self.layer
        sigma, kernel, v, u = (
            tf.cast(x, tf.float32) for x in (layer.sigma(), layer.kernel, layer.v, layer.u)
        )
        gradient = self.of_kernel(a, delta / sigma)  # the smallest tensor on which to divide
        flat = tf.reshape(kernel, (-1, 1)) / sigma
        outer = tf.tensordot(v, u, 0)
        return gradient - tf.matmul(gradient, flat) * tf.reshape(outer, (1, -1))

    def variables(self) -> list[keras.Variable]:
        """The variables, in the order of `gradients`."""
        return [self.layer.kernel, *([self.layer.bias] if self.layer.use_bias else [])]

    def scratch(self, shape: tuple[int, ...]) -> int:
        """Numbers per example that `of_kernel` holds besides its result."""
        return 0


class ConvForm(DenseForm):
    """Keras's and our `Conv2D` (one group, no dilation) and `SNConv2D` on [B, H, W, C]."""

    @staticmethod
    def fits(layer: keras.layers.Layer) -> bool:
        """Whether the closed form applies to this layer."""
        if type(layer) is SNConv2D:
            return True
        return (
            type(layer) in (keras.layers.Conv2D, Conv2D)
            and layer.groups == 1
            and tuple(layer.dilation_rate) == (1, 1)
            and layer.data_format == "channels_last"
            and not getattr(layer, "lora_enabled", False)
            and not layer.quantization_mode
        )

    def product(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution of x with a kernel."""
        return tf.nn.conv2d(x, kernel, self.layer.strides, self.layer.padding.upper())

    def of_kernel(self, a: tf.Tensor, delta: tf.Tensor) -> tf.Tensor:
        """One product for each position in the kernel, without extracting patches."""
        (kh, kw), (sh, sw) = self.layer.kernel_size, self.layer.strides
        height, width, filters = delta.shape[1:]
        if self.layer.padding == "same":
            pads = [
                _same(n, m, k, s)
                for n, m, k, s in zip(
                    a.shape[1:3], (height, width), (kh, kw), (sh, sw), strict=True
                )
            ]
            a = tf.pad(a, [[0, 0], *pads, [0, 0]])
        delta = tf.reshape(delta, (-1, height * width, filters))
        parts = []
        for i in range(kh):
            for j in range(kw):
                rows = slice(i, i + (height - 1) * sh + 1, sh)
                columns = slice(j, j + (width - 1) * sw + 1, sw)
                part = tf.reshape(a[:, rows, columns], (-1, height * width, a.shape[-1]))
                parts.append(tf.matmul(part, delta, transpose_a=True))
        return _flat(tf.stack(parts, 1))

    def scratch(self, shape: tuple[int, ...]) -> int:
        """A padded input, a shifted part of it, and the products before stacking."""
        size = 1
        for n in self.layer.kernel.shape:
            size *= n
        return 2 * shape[1] * shape[2] * shape[3] + size


class SlowForm:
    """Any other layer with its own parameters: one backward pass through it per example.

    Args:
        layer: called with one tensor [B, ...] and otherwise equal arguments for all examples.
        variables: variables of the layer or its sublayers whose gradients are wanted.
        arguments: positional arguments of this call of the layer, after the first.
        keywords: keyword arguments of this call.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        variables: Sequence[keras.Variable],
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
    ):
        self.layer, self._variables = layer, list(variables)
        self.arguments, self.keywords = arguments, keywords or {}

    def variables(self) -> list[keras.Variable]:
        """The variables, in the order of `gradients`."""
        return self._variables

    def gradients(self, a: tf.Tensor, delta: tf.Tensor) -> list[tf.Tensor]:
        """[B, size] for each of the variables, float32."""

        def of_one(row: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            x, d = row
            return self.layer(x[None], *self.arguments, **self.keywords), d[None]

        return one_by_one(of_one, (a, delta), self._variables)

    def scratch(self, shape: tuple[int, ...]) -> int:
        """The backward passes need no extra memory per example."""
        return 0


def one_by_one(
    function: Callable, rows: Any, variables: Sequence[keras.Variable]
) -> list[tf.Tensor]:
    """[B, size] float32 for each variable, with one tape per example.

    Args:
        function: function of an example of `rows`; returns the value to differentiate and the
            upstream gradient, or None for a scalar.
        rows: tensors [B, ...] in any structure.
        variables: variables to differentiate by.
    """
    values = [local_value(v) for v in variables]

    @tf.autograph.experimental.do_not_convert  # which takes seconds without a graph
    def of_one(row: Any) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            y, outer = function(row)
        each = tape.gradient(y, values, outer, unconnected_gradients="zero")
        return [tf.reshape(tf.cast(tf.convert_to_tensor(g), tf.float32), (-1,)) for g in each]

    specs = [tf.TensorSpec((v.shape.num_elements(),), tf.float32) for v in values]
    return tf.map_fn(of_one, rows, fn_output_signature=specs)


def local_value(variable: keras.Variable) -> tf.Variable:
    """What a tape can watch: a mirrored variable's first copy where no replica runs."""
    if not tf.distribute.in_cross_replica_context():
        return variable.value
    return tf.distribute.get_strategy().experimental_local_results(variable.value)[0]


FORMS = (DenseForm, ConvForm)


def closed_form(layer: keras.layers.Layer) -> DenseForm | None:
    """The layer's closed form, or None if there is none."""
    for form in FORMS:
        if form.fits(layer):
            return form(layer)
    return None


def _flat(x: tf.Tensor) -> tf.Tensor:
    size = 1
    for n in x.shape[1:]:
        size *= n
    return tf.reshape(x, (-1, size))


def _same(size: int, out: int, kernel: int, stride: int) -> list[int]:
    """TensorFlow's SAME padding: the odd pixel goes to the end."""
    total = max((out - 1) * stride + kernel - size, 0)
    return [total // 2, total - total // 2]
