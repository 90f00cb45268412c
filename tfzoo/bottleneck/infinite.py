"""Infinitely wide networks without a bottleneck: kernel regression as a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
from keras import ops

from tfzoo.bottleneck.blockwise import kernel_matrix
from tfzoo.bottleneck.dynamics import cholesky
from tfzoo.bottleneck.full_batch import WholeSetModel
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP
from tfzoo.bottleneck.model import halves
from tfzoo.bottleneck.training_set import step_loss
from tfzoo.config import NonNegative, OneOf
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.typing import Tensor

if TYPE_CHECKING:
    import tensorflow_probability as tfp

KERNELS = ("ntk", "nngp")


@serializable("bottleneck")
class InfiniteNetwork(WholeSetModel):
    """An infinitely wide network, trained to convergence in closed form.

        mean(x) = K(x, X) (K(X, X) + s I)^-1 y
        variance(x) = K(x, x) - K(x, X) (K(X, X) + s I)^-1 K(X, x) + noise

    with s = noise + jitter x mean of K's diagonal. With the NTK the mean is that of centred
    networks after infinitely long gradient descent on the squared error (with weight decay towards
    the start, if there is noise); with the NNGP it is the Bayesian network's posterior mean. The
    variance is that of the Gaussian process with the kernel as its covariance: the Bayesian
    posterior variance for the NNGP, a relative measure for the NTK.

    With `head_activation` the kernel is that of f after g: a `BottleneckNetwork` with infinitely
    many units in the bottleneck, the baseline. All computations are in float64.

    Args:
        depth: number of hidden layers of g.
        activation: activation of g: `relu`, `erf` or `linear`.
        head_activation: activation of f's hidden layer; None: no f.
        kernel: `ntk` or `nngp`.
        noise: variance of the targets' noise.
        jitter: improves the condition of the kernel matrix; relative to its mean diagonal.
        weight_scale: see `InfiniteMLP`.
        bias_scale: bias scale of all layers.
        input_shape: shape of one example; None: taken from the first `fit`.
        outputs: number of outputs k; None: likewise.
        examples: number N of training examples in the model; None: likewise.
        pixel_mean: subtracted from the inputs.
        pixel_std: divisor of the result.
        unit_rows: scale the result to length sqrt(n) for n inputs.
        **keywords: `name`, ...

    Input: [B, *input_shape]. Output: [B, k], the mean.

    Raises:
        ValueError: an argument is out of range.
    """

    _fitted: tuple[Tensor, Tensor] | None

    def __init__(
        self,
        depth: int = 2,
        activation: str = "relu",
        head_activation: str | None = None,
        *,
        kernel: Annotated[str, OneOf(*KERNELS)] = "ntk",
        noise: NonNegative = 0.0,
        jitter: NonNegative = 1e-6,
        weight_scale: float | None = None,
        bias_scale: float = 0.0,
        input_shape: Sequence[int] | None = None,
        outputs: int | None = None,
        examples: int | None = None,
        pixel_mean: float = 0.0,
        pixel_std: float = 1.0,
        unit_rows: bool = False,
        **keywords: Any,
    ):
        inner, outer = halves(
            depth, activation, head_activation or "relu", weight_scale, bias_scale
        )
        self.kernel: Composition | InfiniteMLP = (
            Composition(outer, inner) if head_activation else inner
        )
        keywords["dtype"] = "float64"
        super().__init__(
            input_shape=input_shape,
            outputs=outputs,
            examples=examples,
            pixel_mean=pixel_mean,
            pixel_std=pixel_std,
            unit_rows=unit_rows,
            **keywords,
        )

    def _make(self, inputs: int, outputs: int, examples: int) -> None:
        self.y = self._weight("y", (examples, outputs))
        # L^-1, K + s I = L L^T
        self.whitener = self._weight("whitener", (examples, examples))
        self.coefficients = self._weight("coefficients", (examples, outputs))

    def _begin(self, y: np.ndarray) -> None:
        """Solves for the coefficients."""
        kernel = kernel_matrix(
            self.kernel, self.x.numpy(), which=self.arguments.kernel, dtype="float64"
        )
        noise = self.arguments.noise * np.eye(len(kernel))
        factor = cholesky(ops.convert_to_tensor(kernel + noise), self.arguments.jitter)
        eye = ops.eye(len(kernel), dtype="float64")
        whitener = ops.solve_triangular(factor, eye, lower=True)
        targets = ops.convert_to_tensor(y.reshape(len(y), -1), "float64")
        white = ops.matmul(whitener, targets)
        self.y.assign(targets)
        self.whitener.assign(whitener)
        self.coefficients.assign(ops.matmul(ops.transpose(whitener), white))
        self._fitted = ops.matmul(kernel, ops.copy(self.coefficients)), targets

    def _end(self) -> None:
        super()._end()
        self._fitted = None

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """Trains nothing; returns the metrics on the training set."""
        del data
        assert self._fitted is not None  # computed by `_begin`
        outputs, targets = self._fitted
        self.steps.assign_add(1)
        loss = self.compute_loss(y=targets, y_pred=outputs, training=True)
        self._loss_tracker.update_state(loss)
        return self.compute_metrics(None, targets, outputs)

    def _cross(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.build()
        rows = self.rows(x)
        of = getattr(self.kernel, self.arguments.kernel)
        return rows, of(rows, ops.copy(self.x))

    def call(self, x: Tensor) -> Tensor:
        """[B, *input_shape] -> the mean, float32 [B, k]."""
        cross = self._cross(x)[1]
        return ops.cast(ops.matmul(cross, ops.copy(self.coefficients)), "float32")

    def predictive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation: [B, *input_shape] -> two of float32 [B, k]."""
        rows, cross = self._cross(x)
        mean = ops.matmul(cross, ops.copy(self.coefficients))
        white = ops.matmul(cross, ops.transpose(self.whitener))
        prior = self.kernel.diagonal(rows)[KERNELS[::-1].index(self.arguments.kernel)]
        variance = ops.maximum(prior - ops.sum(ops.square(white), -1), 0.0)
        stddev = ops.sqrt(variance + self.arguments.noise)[:, None]
        return ops.cast(mean, "float32"), ops.cast(ops.ones_like(mean) * stddev, "float32")

    @only_on("tensorflow", why="which is a distribution of TensorFlow Probability")
    def posterior(self, x: Tensor) -> tfp.distributions.GaussianProcessRegressionModel:
        """The Gaussian process jointly at several points, as a TFP distribution.

        Args:
            x: [B, *input_shape].

        Returns:
            A `tfp.distributions.GaussianProcessRegressionModel` of batch shape [k] and event shape
            [B], float64, with the covariance between points that `predictive` omits.
        """
        import tensorflow_probability as tfp

        from tfzoo.bottleneck import psd_kernels

        self.build()
        kinds = {"ntk": psd_kernels.NTKernel, "nngp": psd_kernels.NNGPKernel}
        points = ops.copy(self.x)
        of = KERNELS[::-1].index(self.arguments.kernel)
        jitter = self.arguments.jitter * ops.mean(self.kernel.diagonal(points)[of])
        noise = ops.convert_to_tensor(self.arguments.noise, "float64")
        return tfp.distributions.GaussianProcessRegressionModel(
            kinds[self.arguments.kernel](self.kernel),
            index_points=self.rows(x),
            observation_index_points=points,
            observations=ops.transpose(ops.copy(self.y)),
            observation_noise_variance=noise + jitter,
            predictive_noise_variance=noise,
            jitter=0.0,
        )

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str | None = None,
        loss: Callable | str = "mse",
        **keywords: Any,
    ) -> None:
        """As Keras's, but there is nothing to optimise, and the loss is the squared error.

        Raises:
            ValueError: an optimizer or another loss.
        """
        if optimizer is not None:
            raise ValueError(
                f"optimizer={optimizer!r}: must be None, since the solution is in closed form"
            )
        if step_loss(loss, 1)[0].curvature != 2.0:
            raise ValueError(f"loss={loss!r}: must be 'mse', which kernel regression minimises")
        super().compile(keras.optimizers.SGD(), loss, **keywords)

    def get_compile_config(self) -> dict[str, Any]:
        """Keras's compile config without the optimizer."""
        config = super().get_compile_config()
        return config | {"optimizer": None} if config else config
