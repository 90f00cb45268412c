"""All parts of an offline actor-critic in one model, and how it acts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import keras
from keras import ops

from tfzoo.config import OneOf
from tfzoo.registry import serializable
from tfzoo.typing import Tensor
from tfzoo.uwac.critic import DropoutCritic
from tfzoo.uwac.mathematics import uncertainty_weight
from tfzoo.uwac.networks import BehaviorVAE, GaussianActor, SpaceModel
from tfzoo.uwac.settings import ALGORITHMS, AgentSettings


@serializable("uwac")
class ActorCritic(SpaceModel):
    """Actor, twin critics, their targets, behaviour model and Lagrange multiplier.

    Targets start as copies of the critics (TF-Agents' convention; in the official code they start
    from separate weights).

    Args:
        settings: sizes, losses and rates, an `AgentSettings` or a dict of its fields.
        algorithm: `uwac`, `bear`, or `bc`, which trains only the actor and acts by its mean.
        seed: seed of random draws in training.
        data_version: full name of the training data, for the record.
        **keywords: arguments of `Space`, and `name`, `dtype`.

    Input: observations [B, D]. Output: actions [B, A] of the actor's mean; `best_action` is the
    paper's policy.

    Attributes:
        actor: a `GaussianActor`.
        q1, q2: `DropoutCritic`s.
        target_q1, target_q2: slowly following copies of the critics.
        vae: a `BehaviorVAE`.
        log_alpha: log of the MMD's multiplier.
        seed_generator: source of random draws in training.

    Raises:
        ValueError: see its parts; for the settings an `InputError`, a subclass.
    """

    def __init__(
        self,
        settings: AgentSettings | dict[str, Any] | None = None,
        algorithm: Annotated[str, OneOf(*ALGORITHMS)] = "uwac",
        seed: int = 0,
        data_version: str = "",
        **keywords: Any,
    ):
        super().__init__(**keywords)
        if not isinstance(settings, AgentSettings):
            settings = AgentSettings(**(settings or {}))
        self.settings, self.algorithm = settings, algorithm
        self.arguments.settings = asdict(settings)
        self.seed, self.data_version = int(seed), str(data_version)
        s, dtype, space = settings, {"dtype": self.dtype_policy}, vars(self.space.arguments)
        self.actor = GaussianActor(s.hidden, name="actor", **space, **dtype)

        def critic(name: str) -> DropoutCritic:
            return DropoutCritic(
                s.hidden, s.dropout_rate, s.spectral_norm, s.sn_coeff, name=name, **space, **dtype
            )

        self.q1, self.q2 = critic("q1"), critic("q2")
        self.target_q1, self.target_q2 = critic("target_q1"), critic("target_q2")
        for target, source in self.pairs():
            target.trainable = False
            for weight, other in zip(target.weights, source.weights, strict=True):
                weight.assign(ops.copy(other))  # on JAX the array would be shared
        self.vae = BehaviorVAE(s.vae_units, name="vae", **space, **dtype)
        self.log_alpha = self.add_weight((), "zeros", name="log_alpha", autocast=False)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def compile(self, *arguments: Any, **keywords: Any) -> None:
        """Raises ValueError, as this model has no Keras loss."""
        raise ValueError(self._untrainable("compile"))

    def get_compile_config(self) -> None:
        """None, as there is nothing to restore."""
        return None

    def fit(self, *arguments: Any, **keywords: Any) -> Any:
        """Raises ValueError; see `compile`."""
        raise ValueError(self._untrainable("fit"))

    def evaluate(self, *arguments: Any, **keywords: Any) -> Any:
        """Raises ValueError; see `compile`."""
        raise ValueError(self._untrainable("evaluate"))

    def _untrainable(self, name: str) -> str:
        return (
            f"{type(self).__name__}.{name}: it has no Keras loss; an agent (tfzoo.uwac.UwacAgent, "
            "`tfzoo train`) trains it, and `tfzoo evaluate` evaluates it in its environment"
        )

    def pairs(self) -> tuple[tuple[DropoutCritic, DropoutCritic], ...]:
        """Each target with its source."""
        return (self.target_q1, self.q1), (self.target_q2, self.q2)

    def call(self, observation: Tensor) -> Tensor:
        """The action of the actor's mean."""
        return self.actor.squash(self.actor(observation)[0])

    def best_action(
        self, observation: Tensor, noise: Tensor, seed: int | keras.random.SeedGenerator | None = 0
    ) -> Tensor:
        """The one of several sampled actions with the largest mean of Q1 (official code).

        For `bc`, the actor's mean.

        Args:
            observation: [B, D].
            noise: [B, N, A], standard normal.
            seed: seed of the mean's `n_mc_samples` dropout masks, see `DropoutCritic.moments`; the
                masks are the same for all rows, and the last layer's average is exact.

        Returns:
            [B, A].
        """
        if self.algorithm == "bc":
            return self(observation)
        mean, log_std = self.actor(observation)
        pre = ops.expand_dims(mean, 1) + ops.expand_dims(ops.exp(log_std), 1) * noise
        actions = self.actor.squash(pre)  # [B, N, A]
        many = ops.repeat(observation, noise.shape[1], 0)
        rows = ops.reshape(actions, (-1, self.space.action_dim))
        samples = self.settings.n_mc_samples
        q, _ = self.q1.moments(many, rows, samples, seed, "conditional", shared_masks=True)
        best = ops.argmax(ops.reshape(q, (-1, noise.shape[1])), -1)
        return ops.squeeze(ops.take_along_axis(actions, best[:, None, None], 1), 1)

    def weights_of(self, variance: Tensor) -> Tensor:
        """UWAC's weights for uncertainties; 1 for the other algorithms."""
        s = self.settings
        if self.algorithm != "uwac":
            return ops.ones_like(variance)
        return uncertainty_weight(variance, s.weight_fn, s.beta, *s.weight_clip)
