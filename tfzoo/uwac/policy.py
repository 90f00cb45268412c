"""TF-Agents wrappers of the networks: a thin `Network` around the actor, and the policies."""

from __future__ import annotations

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from tf_agents.distributions import utils as distribution_utils
from tf_agents.networks import network
from tf_agents.policies import actor_policy, tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from tfzoo.environment import only_on
from tfzoo.typing import Tensor
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.networks import GaussianActor


class ActorNetwork(network.Network):
    """`GaussianActor` as a TF-Agents network that returns distributions over actions."""

    def __init__(
        self,
        input_tensor_spec: types.NestedTensorSpec,
        action_spec: types.NestedTensorSpec,
        actor: GaussianActor,
        name: str = "Actor",
    ):
        super().__init__(input_tensor_spec=input_tensor_spec, state_spec=(), name=name)
        self._action_spec, self.actor = action_spec, actor

    @property
    def variables(self) -> list[tf.Variable]:
        """The actor's variables, as TensorFlow variables."""
        return [v.value for v in self.actor.variables]

    def call(
        self,
        observation: Tensor,
        step_type: Tensor | None = None,
        network_state: types.NestedTensor = (),
        training: bool = False,
    ) -> tuple[tfp.distributions.Distribution, types.NestedTensor]:
        """A `SquashToSpecNormal` over actions."""
        del step_type, training
        mean, log_std = self.actor(observation)
        normal = tfp.distributions.MultivariateNormalDiag(mean, tf.exp(log_std))
        return distribution_utils.SquashToSpecNormal(normal, self._action_spec), network_state


def make_collect_policy(
    time_step_spec: ts.TimeStep, action_spec: types.NestedTensorSpec, actor: ActorNetwork
) -> tf_policy.TFPolicy:
    """A policy that samples from the actor."""
    return actor_policy.ActorPolicy(time_step_spec, action_spec, actor_network=actor)


class MaxQPolicy(tf_policy.TFPolicy):
    """Samples N actions from the actor and takes the one with the largest mean of Q1."""

    @only_on("tensorflow", why="which TF-Agents runs")
    def __init__(
        self,
        time_step_spec: ts.TimeStep,
        action_spec: types.NestedTensorSpec,
        networks: ActorCritic,
        name: str = "MaxQPolicy",
    ):
        self._networks = networks
        self._seeds = keras.random.SeedGenerator(networks.seed + 1)
        self._seed_state = self._seeds.state.value  # tracked, so that PolicySaver finds it
        super().__init__(time_step_spec, action_spec, name=name)

    def _variables(self) -> list[tf.Variable]:
        n = self._networks
        return [v.value for v in (*n.actor.variables, *n.q1.variables, self._seeds.state)]

    def _action(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor, seed: types.Seed
    ) -> policy_step.PolicyStep:
        observation, n = time_step.observation, self._networks
        shape = (tf.shape(observation)[0], n.settings.n_action_samples, n.space.action_dim)
        if seed is None:
            noise = keras.random.normal(shape, dtype="float32", seed=self._seeds)
        else:
            words = tf.reshape(tf.cast(seed, tf.int32), [-1])  # one number or two
            noise = tf.random.stateless_normal(shape, tf.concat([words, words], 0)[:2])
        action = n.best_action(observation, noise)
        return policy_step.PolicyStep(action, policy_state, ())

    def _distribution(
        self, time_step: ts.TimeStep, policy_state: types.NestedTensor
    ) -> policy_step.PolicyStep:
        raise NotImplementedError("MaxQPolicy has no density; collect_policy has one")
