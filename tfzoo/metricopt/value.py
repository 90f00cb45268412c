"""The value function: predicts the metric from adapter parameters phi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from tfzoo.config import Count, NonNegative, Widths
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

MARGIN, DEAD_ZONE, RANKING = 0.1, 0.2, 0.5
_TINY = 1e-6


@dataclass(frozen=True)
class Observations:
    """The value function's training data.

    Attributes:
        phi: adapter parameters [N, D].
        cost: the interpolated metric there, lower is better [N].
        variance: variance of the interpolation [N], in units of the cost squared.
    """

    phi: np.ndarray
    cost: np.ndarray
    variance: np.ndarray

    def __len__(self) -> int:
        return len(self.cost)


@serializable("metricopt")
class RankedRegression(keras.losses.Loss):
    """Weighted squared error plus a ranking term that preserves the metric's ordinal ranks.

    mean_t w_t (f_t - M_t)^2 + c mean_{i,j: |M_i - M_j| > tau} relu(m - (f_i - f_j) sign(M_i - M_j))

    The ranking term has a dead zone tau, without which it would fit noise. This form is our reading
    of the paper's "preserves the ordinal ranks" and "variances".

    Args:
        ranking: weight c of the ranking term.
        margin: margin m.
        dead_zone: dead zone tau, in standard deviations of the metric.
        **keywords: `name`.

    Raises:
        InputError: a negative number.
    """

    def __init__(
        self,
        ranking: NonNegative = RANKING,
        margin: NonNegative = MARGIN,
        dead_zone: NonNegative = DEAD_ZONE,
        **keywords: Any,
    ):
        keywords.setdefault("name", "ranked_regression")
        super().__init__(**keywords)
        self.ranking, self.margin, self.dead_zone = ranking, margin, dead_zone

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            y_true: columns M_t and w_t [B, 2].
            y_pred: f_t [B, 1].
            sample_weight: ignored.
        """
        y_true, f = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")[:, 0]
        m, w = y_true[:, 0], y_true[:, 1]
        squared = ops.mean(w * ops.square(f - m))
        gaps = m[:, None] - m[None, :]
        apart = ops.cast(ops.abs(gaps) > self.dead_zone, "float32")
        short = ops.relu(self.margin - (f[:, None] - f[None, :]) * ops.sign(gaps))
        ranks = ops.sum(apart * short) / ops.maximum(ops.sum(apart), 1.0)
        return squared + self.ranking * ranks


@serializable("metricopt")
class ValueFunction(ZooModel):
    """f: phi [B, D] -> predicted metric [B, 1], lower is better; a tanh network.

    Inputs and outputs are standardised by the data of the first fit; predictions are in the
    metric's units. It records the box covered by its observations, outside which it is meaningless
    (its gradient would be exploited there).

    Args:
        dim: number of parameters D.
        hidden: widths of the hidden layers.
        learning_rate: learning rate of its own Adam.
        **keywords: arguments of `keras.Model`.

    Attributes:
        lower: [D], the box's lower corner; -1e30 before the first fit.
        upper: [D], the box's upper corner; 1e30 before the first fit.

    Raises:
        InputError: a size below 1.
    """

    def __init__(
        self,
        dim: Count,
        hidden: Widths = (64, 64),
        learning_rate: float = 3e-3,
        **keywords: Any,
    ):
        keywords.setdefault("dtype", "float32")
        super().__init__(**keywords)
        self.dim, self.hidden, self.learning_rate = dim, tuple(hidden), learning_rate
        kind = self.dtype_policy  # float32 under any global policy
        self.hidden_layers = [
            keras.layers.Dense(n, "tanh", name=f"h{i}", dtype=kind) for i, n in enumerate(hidden)
        ]
        self.head = keras.layers.Dense(1, name="head", dtype=kind)

        def state(name: str, shape: tuple[int, ...], value: float) -> keras.Variable:
            start = keras.initializers.Constant(value)
            return self.add_weight(shape, start, name=name, trainable=False)

        self.center, self.spread = state("center", (dim,), 0.0), state("spread", (dim,), 1.0)
        self.mean, self.std = state("mean", (), 0.0), state("std", (), 1.0)
        self.lower, self.upper = state("lower", (dim,), -1e30), state("upper", (dim,), 1e30)
        self.adapted = state("adapted", (), 0.0)
        self.build((None, dim))
        self.compile(keras.optimizers.Adam(learning_rate), RankedRegression(), jit_compile=False)
        self.optimizer.build(self.trainable_variables)

    def build(self, input_shape: Shape) -> None:
        """Creates the layers' weights."""
        for layer in (*self.hidden_layers, self.head):
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, phi: Tensor) -> Tensor:
        """[B, D] -> [B, 1], in standard deviations of the metric."""
        h = (phi - self.center) / self.spread
        for layer in self.hidden_layers:
            h = layer(h)
        return self.head(h)

    def metric(self, phi: Tensor) -> np.ndarray:
        """The predicted cost of adapter parameters [N, D], in the metric's units [N]."""
        values = self(ops.convert_to_tensor(np.asarray(phi, "float32")))[:, 0]
        return ops.convert_to_numpy(values * self.std + self.mean)

    def gradient(self, phi: Tensor) -> Tensor:
        """df/dphi at one point [D] -> [D], in closed form, so that it needs no tape."""
        activations, h = [], ((phi - self.center) / self.spread)[None]
        for layer in self.hidden_layers:
            h = layer(h)
            activations.append(h)
        back = ops.transpose(self.head.kernel)  # [1, n]
        for layer, h in zip(reversed(self.hidden_layers), reversed(activations), strict=True):
            back = ops.matmul(back * (1.0 - ops.square(h)), ops.transpose(layer.kernel))
        return back[0] / self.spread

    def fit_observations(
        self, data: Observations, steps: int, seed: int, batch_size: int = 64
    ) -> float:
        """Continues fitting for `steps` minibatches; the first call sets the standardisation.

        Args:
            data: all observations; weights are proportional to 1 / variance, with mean 1.
            steps: number of minibatches.
            seed: seed of their order.
            batch_size: observations per minibatch.

        Returns:
            The last minibatch's loss.
        """
        self._adapt(data)
        weight = 1.0 / (np.asarray(data.variance, "float64") + 1e-12)
        target = (np.asarray(data.cost) - float(self.mean)) / float(self.std)
        y = np.stack([target, weight / weight.mean()], 1).astype("float32")
        phi, random, loss = data.phi.astype("float32"), np.random.default_rng(seed), 0.0
        for _ in range(steps):
            rows = random.integers(0, len(data), batch_size)
            loss = self.train_on_batch(phi[rows], y[rows])
        return float(loss)

    def _adapt(self, data: Observations) -> None:
        """Sets the standardisation, once, and the box, each time."""
        if not float(self.adapted):
            self.center.assign(data.phi.mean(0))
            self.spread.assign(np.maximum(data.phi.std(0), _TINY))
            self.mean.assign(np.mean(data.cost))
            self.std.assign(max(float(np.std(data.cost)), _TINY))
            self.lower.assign(data.phi.min(0))
            self.upper.assign(data.phi.max(0))
            self.adapted.assign(1.0)
        self.lower.assign(np.minimum(ops.convert_to_numpy(self.lower), data.phi.min(0)))
        self.upper.assign(np.maximum(ops.convert_to_numpy(self.upper), data.phi.max(0)))


def renew(optimizer: keras.optimizers.Optimizer) -> None:
    """Resets an optimizer's moments and step count, but not its learning rate."""
    for variable in optimizer.variables:
        if variable is not optimizer._learning_rate:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
