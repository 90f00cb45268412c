"""The kernels for TensorFlow Probability, e.g. for `tfp.distributions.GaussianProcess`.

Not imported with the package: importing TFP takes about a second.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from tfzoo.bottleneck.kernels import DotProductKernel
from tfzoo.typing import Tensor


class _NetworkKernel(tfp.math.psd_kernels.PositiveSemidefiniteKernel):
    """The common base; the subclasses document the arguments."""

    _which: int  # index in the pair that the network's methods return

    def __init__(
        self,
        network: DotProductKernel,
        amplitude: Tensor | None = None,
        validate_args: bool = False,
        name: str | None = None,
    ):
        parameters = {"network": network, "amplitude": amplitude}
        parameters |= {"validate_args": validate_args, "name": name}
        if not isinstance(network, DotProductKernel):
            raise ValueError(f"network={network!r}: must be an InfiniteMLP or a Composition")
        name = name or type(self).__name__
        with tf.name_scope(name):
            if amplitude is not None and not isinstance(amplitude, tf.Variable):
                amplitude = tf.convert_to_tensor(amplitude)
            self._network, self._amplitude = network, amplitude
            super().__init__(
                feature_ndims=1,
                dtype=None if amplitude is None else amplitude.dtype,
                name=name,
                validate_args=validate_args,
                parameters=parameters,
            )

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType) -> dict[str, Any]:
        def positive() -> tfp.bijectors.Bijector:
            return tfp.bijectors.Softplus(low=tf.as_dtype(dtype or tf.float32).as_numpy_dtype(1e-6))

        properties = tfp.util.ParameterProperties
        return {"amplitude": properties(default_constraining_bijector_fn=positive)}

    @property
    def network(self) -> DotProductKernel:
        """The network whose kernel it is."""
        return self._network

    @property
    def amplitude(self) -> Tensor | None:
        """The factor by whose square the kernel is multiplied, or None."""
        return self._amplitude

    def _apply(self, x1: Tensor, x2: Tensor, example_ndims: int = 0) -> Tensor:
        product = tf.reduce_mean(x1 * x2, -1)
        value = self._of(product, tf.reduce_mean(x1 * x1, -1), tf.reduce_mean(x2 * x2, -1))
        return self._scaled(value, example_ndims)

    def _matrix(self, x1: Tensor, x2: Tensor) -> Tensor:
        n = tf.cast(tf.shape(x1)[-1], x1.dtype)
        product = tf.matmul(x1, x2, transpose_b=True) / n  # [..., N1, N2]
        d1, d2 = tf.reduce_mean(x1 * x1, -1), tf.reduce_mean(x2 * x2, -1)
        matrix = self._of(product, d1[..., :, None], d2[..., None, :])
        if x1 is x2:  # exact where the angle is known to be 0
            matrix = tf.linalg.set_diag(
                matrix, self._network.propagate_diagonal(d1, 0.0)[self._which]
            )
        return self._scaled(matrix, 2)

    def _of(self, product: tf.Tensor, d1: tf.Tensor, d2: tf.Tensor) -> tf.Tensor:
        ntk = 0.0 if self._which else None
        return self._network.elementwise(product, ntk, d1, d2)[self._which]

    def _scaled(self, kernel: tf.Tensor, example_ndims: int) -> tf.Tensor:
        if self._amplitude is None:
            return kernel
        amplitude = tf.convert_to_tensor(self._amplitude)
        for _ in range(example_ndims):
            amplitude = amplitude[..., None]
        return amplitude**2 * kernel


class NNGPKernel(_NetworkKernel):
    """amplitude^2 times the NNGP of an infinitely wide network, on points [..., n].

    Args:
        network: an `InfiniteMLP` or a `Composition`.
        amplitude: float, tensor or variable [batch]; None: 1. The kernel's only trainable
            parameter, which also determines its batch shape and dtype.
        validate_args: as for any TFP kernel.
        name: name of the ops.

    Raises:
        ValueError: `network` has no kernel.
    """

    _which = 0


class NTKernel(_NetworkKernel):
    """amplitude^2 times the NTK of an infinitely wide network, on points [..., n].

    Args:
        network: an `InfiniteMLP` or a `Composition`.
        amplitude: float, tensor or variable [batch]; None: 1. The kernel's only trainable
            parameter, which also determines its batch shape and dtype.
        validate_args: as for any TFP kernel.
        name: name of the ops.

    Raises:
        ValueError: `network` has no kernel.
    """

    _which = 1
