"""Steps in an environment with TF-Agents' driver and replay buffer. Importing needs tf-agents."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.drivers import dynamic_step_driver
from tf_agents.environments import tf_py_environment
from tf_agents.replay_buffers import tf_uniform_replay_buffer

from tfzoo.data import Transitions
from tfzoo.typing import Tensor
from tfzoo.uwac.agent import as_experience
from tfzoo.uwac.environments import make_environment
from tfzoo.uwac.evaluation import check_environment
from tfzoo.uwac.training import scalars


class Collector:
    """Runs an agent's collect policy in an environment and stores steps in a replay buffer.

    Args:
        agent: an agent from `tfzoo.uwac.training.make_agent`.
        environment: gymnasium's id.
        capacity: number of steps in the buffer; the oldest are overwritten.
        seed: seed of the starts and of draws from the buffer.

    Raises:
        InputError: no such environment, or one whose sizes or limits differ from the agent's.
    """

    def __init__(self, agent: Any, environment: str, capacity: int, seed: int = 0):
        self._agent, self._seed = agent, seed
        self._python = make_environment(environment, 1, seed)
        check_environment(environment, self._python, agent.networks)
        self._environment = tf_py_environment.TFPyEnvironment(self._python)
        self._buffer = tf_uniform_replay_buffer.TFUniformReplayBuffer(
            agent.collect_data_spec, batch_size=1, max_length=capacity
        )
        self._driver = dynamic_step_driver.DynamicStepDriver(
            self._environment, agent.collect_policy, [self._buffer.add_batch], num_steps=1
        )
        self._run = tf.function(self._driver.run)
        self._time_step = self._environment.reset()

    def steps(self, count: int) -> None:
        """Takes steps in the environment, which restarts after an episode's end."""
        for _ in range(count):
            self._time_step, _ = self._run(time_step=self._time_step)

    def transitions(self) -> Transitions:
        """All steps in the buffer, in order, except those between episodes."""
        frames = tf.nest.map_structure(lambda x: np.asarray(x)[0], self._buffer.gather_all())
        inner = ~frames.is_last()[:-1]
        rows: dict[str, Any] = {
            "observation": frames.observation[:-1],
            "action": frames.action[:-1],
            "reward": frames.reward[:-1],
            "discount": frames.discount[:-1],
            "next_observation": frames.observation[1:],
        }
        return Transitions(**{name: array[inner] for name, array in rows.items()})

    def batches(self, size: int) -> Any:
        """An iterator over batches of the buffer's pairs of frames, `Trajectory` [size, 2, ...]."""
        drawn = self._buffer.as_dataset(sample_batch_size=size, num_steps=2)
        return iter(drawn.map(lambda trajectory, _: trajectory))

    def close(self) -> None:
        """Closes the environment."""
        self._python.close()


class OnlineLearner:
    """Gradient steps on a collector's buffer, optionally mixed with recorded transitions.

    Args:
        agent: a UWAC or BEAR agent.
        collector: a collector with at least one step in its buffer.
        size: number of transitions per batch from the buffer.
        recorded: batches of `Transitions`' arrays to add, or None.
    """

    def __init__(self, agent: Any, collector: Collector, size: int, recorded: Any = None):
        self._fresh = collector.batches(size)
        self._recorded = None if recorded is None else iter(recorded)

        @tf.function(autograph=False)
        def one(fresh: Any, batch: dict[str, Tensor] | None) -> dict[str, Tensor]:
            at, action, after = agent._as_transition(fresh)[:3]
            rows = {
                "observation": at.observation,
                "action": action.action,
                "reward": after.reward,
                "discount": after.discount,
                "next_observation": after.observation,
            }
            # a pair whose first frame ends an episode is not a transition
            weights = tf.cast(tf.logical_not(at.is_last()), tf.float32)
            if batch is not None:
                rows = {name: tf.concat([rows[name], batch[name]], 0) for name in rows}
                weights = tf.concat([weights, tf.ones_like(batch["reward"])], 0)
            return scalars(agent._train(as_experience(rows, agent), weights))

        self._one = one

    def step(self) -> dict[str, float]:
        """Makes one gradient step; returns its scalars."""
        batch = None if self._recorded is None else next(self._recorded)
        return {name: float(v) for name, v in self._one(next(self._fresh), batch).items()}
