"""MADE: an autoregressive distribution over binary codes (arXiv:1502.03509)."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
from annotated_types import Ge
from keras import ops
from typing_extensions import override

from tfzoo.config import Widths
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

if TYPE_CHECKING:
    import tensorflow_probability as tfp


@serializable("sdn")
class MADE(keras.layers.Layer):
    """p(z) = prod_j Bernoulli(z_j | z_1 .. z_{j-1}) for codes z of -1 and +1.

    One masked network gives all conditionals in one pass. Units are sorted by degree, so that
    sampling computes each hidden unit once, when its input bits are known: a draw costs one pass in
    total, not one per bit.

    Args:
        dim: number of bits d of a code, at least 2.
        hidden: widths of the masked hidden layers (ReLU). Layers narrower than d - 1 have no units
            for some bits, whose influence on later ones is lost; this causes a warning.
        **keywords: `name`, `dtype`, ...

    Input: codes [B, d]. Output: logits of z_j = +1, float32 [B, d].

    Raises:
        ValueError: `dim` is below 2, or a width below 1, or there is no hidden layer.
    """

    def __init__(self, dim: Annotated[int, Ge(2)], hidden: Widths = (128, 128), **keywords: Any):
        super().__init__(**keywords)
        self.dim, self.hidden = dim, tuple(hidden)
        if min(self.hidden) < dim - 1:
            warnings.warn(
                f"hidden={list(self.hidden)}: must be at least dim - 1 = {dim - 1} throughout for "
                "every bit to depend on all earlier ones; a narrower layer loses dependencies",
                stacklevel=3,
            )
        self._degrees = [np.arange(dim) + 1]
        self._degrees += [1 + np.arange(width) * (dim - 1) // width for width in self.hidden]

    def build(self, shape: Shape | None = None) -> None:
        """Creates the kernels, in float32 under any policy."""
        if shape is not None and shape[-1] != self.dim:
            raise ValueError(f"codes: last axis {shape[-1]}, must be {self.dim}")
        widths = [self.dim, *self.hidden, self.dim]
        self._kernels, self._biases = [], []
        for i, (n, m) in enumerate(zip(widths, widths[1:], strict=False)):
            weight = lambda size, start, name: self.add_weight(  # noqa: E731
                size, start, name=name, dtype="float32", autocast=False
            )
            self._kernels.append(weight((n, m), "he_normal", f"kernel_{i}"))
            self._biases.append(weight((m,), "zeros", f"bias_{i}"))

    def masks(self) -> list[np.ndarray]:
        """0 or 1 per kernel entry: a unit sees inputs up to its degree, logit j those below j."""
        ins = self._degrees
        hidden = [b[None, :] >= a[:, None] for a, b in zip(ins, ins[1:], strict=False)]
        hidden.append(ins[0][None, :] > ins[-1][:, None])
        return [mask.astype("float32") for mask in hidden]

    def call(self, codes: Tensor) -> Tensor:
        """Logits, float32 [B, d]."""
        h = ops.cast(codes, "float32")
        *inner, last = zip(self._kernels, self._biases, self.masks(), strict=True)
        for kernel, bias, mask in inner:
            h = ops.relu(ops.matmul(h, kernel * mask) + bias)
        kernel, bias, mask = last
        return ops.matmul(h, kernel * mask) + bias

    def log_prob(self, codes: Tensor) -> Tensor:
        """log p(z) in nats, float32 [B]."""
        codes = ops.cast(codes, "float32")
        # log sigmoid(z logit): z is -1 or +1
        return ops.sum(ops.log_sigmoid(codes * self(codes)), -1)

    def sample(self, uniforms: Tensor) -> Tensor:
        """Draws codes by the inverse distribution function, bit by bit.

        Args:
            uniforms: in [0, 1), [B, d].

        Returns:
            Codes of -1 and +1, float32 [B, d].
        """
        kernels = [ops.convert_to_tensor(k) for k in self._kernels]
        # each unit's input so far: every kernel is read once, row by row
        sums: list[Tensor] = [ops.convert_to_tensor(b) for b in self._biases]
        thresholds = ops.log(uniforms) - ops.log1p(-uniforms)
        bits: list[Tensor] = []
        for j in range(self.dim):
            up = thresholds[:, j : j + 1] < sums[-1][..., j : j + 1]
            bits.append(ops.where(up, 1.0, -1.0))
            if j + 1 == self.dim:
                break
            sums[0] = sums[0] + bits[j] * kernels[0][j]
            for i, degrees in enumerate(self._degrees[1:]):
                # units of degree j + 1 now have all their inputs
                lo, hi = (int(np.searchsorted(degrees, k)) for k in (j + 1, j + 2))
                if hi > lo:
                    known = ops.relu(sums[i][:, lo:hi])
                    sums[i + 1] = sums[i + 1] + ops.matmul(known, kernels[i + 1][lo:hi])
        return ops.concatenate(bits, -1)

    @only_on("tensorflow", why="which is a distribution of TensorFlow Probability")
    def distribution(self) -> tfp.distributions.Autoregressive:
        """The same as a TFP distribution over bits 0 and 1, [d].

        Its `sample` runs d passes of the network; `log_prob(z / 2 + 1 / 2)` equals `log_prob(z)`.
        """
        import tensorflow as tf
        import tensorflow_probability as tfp

        def conditionals(bits: Tensor) -> tfp.distributions.Independent:
            codes = 2.0 * tf.cast(bits, tf.float32) - 1.0
            logits = tf.reshape(self(tf.reshape(codes, [-1, self.dim])), tf.shape(codes))
            factors = tfp.distributions.Bernoulli(logits=logits, dtype=tf.float32)
            return tfp.distributions.Independent(factors, 1)

        start = tf.zeros([self.dim])
        return tfp.distributions.Autoregressive(conditionals, start, num_steps=self.dim)

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return tuple(shape)

    def compute_output_spec(self, codes: Tensor) -> keras.KerasTensor:
        """Float32 under any policy."""
        return keras.KerasTensor(codes.shape, "float32")
