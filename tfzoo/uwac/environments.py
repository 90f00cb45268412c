"""Environments: the two embedded tasks for gymnasium, and any gymnasium task for TF-Agents.

Importing this file needs tf-agents and gymnasium, and registers `tfzoo/PointMass-v0` and
`tfzoo/Pendulum-v0`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
from typing_extensions import override

from tfzoo.config import check
from tfzoo.data.control.tasks import PENDULUM, POINT_MASS, TASKS, ControlTask
from tfzoo.errors import InputError


def _spaces(task: ControlTask) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    observation = gymnasium.spaces.Box(-np.inf, np.inf, (task.observations,), np.float32)
    return observation, gymnasium.spaces.Box(-1.0, 1.0, (task.actions,), np.float32)


class ControlEnv(gymnasium.Env):
    """A `tfzoo.data.control.tasks` task as a gymnasium environment, one episode at a time."""

    metadata = {"render_modes": []}

    def __init__(self, task: str):
        self.task = TASKS[task]
        self.observation_space, self.action_space = _spaces(self.task)

    @override
    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        rng = np.random.RandomState(self.np_random.integers(2**31))
        self._state = self.task.start(rng, 1)
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step; the time limit is counted by gymnasium's wrapper."""
        action = np.clip(np.asarray(action, "float64").reshape(1, -1), -1, 1)
        self._state, reward = self.task.step(self._state, action)
        return self._observation(), float(reward[0]), False, False, {}

    def _observation(self) -> np.ndarray:
        return self.task.observe(self._state)[0].astype("float32")


class ControlVectorEnv(VectorEnv):
    """Many parallel episodes, with one numpy call per step; all end together."""

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, task: str, num_envs: int = 1, max_episode_steps: int | None = None):
        self.task, self.num_envs = TASKS[task], num_envs
        self.horizon = max_episode_steps or self.task.horizon
        self.single_observation_space, self.single_action_space = _spaces(self.task)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @override
    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        rng = np.random.RandomState(self.np_random.integers(2**31))
        self._state, self._time = self.task.start(rng, self.num_envs), 0
        return self._observations(), {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """One step of each, or new starts after the time limit."""
        none = np.zeros(self.num_envs, bool)
        if self._time == self.horizon:
            return self.reset()[0], np.zeros(self.num_envs), none, none, {}
        actions = np.clip(np.asarray(actions, "float64"), -1, 1)
        self._state, rewards = self.task.step(self._state, actions)
        self._time += 1
        ends = np.full(self.num_envs, self._time == self.horizon)
        return self._observations(), rewards, none, ends, {}

    def _observations(self) -> np.ndarray:
        return self.task.observe(self._state).astype("float32")


for _name, _task in (("PointMass", POINT_MASS), ("Pendulum", PENDULUM)):
    gymnasium.register(
        f"tfzoo/{_name}-v0",
        entry_point="tfzoo.uwac.environments:ControlEnv",
        vector_entry_point="tfzoo.uwac.environments:ControlVectorEnv",
        max_episode_steps=_task.horizon,
        kwargs={"task": _task.name},
    )


class VectorEnvironment(py_environment.PyEnvironment):
    """A gymnasium vector environment as a batched TF-Agents `PyEnvironment`.

    A time limit ends an episode with discount 1, a terminal state with discount 0. After the end of
    an episode its row restarts with the next step.

    Args:
        vector: gymnasium's vector environment, with one-dimensional observations and actions and
            autoreset `NEXT_STEP`.
        seed: seed of the starts.
    """

    def __init__(self, vector: VectorEnv, seed: int = 0):
        super().__init__(handle_auto_reset=False)
        self._vector = vector
        self._seed: int | None = seed
        o: Any = vector.single_observation_space
        a: Any = vector.single_action_space
        self._observation_spec = array_spec.ArraySpec((int(np.prod(o.shape)),), np.float32)
        low, high = a.low.reshape(-1), a.high.reshape(-1)
        self._action_spec = array_spec.BoundedArraySpec(low.shape, np.float32, low, high)
        self._shape = a.shape

    @property
    @override
    def batched(self) -> bool:
        return True

    @property
    def batch_size(self) -> int:
        """Number of parallel episodes."""
        return self._vector.num_envs

    @override
    def observation_spec(self) -> array_spec.ArraySpec:
        return self._observation_spec

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """The spec of flat actions with the environment's limits."""
        return self._action_spec

    def seed(self, seed: int) -> None:
        """Sets the seed of the next reset."""
        self._seed = seed

    def _reset(self) -> ts.TimeStep:
        observation, _ = self._vector.reset(seed=self._seed)
        self._seed, self._ended = None, np.zeros(self.batch_size, bool)
        return ts.restart(self._flat(observation), self.batch_size)

    def _step(self, action: np.ndarray) -> ts.TimeStep:
        action = np.asarray(action).reshape(self.batch_size, *self._shape)
        observation, reward, terminal, truncated, _ = self._vector.step(action)
        ended = np.logical_or(terminal, truncated)
        kinds = np.where(ended, ts.StepType.LAST, ts.StepType.MID)
        kinds = np.where(self._ended, ts.StepType.FIRST, kinds).astype("int32")
        discount = np.where(terminal, 0.0, 1.0).astype("float32")
        self._ended = ended
        reward = np.asarray(reward, "float32")
        return ts.TimeStep(kinds, reward, discount, self._flat(observation))

    def _flat(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(observation, "float32").reshape(self.batch_size, -1)

    def close(self) -> None:
        """Closes gymnasium's environment."""
        self._vector.close()


def make_environment(
    name: str, count: int = 1, seed: int = 0, parallel: bool = False
) -> VectorEnvironment:
    """A gymnasium task by its id, with `count` parallel episodes, for TF-Agents.

    Args:
        name: e.g. `tfzoo/PointMass-v0`, `Hopper-v5`, `AdroitHandPen-v1` (gymnasium-robotics).
        count: number of parallel episodes, at least 1.
        seed: seed of the starts.
        parallel: whether to use one process per episode; not needed for the embedded tasks.

    Raises:
        InputError: no such task, a missing package, or spaces that are not boxes.
    """
    check(count >= 1, "count", count, "at least 1")
    if name.startswith("AdroitHand"):
        _register_robotics(name)
    mode = None if name.startswith("tfzoo/") else ("async" if parallel else "sync")
    try:
        vector = gymnasium.make_vec(name, num_envs=count, vectorization_mode=mode)
    except (gymnasium.error.Error, ImportError) as error:
        raise InputError(f"environment={name!r}: {str(error).splitlines()[0]}") from None
    for space in (vector.single_observation_space, vector.single_action_space):
        if not isinstance(space, gymnasium.spaces.Box):
            raise InputError(f"environment={name!r}: must have boxes as spaces, has {space}")
    return VectorEnvironment(vector, seed)


def _register_robotics(name: str) -> None:
    try:
        import gymnasium_robotics
    except ImportError:
        raise InputError(
            f"environment={name!r}: needs gymnasium-robotics: pip install gymnasium-robotics"
        ) from None
    gymnasium.register_envs(gymnasium_robotics)
