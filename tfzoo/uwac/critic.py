"""The critic: a dropout network whose variance over masks is the uncertainty of its value."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tfzoo.config import Fraction, Positive, Widths
from tfzoo.environment import only_on
from tfzoo.layers import SNDense, SpectralLayer
from tfzoo.registry import serializable
from tfzoo.typing import Tensor
from tfzoo.uwac.mathematics import controlled_moments, moments_of
from tfzoo.uwac.networks import SpaceModel

if TYPE_CHECKING:
    import tensorflow_probability as tfp

ESTIMATORS = ("monte_carlo", "conditional")


@serializable("uwac")
class DropoutCritic(SpaceModel):
    """Q(s, a) with dropout after every hidden layer, also at inference (Sec. 3 of the paper).

    Args:
        hidden: widths of its ReLU layers.
        dropout_rate: dropout rate p; 0: an ordinary critic, whose variance is 0.
        spectral_norm: divides every kernel by its largest singular value, so that Q without
            dropout is Lipschitz with constant `sn_coeff ** layers` in (s, a).
        sn_coeff: factor of the kernels after the division; our extension.
        **keywords: arguments of `Space`, and `name`, `dtype`.

    Input: concatenated observations and actions, [..., D + A]. Output: Q [...], float32, from the
    network without dropout. `sample` draws one mask, `moments` returns mean and variance over
    masks.

    Raises:
        ValueError: see `Space`; a width below 1, a rate outside [0, 1), or a non-positive
            coefficient.
    """

    def __init__(
        self,
        hidden: Widths = (256, 256),
        dropout_rate: Fraction = 0.1,
        spectral_norm: bool = True,
        sn_coeff: Positive = 1.0,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.hidden = tuple(int(width) for width in hidden)
        self.dropout_rate, self.spectral_norm = float(dropout_rate), bool(spectral_norm)
        self.sn_coeff = float(sn_coeff)
        inputs, self.body = self.space.observation_dim + self.space.action_dim, []
        for i, width in enumerate(self.hidden):
            self.body.append(self._layer(width, width**-0.5, 0.1, f"hidden_{i}"))
            self.body[-1].build((None, inputs))
            inputs = width
        self.value = self._layer(1, 3e-3, None, "value")
        self.value.build((None, inputs))
        self.built = True

    def _layer(self, units: int, limit: float, bias: float | None, name: str) -> keras.layers.Layer:
        uniform = lambda: keras.initializers.RandomUniform(-limit, limit)  # noqa: E731
        start = uniform() if bias is None else keras.initializers.Constant(bias)
        kind = SNDense if self.spectral_norm else keras.layers.Dense
        return kind(
            units,
            kernel_initializer=uniform(),
            bias_initializer=start,
            name=name,
            dtype=self.dtype_policy,
        )

    def settle(self) -> None:
        """One power iteration of each spectrally normalised layer: once per training step."""
        for layer in (*self.body, self.value):
            if isinstance(layer, SpectralLayer):
                layer.settle(1)

    def kernels(self) -> list[Tensor]:
        """The effective kernel of each layer, [inputs, units]."""
        if not self.spectral_norm:
            return [ops.convert_to_tensor(layer.kernel) for layer in (*self.body, self.value)]
        return [layer.normalised() * self.sn_coeff for layer in (*self.body, self.value)]

    def input_specs(self) -> list[keras.InputSpec]:
        """Concatenates observations and actions."""
        size = self.space.observation_dim + self.space.action_dim
        return [keras.InputSpec("float32", (None, size))]

    def call(self, x: Tensor) -> Tensor:
        """Q without dropout, [B], of concatenated observations and actions, [B, D + A]."""
        observation, action = self.split(x)
        return self._through(self.joined(observation, action), self.kernels(), None)[0]

    def sample(
        self,
        observation: Tensor,
        action: Tensor,
        seed: int | keras.random.SeedGenerator | None = None,
    ) -> Tensor:
        """Q [B] with one random mask for each row of [B, D] and [B, A]."""
        x = self.joined(observation, action)
        return self._through(x, self.kernels(), lambda shape: self._mask(shape, seed))[0]

    def moments(
        self,
        observation: Tensor,
        action: Tensor,
        samples: int = 100,
        seed: int | keras.random.SeedGenerator | None = None,
        estimator: str = "monte_carlo",
        shared_masks: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of Q over dropout masks.

        `monte_carlo` draws complete masks, as the official code does. `conditional` draws all but
        the last layer's and computes mean and variance over that one in closed form, by the law of
        total variance; for the others, Q's linear approximation in the masks, whose variance is
        known, serves as a control variate. Both are unbiased; `conditional` needs far fewer samples
        for the same accuracy.

        Args:
            observation: [B, D].
            action: [B, A].
            samples: number T of masks per row, at least 2.
            seed: an int (equal masks each time), a `keras.random.SeedGenerator`, or None.
            estimator: one of `ESTIMATORS`.
            shared_masks: whether all rows share masks, which is equally good for each row and
                cheaper.

        Returns:
            Mean [B] and variance [B], float32.
        """
        x, kernels = self.joined(observation, action), self.kernels()
        if not self.dropout_rate:
            mean = self._through(x, kernels, None)[0]
            return mean, ops.zeros_like(mean)

        masks: list[Tensor] = []

        def mask(shape: Sequence[int | Tensor]) -> Tensor:
            rows = 1 if shared_masks else shape[-2]
            own = seed + len(masks) if isinstance(seed, int) else seed
            masks.append(self._mask((samples, rows, shape[-1]), own))
            return masks[-1]

        q, variance = self._through(x, kernels, mask, estimator == "conditional")
        if variance is None:
            return moments_of(q)
        if len(self.hidden) == 1:  # no other masks are left: both are exact
            return q, variance
        return controlled_moments(q, variance, *self._linear(x, kernels, masks))

    def _linear(
        self, x: Tensor, kernels: list[Tensor], masks: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Q's linear part [T, B] in the masks, at the network without masks; its variance."""
        hidden, h = [], x
        for layer, kernel in zip(self.body, kernels, strict=False):
            h = ops.relu(ops.cast(h, "float32") @ ops.cast(kernel, "float32") + layer.bias)
            hidden.append(h)
        slope = ops.squeeze(ops.cast(kernels[-1], "float32"), -1)  # dQ / dh of the last layer
        value, variance = 0.0, 0.0
        for i in range(len(masks) - 1, -1, -1):
            active = ops.cast(hidden[i + 1] > 0, "float32")
            slope = (slope * active) @ ops.transpose(ops.cast(kernels[i + 1], "float32"))
            effect = hidden[i] * slope  # [B, H]
            value = value + ops.sum((masks[i] - 1.0) * effect, -1)
            variance = variance + self.odds * ops.sum(ops.square(effect), -1)
        return value, variance

    @property
    def odds(self) -> float:
        """p / (1 - p), the variance of an element of a mask."""
        return self.dropout_rate / (1.0 - self.dropout_rate)

    @only_on("tensorflow", why="which is a distribution of TensorFlow Probability")
    def distribution(
        self, observation: Tensor, action: Tensor, samples: int = 100
    ) -> tfp.distributions.Normal:
        """Q over masks as a TensorFlow Probability normal distribution [B] with its moments."""
        import tensorflow_probability as tfp

        mean, variance = self.moments(observation, action, samples)
        return tfp.distributions.Normal(mean, ops.sqrt(variance))

    def _mask(
        self, shape: Sequence[int | Tensor], seed: int | keras.random.SeedGenerator | None
    ) -> Tensor:
        """0 with probability p, otherwise 1 / (1 - p)."""
        kept = keras.random.uniform(shape, seed=seed, dtype="float32") >= self.dropout_rate
        return ops.cast(kept, "float32") / (1.0 - self.dropout_rate)

    def _through(
        self,
        x: Tensor,
        kernels: list[Tensor],
        mask: Callable[[Sequence[int | Tensor]], Tensor] | None,
        conditional: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Q [...], or [T, B] with T masks; if conditional, also the variance over the last mask."""
        h, shared = x, None
        for i, (layer, kernel) in enumerate(zip(self.body, kernels, strict=False)):
            h, kernel = (ops.cast(v, self.compute_dtype) for v in (h, kernel))
            h = h @ kernel if shared is None else self._thinned(h, shared, kernel)
            h, shared = ops.relu(h + ops.cast(layer.bias, h.dtype)), None
            last = i == len(self.body) - 1
            if mask is not None and self.dropout_rate and not (conditional and last):
                factors = ops.cast(mask(ops.shape(h)), h.dtype)
                one_for_all = not i and not last and factors.shape[:-1][1:] == (1,)
                if one_for_all and 2 * most_dropped(self.dropout_rate, layer.units) < layer.units:
                    shared = factors  # [T, 1, H], applied within the next product
                else:
                    h = h * factors
        h, kernel = ops.cast(h, "float32"), ops.cast(kernels[-1], "float32")
        q = ops.squeeze(h @ kernel, -1) + ops.cast(self.value.bias, "float32")[0]
        if not conditional:
            return q, None
        return q, self.odds * ops.squeeze(ops.square(h) @ ops.square(kernel), -1)

    def _thinned(self, h: Tensor, masks: Tensor, kernel: Tensor) -> Tensor:
        """(h * mask) @ kernel for T masks shared by all rows, [B, H], [T, 1, H] -> [T, B, ...].

        The product without a mask is computed once, and for each mask only the dropped part, about
        a fraction p of the work.
        """
        gone = ops.cast(ops.equal(masks[:, 0], 0.0), h.dtype)  # [T, H]
        dropped, index = ops.top_k(gone, most_dropped(self.dropout_rate, kernel.shape[0]))
        rows = ops.take(kernel, index, 0) * dropped[..., None]  # [T, K, H'], 0 where kept
        lost = ops.einsum("btk,tkh->tbh", ops.take(h, index, -1), rows)
        return (h @ kernel - lost) / (1.0 - self.dropout_rate)


@functools.cache
def most_dropped(rate: float, units: int) -> int:
    """K such that more than K of the units drop with a probability below 1e-12."""
    tail, k = 0.0, units
    while k > 0:
        tail += math.comb(units, k) * rate**k * (1.0 - rate) ** (units - k)
        if tail > 1e-12:
            break
        k -= 1
    return k
