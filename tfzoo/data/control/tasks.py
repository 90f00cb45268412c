"""Two small control tasks in numpy, vectorised over episodes, and data-collecting policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class ControlTask:
    """Dynamics and rewards of one task; states are [n, S], actions [n, A] in [-1, 1].

    Attributes:
        name: the data set is `tfzoo_<name>_offline`.
        observations: size of an observation, D.
        actions: size of an action, A.
        horizon: steps of an episode, which ends only by this time limit.
        start: `(rng, n) -> state`.
        observe: `state -> observation [n, D]`.
        step: `(state, action) -> state, reward [n]`.
        expert: `state -> action`, a hand-made controller.
        random_return: mean return of uniform actions (1,000 episodes, seed 0).
        expert_return: the same for `expert` without noise.
    """

    name: str
    observations: int
    actions: int
    horizon: int
    start: Callable[[np.random.RandomState, int], Array]
    observe: Callable[[Array], Array]
    step: Callable[[Array, Array], tuple[Array, Array]]
    expert: Callable[[Array], Array]
    random_return: float
    expert_return: float


def _mass_start(rng: np.random.RandomState, n: int) -> Array:
    return np.concatenate([rng.uniform(-3, 3, (n, 2)), rng.uniform(-1, 1, (n, 2))], 1)


def _mass_step(state: Array, action: Array) -> tuple[Array, Array]:
    p, v = state[:, :2], state[:, 2:]
    v = np.clip(v + 0.2 * action, -3, 3)
    p = np.clip(p + 0.1 * v, -6, 6)
    cost = (p**2).sum(1) + 0.1 * (v**2).sum(1) + 0.01 * (action**2).sum(1)
    return np.concatenate([p, v], 1), -cost / 20


def _mass_expert(state: Array) -> Array:
    return np.clip(-0.5 * state[:, :2] - 0.7 * state[:, 2:], -1, 1)


POINT_MASS = ControlTask(
    "pointmass",
    observations=4,
    actions=2,
    horizon=100,
    start=_mass_start,
    observe=lambda state: state,
    step=_mass_step,
    expert=_mass_expert,
    random_return=-135.05,
    expert_return=-3.316,
)

GRAVITY, DT, TORQUE, SPEED = 10.0, 0.05, 2.0, 8.0
"""Constants of gymnasium's Pendulum-v1, with mass and length 1."""


def _angle(theta: Array) -> Array:
    return (theta + np.pi) % (2 * np.pi) - np.pi


def _pendulum_step(state: Array, action: Array) -> tuple[Array, Array]:
    theta, speed = state[:, 0], state[:, 1]
    torque = TORQUE * np.clip(action[:, 0], -1, 1)
    cost = _angle(theta) ** 2 + 0.1 * speed**2 + 0.001 * torque**2
    speed = speed + (1.5 * GRAVITY * np.sin(theta) + 3.0 * torque) * DT
    speed = np.clip(speed, -SPEED, SPEED)
    return np.stack([theta + speed * DT, speed], 1), -cost / 10


def _pendulum_start(rng: np.random.RandomState, n: int) -> Array:
    return np.stack([rng.uniform(-np.pi, np.pi, n), rng.uniform(-1, 1, n)], 1)


def _pendulum_observe(state: Array) -> Array:
    return np.stack([np.cos(state[:, 0]), np.sin(state[:, 0]), state[:, 1]], 1)


def _pendulum_expert(state: Array) -> Array:
    """Pumps energy until the pendulum is near the top, then holds it by feedback."""
    theta, speed = _angle(state[:, 0]), state[:, 1]
    missing = 1.5 * GRAVITY * (1 - np.cos(theta)) - speed**2 / 2  # 0 during the swing-up
    direction = np.where(np.abs(speed) < 1e-3, 1.0, np.sign(speed))
    pump = np.clip(missing, -1, 1) * direction
    hold = -(8.0 * theta + 2.0 * speed)
    near = (np.abs(theta) < 0.5) & (np.abs(speed) < 3)
    return np.clip(np.where(near, hold / TORQUE, pump), -1, 1)[:, None]


PENDULUM = ControlTask(
    "pendulum",
    observations=3,
    actions=1,
    horizon=200,
    start=_pendulum_start,
    observe=_pendulum_observe,
    step=_pendulum_step,
    expert=_pendulum_expert,
    random_return=-123.21,
    expert_return=-15.333,
)

TASKS = {task.name: task for task in (POINT_MASS, PENDULUM)}

Behaviour = Callable[[Array, np.random.RandomState, dict], Array]
"""(state, rng, memory of the episodes) -> action."""


def rollout(
    task: ControlTask, behaviour: Behaviour, episodes: int, rng: np.random.RandomState
) -> dict[str, Array]:
    """Whole episodes: `observations` [n, H + 1, D], `actions` [n, H, A], `rewards` [n, H]."""
    state = task.start(rng, episodes)
    memory: dict[str, Any] = {}
    observations, actions, rewards = [task.observe(state)], [], []
    for _ in range(task.horizon):
        action = np.clip(behaviour(state, rng, memory), -1, 1)
        state, reward = task.step(state, action)
        observations.append(task.observe(state))
        actions.append(action)
        rewards.append(reward)
    arrays = {"observations": observations, "actions": actions, "rewards": rewards}
    return {name: np.stack(a, 1).astype("float32") for name, a in arrays.items()}


def _random(task: ControlTask) -> Behaviour:
    return lambda state, rng, memory: rng.uniform(-1, 1, (len(state), task.actions))


def _noisy(task: ControlTask, strength: float, noise: float) -> Behaviour:
    """The expert's action times `strength`, with Gaussian noise."""

    def act(state: Array, rng: np.random.RandomState, memory: dict) -> Array:
        action = strength * task.expert(state)
        return action + noise * rng.normal(size=action.shape)

    return act


def _human(task: ControlTask) -> Behaviour:
    """Mimics a person at a joystick: acts late, drifts, and varies in strength by episode."""

    def act(state: Array, rng: np.random.RandomState, memory: dict) -> Array:
        wanted = task.expert(state)
        if not memory:
            memory["strength"] = rng.uniform(0.6, 1.1, (len(state), 1))
            memory["action"] = np.zeros_like(wanted)
            memory["drift"] = np.zeros_like(wanted)
        memory["drift"] = 0.9 * memory["drift"] + 0.06 * rng.normal(size=wanted.shape)
        late = 0.5 * memory["action"] + 0.5 * memory["strength"] * wanted
        memory["action"] = np.clip(late + memory["drift"], -1, 1)
        return memory["action"]

    return act


_TRANSITIONS = 4000
_HUMAN = 1000  # sparse
_PARTS: dict[str, tuple[str, ...]] = {
    "random": ("random",),
    "medium": ("medium",),
    "expert": ("expert",),
    "random_expert": ("expert", "random"),
    "medium_expert": ("expert", "medium"),
    "human": ("human",),
}
MIXTURES = tuple(_PARTS)


def collect(task: ControlTask, mixture: str, seed: int = 0) -> dict[str, Array]:
    """The episodes of a mixture, 4,000 transitions in total (`human`: 1,000).

    Args:
        task: one of `TASKS`.
        mixture: one of `MIXTURES`; with two behaviours, each collects half.
        seed: seeds everything.

    Returns:
        As `rollout`.
    """
    behaviours = {
        "random": _random(task),
        "medium": _noisy(task, 0.5, 0.3),
        "expert": _noisy(task, 1.0, 0.03),
        "human": _human(task),
    }
    rng, parts = np.random.RandomState(seed), _PARTS[mixture]  # its stream is frozen by numpy
    total = (_HUMAN if mixture == "human" else _TRANSITIONS) // task.horizon
    episodes = [rollout(task, behaviours[name], total // len(parts), rng) for name in parts]
    return {key: np.concatenate([f[key] for f in episodes]) for key in episodes[0]}
