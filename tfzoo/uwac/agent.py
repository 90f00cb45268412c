"""BEAR and UWAC as TF-Agents agents. Importing this file needs tf-agents."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tf_agents.agents import data_converter, tf_agent
from tf_agents.agents.behavioral_cloning import behavioral_cloning_agent
from tf_agents.policies import policy_saver
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step, trajectory
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.files import aside, expanded
from tfzoo.serving.loading import without
from tfzoo.typing import Tensor
from tfzoo.uwac import mathematics
from tfzoo.uwac.critic import DropoutCritic
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.policy import ActorNetwork, MaxQPolicy, make_collect_policy

LOG_ALPHA = (-5.0, 10.0)
"""Clip of the multiplier's logarithm (official code)."""

BearLossInfo = namedtuple(
    "BearLossInfo",
    "critic_loss actor_loss vae_loss alpha mmd q target target_max variance weight actor_weight",
)
"""Scalars of one step: three losses, the multiplier, and means over the batch (`target_max` is the
largest target)."""


class BearAgent(tf_agent.TFAgent):
    """Bootstrapping error accumulation reduction (BEAR, arXiv:1906.00949), offline.

    A step computes all gradients before applying any. `train` takes `Trajectory` batches [B, 2,
    ...] or `Transition`s [B, ...]; pairs across the boundary of two episodes are excluded from the
    losses.

    Args:
        time_step_spec: TF-Agents' time step spec.
        action_spec: bounded spec, whose limits must equal the networks'.
        networks: the networks to train, with their settings.
        train_step_counter: default: a new counter.
        name: name of the module.

    Raises:
        ValueError: the specs do not match the networks.
    """

    @only_on("tensorflow", why="which TF-Agents trains")
    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.BoundedTensorSpec,
        networks: ActorCritic,
        train_step_counter: tf.Variable | None = None,
        name: str | None = None,
    ):
        tf.Module.__init__(self, name=name or type(self).__name__)
        check_specs(time_step_spec.observation, action_spec, networks)
        self.networks, self.settings = networks, networks.settings
        s = self.settings
        adam = keras.optimizers.Adam
        self.optimizers = {
            "vae": (adam(s.imitator_learning_rate), networks.vae.trainable_variables),
            "critic": (
                adam(s.critic_learning_rate),
                networks.q1.trainable_variables + networks.q2.trainable_variables,
            ),
            "actor": (adam(s.actor_learning_rate), networks.actor.trainable_variables),
            "alpha": (adam(s.alpha_learning_rate), [networks.log_alpha]),
        }
        for optimizer, variables in self.optimizers.values():
            optimizer.build(variables)
        actor = ActorNetwork(time_step_spec.observation, action_spec, networks.actor)
        super().__init__(
            time_step_spec,
            action_spec,
            policy=MaxQPolicy(time_step_spec, action_spec, networks),
            collect_policy=make_collect_policy(time_step_spec, action_spec, actor),
            train_sequence_length=2,
            train_step_counter=tf.Variable(0, dtype=tf.int64)
            if train_step_counter is None
            else train_step_counter,
        )
        self._as_transition = data_converter.AsTransition(self.data_context, squeeze_time_dim=True)

    def weights_of(self, variance: Tensor) -> Tensor:
        """Ones, as BEAR trusts all targets equally."""
        return ops.ones_like(variance)

    def moments(
        self, critic: DropoutCritic, observation: Tensor, action: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of a critic over dropout masks."""
        s = self.settings
        seed = self.networks.seed_generator
        return critic.moments(
            observation, action, s.n_mc_samples, seed, s.estimator, s.shared_masks
        )

    def _initialize(self) -> None:
        for target, source in self.networks.pairs():
            for weight, other in zip(target.weights, source.weights, strict=True):
                weight.assign(other)

    def target(self, reward: Tensor, discount: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """y [B] and the uncertainty V [B]: the largest sum of both variances over candidates."""
        n, s = self.networks, self.settings
        actions, _ = n.actor.sample(following, s.n_target_samples, n.seed_generator)
        many = ops.repeat(following, s.n_target_samples, 0)
        rows = ops.reshape(actions, (-1, n.space.action_dim))
        shape = (-1, s.n_target_samples)
        (m1, v1), (m2, v2) = (self.moments(q, many, rows) for q, _ in n.pairs())
        m1, m2 = ops.reshape(m1, shape), ops.reshape(m2, shape)
        y = mathematics.bellman_target(m1, m2, reward, s.gamma * discount, s.lam)
        return y, ops.max(ops.reshape(v1 + v2, shape), -1)

    def _train(self, experience: Any, weights: Tensor | None = None) -> tf_agent.LossInfo:
        n = self.networks
        for critic in (n.q1, n.q2, n.target_q1, n.target_q2):
            critic.settle()
        with tf.GradientTape(persistent=True) as tape:
            losses, info = self._losses(experience, weights)
        gradients = {
            name: tape.gradient(losses[name], [v.value for v in variables])
            for name, (_, variables) in self.optimizers.items()
        }
        for name, (optimizer, variables) in self.optimizers.items():
            optimizer.apply(gradients[name], variables)
        n.log_alpha.assign(ops.clip(n.log_alpha, *LOG_ALPHA))
        self._follow()
        self.train_step_counter.assign_add(1)
        return tf_agent.LossInfo(losses["critic"] + losses["actor"] + losses["vae"], info)

    def _loss(
        self, experience: Any, weights: Tensor | None = None, training: bool = False
    ) -> tf_agent.LossInfo:
        del training
        losses, info = self._losses(experience, weights)
        return tf_agent.LossInfo(losses["critic"] + losses["actor"] + losses["vae"], info)

    def _losses(
        self, experience: Any, weights: Tensor | None
    ) -> tuple[dict[str, Tensor], BearLossInfo]:
        """The loss of each part, whose gradient is taken only for that part's variables."""
        n = self.networks
        at, action, after = self._as_transition(experience)[:3]
        observation, action = at.observation, action.action
        valid = ops.cast(ops.logical_not(at.is_last()), "float32")
        valid = valid if weights is None else valid * weights
        mean = lambda x: ops.sum(x * valid) / ops.maximum(ops.sum(valid), 1.0)  # noqa: E731

        y, variance = self.target(after.reward, after.discount, after.observation)
        critic, q = self.critic_losses(observation, action, y, variance)
        value, apart, spread = self.actor_loss(observation)
        alpha = ops.exp(n.log_alpha)
        gap = apart - self.settings.alpha_threshold
        losses = {
            "vae": mean(self.behaviour_loss(observation, action)),
            "critic": mean(critic),
            "actor": mean(value + ops.stop_gradient(alpha) * gap),
            "alpha": -alpha * ops.stop_gradient(mean(gap)),
        }
        info = BearLossInfo(
            critic_loss=losses["critic"],
            actor_loss=losses["actor"],
            vae_loss=losses["vae"],
            alpha=alpha,
            mmd=mean(apart),
            q=mean(q),
            target=mean(y),
            target_max=ops.max(y),
            variance=mean(variance),
            weight=mean(self.weights_of(variance)),
            actor_weight=mean(self.weights_of(spread)),
        )
        return losses, info

    def behaviour_loss(self, observation: Tensor, action: Tensor) -> Tensor:
        """The behaviour model's squared error [B], and its KL averaged over the batch."""
        n, s = self.networks, self.settings
        rebuilt, mean, log_std = n.vae.reconstruct(observation, action, n.seed_generator)
        error = ops.mean(ops.square(rebuilt - n.space.inner(action)), -1)
        return error + s.vae_kl_weight * mathematics.gaussian_kl(mean, log_std)

    def critic_losses(
        self, observation: Tensor, action: Tensor, y: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The sum of both critics' weighted squared errors [B], and their mean Q [B]."""
        n, s = self.networks, self.settings
        y, variance = ops.stop_gradient(y), ops.stop_gradient(variance)
        w = self.weights_of(variance) if s.weight_critic else ops.ones_like(variance)
        q1, q2 = (q.sample(observation, action, n.seed_generator) for q in (n.q1, n.q2))
        loss = w**s.weight_power * (ops.square(q1 - y) + ops.square(q2 - y))
        if s.q_penalty:
            loss = loss + s.q_penalty * (ops.relu(q1) + ops.relu(q2)) * variance
        return loss, 0.5 * (q1 + q2)

    def actor_loss(self, observation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-w Q of one action [B], 0 while warming up; the MMD [B]; the action's Var[Q] [B].

        No gradient of the actor reaches critics or behaviour model, as each part's gradient is
        taken for its own variables.
        """
        n, s = self.networks, self.settings
        k = s.n_mmd_action_samples
        behaviour = ops.stop_gradient(n.vae.generate(observation, k, n.seed_generator))
        actions, pre = n.actor.sample(observation, k, n.seed_generator)
        apart = mathematics.mmd(behaviour, pre, s.mmd_kernel, s.mmd_sigma)
        (m1, v1), (m2, v2) = (self.moments(q, observation, actions[:, 0]) for q in (n.q1, n.q2))
        w = self.weights_of(v1 + v2) if s.weight_actor else ops.ones_like(v1)
        started = ops.cast(self.train_step_counter >= s.warmup_steps, "float32")
        return -started * w * ops.minimum(m1, m2), apart, ops.stop_gradient(v1 + v2)

    def _follow(self) -> None:
        """Moves the targets towards the critics, except for u and v of the spectral norm."""
        tau = self.settings.tau
        for target, source in self.networks.pairs():
            for variable, other in zip(target.weights, source.weights, strict=True):
                if other.trainable:
                    variable.assign(variable + tau * (other.value - variable))


class UwacAgent(BearAgent):
    """BEAR with losses weighted by the critics' certainty (arXiv:2105.08140).

    Var[Q] over dropout masks at (s', a') weights the critics' errors, at (s, a) the actor's value.
    """

    def weights_of(self, variance: Tensor) -> Tensor:
        """`mathematics.uncertainty_weight` with the agent's settings."""
        s = self.settings
        return mathematics.uncertainty_weight(variance, s.weight_fn, s.beta, *s.weight_clip)


class BehaviorCloningAgent(behavioral_cloning_agent.BehavioralCloningAgent):
    """TF-Agents' behavioural cloning of the actor's mean, with the squared error.

    Only the gradient step is ours: TF-Agents' does not watch Keras 3 variables.

    Args:
        time_step_spec: TF-Agents' time step spec.
        action_spec: bounded spec, whose limits must equal the networks'.
        networks: the networks, of which the actor is trained.
        train_step_counter: default: a new counter.
        name: name of the module.

    Raises:
        ValueError: the specs do not match the networks.
    """

    @only_on("tensorflow", why="which TF-Agents trains")
    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.BoundedTensorSpec,
        networks: ActorCritic,
        train_step_counter: tf.Variable | None = None,
        name: str | None = None,
    ):
        check_specs(time_step_spec.observation, action_spec, networks)
        self.networks = networks
        adam = keras.optimizers.Adam(networks.settings.actor_learning_rate)
        actor = networks.actor
        variables = [v for x in (*actor.body, actor.mean) for v in x.trainable_variables]
        adam.build(variables)
        self.optimizers = {"actor": (adam, variables)}
        super().__init__(
            time_step_spec,
            action_spec,
            ActorNetwork(time_step_spec.observation, action_spec, actor),
            adam,
            loss_fn=self._squared_error,
            train_step_counter=tf.Variable(0, dtype=tf.int64)
            if train_step_counter is None
            else train_step_counter,
            name=name,
        )

    def _squared_error(self, experience: Any, training: bool = False) -> Tensor:
        del training
        inner = self.networks.space.inner
        error = inner(self.networks(experience.observation)) - inner(experience.action)
        return ops.mean(ops.square(error), -1)

    def _train(self, experience: Any, weights: Tensor | None = None) -> tf_agent.LossInfo:
        (optimizer, variables) = self.optimizers["actor"]
        with tf.GradientTape() as tape:
            info = self._loss(experience, weights, training=True)
        optimizer.apply(tape.gradient(info.loss, [v.value for v in variables]), variables)
        self.train_step_counter.assign_add(1)
        return info


AGENTS = {"uwac": UwacAgent, "bear": BearAgent, "bc": BehaviorCloningAgent}


def check_specs(
    observation: tf.TensorSpec, action: tensor_spec.BoundedTensorSpec, networks: ActorCritic
) -> None:
    """Checks that TF-Agents' specs match the networks.

    Raises:
        ValueError: different shapes or action limits.
    """
    space = networks.space
    for name, spec, size in (
        ("observation", observation, space.observation_dim),
        ("action", action, space.action_dim),
    ):
        if tuple(spec.shape) != (size,):
            raise ValueError(
                f"{name} spec: shape {list(spec.shape)} must be [{size}], as in the networks"
            )
    for name, mine in (("minimum", space.action_low), ("maximum", space.action_high)):
        theirs = getattr(action, name)
        if not ops.convert_to_numpy(ops.isclose(ops.convert_to_tensor(theirs), mine)).all():
            raise ValueError(
                f"action spec: {name} {theirs} must be {mine.tolist()}, as in the networks"
            )


def specs_of(networks: ActorCritic) -> tuple[ts.TimeStep, tensor_spec.BoundedTensorSpec]:
    """TF-Agents' specs of a time step and an action, from the networks."""
    space = networks.space
    observation = tf.TensorSpec([space.observation_dim], tf.float32, "observation")
    limits = space.action_low, space.action_high
    action = tensor_spec.BoundedTensorSpec([space.action_dim], tf.float32, *limits, "action")
    return ts.time_step_spec(observation), action


def as_experience(batch: dict[str, Tensor], agent: tf_agent.TFAgent) -> Any:
    """Converts a batch of `tfzoo.data.Transitions`' arrays for an agent's `train`.

    A `Transition` of [B, ...], or, for behavioural cloning, a `Trajectory` of [B, ...].
    """
    count = tf.shape(batch["reward"])[0]
    mid, one = tf.fill([count], ts.StepType.MID), tf.ones([count])
    if isinstance(agent, BehaviorCloningAgent):
        return trajectory.Trajectory(
            mid, batch["observation"], batch["action"], (), mid, batch["reward"], batch["discount"]
        )
    return trajectory.Transition(
        ts.TimeStep(mid, tf.zeros([count]), one, batch["observation"]),
        policy_step.PolicyStep(batch["action"], (), ()),
        ts.TimeStep(mid, batch["reward"], batch["discount"], batch["next_observation"]),
    )


def save_policy(agent: tf_agent.TFAgent, path: str | Path) -> None:
    """Writes an agent's policy with TF-Agents' `PolicySaver`, complete or not at all.

    Raises:
        InputError: `path` exists.
    """
    path = Path(expanded(path))
    if path.exists():
        raise InputError(f"path={str(path)!r}: already exists, must be new")
    with aside(path) as hidden:
        with without("absl", "Could not serialize policy.distribution", "Sanitizing to `arg_0_"):
            saver = policy_saver.PolicySaver(agent.policy, train_step=agent.train_step_counter)
            saver.save(str(hidden))
        os.rename(hidden, path)
