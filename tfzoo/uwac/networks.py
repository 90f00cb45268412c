"""The actor and the behaviour model of UWAC and BEAR; the critic is in `critic.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from tfzoo.config import Count, Widths
from tfzoo.environment import only_on
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Tensor
from tfzoo.uwac.mathematics import tanh_log_prob
from tfzoo.uwac.spaces import Space

if TYPE_CHECKING:
    import tensorflow_probability as tfp

LOG_STD = (-5.0, 2.0)
"""Clip of the actor's log standard deviation, in the official code."""
VAE_LOG_STD = (-4.0, 15.0)
LATENT_CLIP = 0.5
"""Latents of generated actions are clipped to +-0.5, so that these stay close to the data."""


def dense(units: int, name: str, dtype: Any) -> keras.layers.Dense:
    """A layer with the official code's initialisation: U(+-1/sqrt(units)), biases 0.1."""
    limit = units**-0.5
    return keras.layers.Dense(
        units,
        "relu",
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.Constant(0.1),
        name=name,
        dtype=dtype,
    )


class SpaceModel(ZooModel):
    """A model with its task's `Space`; base of actor, critic and behaviour model."""

    def __init__(
        self,
        observation_dim: Count,
        action_dim: Count,
        action_low: float | Sequence[float] = -1.0,
        action_high: float | Sequence[float] = 1.0,
        observation_mean: float | Sequence[float] = 0.0,
        observation_std: float | Sequence[float] = 1.0,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        limits, statistics = (action_low, action_high), (observation_mean, observation_std)
        self.space = Space(observation_dim, action_dim, *limits, *statistics)

    def input_specs(self) -> list[keras.InputSpec]:
        """Observations, float32 [B, D]."""
        return [keras.InputSpec("float32", (None, self.space.observation_dim))]

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[..., D + A] -> observations [..., D] and actions [..., A]."""
        at = self.space.observation_dim
        return x[..., :at], x[..., at:]

    def joined(self, observation: Tensor, action: Tensor) -> Tensor:
        """The input of a network's first layer, from observations and actions, [..., D + A]."""
        inner = ops.cast(self.space.inner(action), keras.config.floatx())
        return ops.concatenate([self.space.observation(observation), inner], -1)


@serializable("uwac")
class GaussianActor(SpaceModel):
    """The policy: a tanh-squashed Gaussian, scaled to the action limits.

    Args:
        hidden: widths of its ReLU layers.
        **keywords: arguments of `Space`, and `name`, `dtype`.

    Input: observations [..., D]. Output: mean and log standard deviation of u, each [..., A],
    float32; the action is tanh(u) scaled to the limits. Log deviations are clipped to [-5, 2].

    Raises:
        ValueError: see `Space`; or a width below 1.
    """

    def __init__(self, hidden: Widths = (256, 256), **keywords: Any):
        super().__init__(**keywords)
        self.hidden = tuple(int(width) for width in hidden)
        kind = self.dtype_policy
        self.body = [dense(width, f"hidden_{i}", kind) for i, width in enumerate(self.hidden)]
        tiny = keras.initializers.RandomUniform(-1e-3, 1e-3)
        head = lambda name: keras.layers.Dense(  # noqa: E731
            self.space.action_dim,
            kernel_initializer=tiny,
            bias_initializer=tiny,
            name=name,
            dtype="float32",
        )
        self.mean, self.log_std = head("mean"), head("log_std")
        build_chain([*self.body, self.mean], self.space.observation_dim)
        self.log_std.build((None, self.hidden[-1]))
        self.built = True

    def call(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before tanh."""
        h = self.space.observation(observation)
        for layer in self.body:
            h = layer(h)
        return self.mean(h), ops.clip(self.log_std(h), *LOG_STD)

    def squash(self, pre: Tensor) -> Tensor:
        """u -> action in the user's units."""
        return self.space.outer(ops.tanh(pre))

    def sample(
        self, observation: Tensor, n: int, seed: int | keras.random.SeedGenerator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples actions and their u, each [..., n, A], with reparametrised gradients."""
        mean, log_std = self(observation)
        shape = (*ops.shape(mean)[:-1], n, self.space.action_dim)
        noise = keras.random.normal(shape, seed=seed, dtype="float32")
        pre = ops.expand_dims(mean, -2) + ops.expand_dims(ops.exp(log_std), -2) * noise
        return self.squash(pre), pre

    def log_prob(self, observation: Tensor, pre: Tensor) -> Tensor:
        """Log-density [...] of the actions with u = `pre` [..., A], in the user's units."""
        halves = (self.space.action_high - self.space.action_low) / 2.0
        scale = ops.sum(ops.log(ops.convert_to_tensor(halves)))
        return tanh_log_prob(pre, *self(observation)) - scale

    @only_on("tensorflow", why="which is a distribution of TensorFlow Probability")
    def distribution(self, observation: Tensor) -> tfp.distributions.Distribution:
        """The policy at [..., D] as a TensorFlow Probability distribution over actions [..., A]."""
        import tensorflow_probability as tfp

        mean, log_std = self(observation)
        low, high = self.space.action_low, self.space.action_high
        to_limits = tfp.bijectors.Chain(
            [tfp.bijectors.Shift((low + high) / 2), tfp.bijectors.Scale((high - low) / 2)]
            + [tfp.bijectors.Tanh()]
        )
        normal = tfp.distributions.MultivariateNormalDiag(mean, ops.exp(log_std))
        return tfp.distributions.TransformedDistribution(normal, to_limits)


@serializable("uwac")
class BehaviorVAE(SpaceModel):
    """BEAR's model of the data's actions: a conditional variational auto-encoder.

    Args:
        units: width of its two encoder and two decoder layers.
        **keywords: arguments of `Space`, and `name`, `dtype`.

    Input: concatenated observations and actions, [..., D + A]. Output: the action reconstructed
    from the latent's mean, in [-1, 1], and the latent's mean and log standard deviation, each
    [..., 2 A], float32.

    Raises:
        ValueError: see `Space`; or a width below 1.
    """

    def __init__(self, units: Count = 750, **keywords: Any):
        super().__init__(**keywords)
        self.units = int(units)
        d, a = self.space.observation_dim, self.space.action_dim
        kind = self.dtype_policy
        self.encoder = [dense(units, f"encoder_{i}", kind) for i in range(2)]
        self.mean = keras.layers.Dense(2 * a, name="mean", dtype="float32")
        self.log_std = keras.layers.Dense(2 * a, name="log_std", dtype="float32")
        self.decoder = [dense(units, f"decoder_{i}", kind) for i in range(2)]
        self.out = keras.layers.Dense(a, name="action", dtype="float32")
        build_chain([*self.encoder, self.mean], d + a)
        self.log_std.build((None, units))
        build_chain([*self.decoder, self.out], d + 2 * a)
        self.built = True

    def encode(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the latent, each [..., 2 A]."""
        h = self.joined(observation, action)
        for layer in self.encoder:
            h = layer(h)
        return self.mean(h), ops.clip(self.log_std(h), *VAE_LOG_STD)

    def decode(self, observation: Tensor, latent: Tensor) -> Tensor:
        """The u of an action, [..., A]; the action is tanh(u)."""
        h = ops.concatenate([self.space.observation(observation), latent], -1)
        for layer in self.decoder:
            h = layer(h)
        return self.out(h)

    def reconstruct(
        self,
        observation: Tensor,
        action: Tensor,
        seed: int | keras.random.SeedGenerator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The action in [-1, 1] rebuilt from a sampled latent, and the latent's parameters."""
        mean, log_std = self.encode(observation, action)
        noise = keras.random.normal(ops.shape(mean), seed=seed, dtype="float32")
        return ops.tanh(self.decode(observation, mean + ops.exp(log_std) * noise)), mean, log_std

    def generate(
        self, observation: Tensor, n: int, seed: int | keras.random.SeedGenerator | None = None
    ) -> Tensor:
        """The u of n actions that are plausible under the data at [B, D]: [B, n, A]."""
        shape = (ops.shape(observation)[0], n, 2 * self.space.action_dim)
        latent = keras.random.normal(shape, seed=seed, dtype="float32")
        latent = ops.clip(latent, -LATENT_CLIP, LATENT_CLIP)
        many = ops.repeat(ops.expand_dims(observation, 1), n, 1)
        return self.decode(many, latent)

    @only_on("tensorflow", why="which is a distribution of TensorFlow Probability")
    def latent(self, observation: Tensor, action: Tensor) -> Tensor:
        """The latent as a TensorFlow Probability distribution over [..., 2 A]."""
        import tensorflow_probability as tfp

        mean, log_std = self.encode(observation, action)
        return tfp.distributions.MultivariateNormalDiag(mean, ops.exp(log_std))

    def input_specs(self) -> list[keras.InputSpec]:
        """Concatenated observations and actions."""
        size = self.space.observation_dim + self.space.action_dim
        return [keras.InputSpec("float32", (None, size))]

    def call(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction through the latent's mean, without noise."""
        observation, action = self.split(x)
        mean, log_std = self.encode(observation, action)
        return ops.tanh(self.decode(observation, mean)), mean, log_std


def build_chain(layers: Sequence[keras.layers.Layer], inputs: int) -> None:
    """Builds consecutive layers."""
    for layer in layers:
        layer.build((None, inputs))
        inputs = layer.units
