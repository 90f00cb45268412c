"""Generates D4RL-like data of gymnasium's v5 tasks, for `tfzoo_mujoco/...`:

    python tools/mujoco_sets.py hopper random FOLDER
    python tools/mujoco_sets.py hopper medium medium_replay expert FOLDER --steps 100000 160000

`random` takes uniform actions and needs only gymnasium. `medium` and `expert` are drawn from a soft
actor-critic (256-256, batch 256, one gradient step per environment step, otherwise defaults) after
the first and the second number of steps; `medium_replay` is its replay buffer at the first. They
need `pip install 'sbx-rl>=0.18'` (Stable-Baselines3 in JAX), which is not a dependency of tfzoo. A
file has D4RL's keys without next_observations; a truncated end is marked as a timeout.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from tfzoo.errors import InputError
from tfzoo.files import replacing

TASKS = {"hopper": "Hopper-v5", "halfcheetah": "HalfCheetah-v5"}
KINDS = ("random", "medium", "medium_replay", "expert")


def rollout(
    environment: gymnasium.Env, act: Callable[[np.ndarray], np.ndarray], count: int, seed: int
) -> dict[str, np.ndarray]:
    """`count` steps of episodes, the last one possibly truncated: arrays under D4RL's keys."""
    rows: dict[str, list[Any]] = {key: [] for key in ("observations", "actions", "rewards")}
    ends: dict[str, list[bool]] = {"terminals": [], "timeouts": []}
    observation, _ = environment.reset(seed=seed)
    for _ in range(count):
        action = act(observation)
        following, reward, terminal, timeout, _ = environment.step(action)
        for key, value in zip(rows, (observation, action, reward), strict=True):
            rows[key].append(value)
        ends["terminals"].append(bool(terminal))
        ends["timeouts"].append(bool(timeout and not terminal))
        observation = environment.reset()[0] if terminal or timeout else following
    ends["timeouts"][-1] = not ends["terminals"][-1]
    arrays = {key: np.asarray(value, "float32") for key, value in rows.items()}
    return arrays | {key: np.asarray(value, bool) for key, value in ends.items()}


def random_set(task: str, count: int, seed: int) -> dict[str, np.ndarray]:
    """Uniform actions."""
    environment = gymnasium.make(TASKS[task])
    environment.action_space.seed(seed)
    return rollout(environment, lambda _: environment.action_space.sample(), count, seed)


def learnt_sets(
    task: str, kinds: list[str], steps: tuple[int, int], count: int, seed: int
) -> dict[str, dict[str, np.ndarray]]:
    """Data from one soft actor-critic's policies and its replay buffer."""
    try:
        from sbx import SAC
    except ImportError:
        raise InputError("medium, medium_replay, expert: need `pip install sbx-rl`") from None
    model = SAC("MlpPolicy", TASKS[task], seed=seed, buffer_size=max(steps))
    draw = lambda x: model.predict(x, deterministic=False)[0]  # noqa: E731
    sets: dict[str, dict[str, np.ndarray]] = {}
    for kind, until in (("medium", steps[0]), ("expert", steps[1])):
        if kind == "expert" and "expert" not in kinds:
            break
        model.learn(until - model.num_timesteps, reset_num_timesteps=False)
        if kind == "medium" and "medium_replay" in kinds:
            sets["medium_replay"] = replayed(model.replay_buffer)
        if kind in kinds:
            sets[kind] = rollout(gymnasium.make(TASKS[task]), draw, count, seed + 1)
    return sets


def replayed(buffer: Any) -> dict[str, np.ndarray]:
    """A Stable-Baselines3 replay buffer of one environment under D4RL's keys.

    Its actions are scaled to [-1, 1], which are these tasks' limits.
    """
    size = buffer.size()
    done, timeout = (x[:size, 0].astype(bool) for x in (buffer.dones, buffer.timeouts))
    arrays = {
        "observations": buffer.observations[:size, 0].astype("float32"),
        "actions": buffer.actions[:size, 0].astype("float32"),
        "rewards": buffer.rewards[:size, 0].astype("float32"),
        "terminals": done & ~timeout,
        "timeouts": timeout,
    }
    arrays["timeouts"][-1] = not arrays["terminals"][-1]
    return arrays


def main(argv: list[str] | None = None) -> None:
    """Writes `<task>_<kind>.npz` for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("kinds", nargs="+", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100_000, help="transitions per data set")
    parser.add_argument("--steps", type=int, nargs=2, default=(100_000, 160_000))
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args(argv)
    unknown = sorted(set(words.kinds) - set(KINDS))
    if unknown or words.count < 1 or not 0 < words.steps[0] <= words.steps[1]:
        parser.error(f"kinds must be of {', '.join(KINDS)}; --count at least 1, --steps increasing")
    sets = {}
    if "random" in words.kinds:
        sets["random"] = random_set(words.task, words.count, words.seed)
    learnt = [kind for kind in words.kinds if kind != "random"]
    if learnt:
        steps = (words.steps[0], words.steps[1])
        sets |= learnt_sets(words.task, learnt, steps, words.count, words.seed)
    words.folder.mkdir(parents=True, exist_ok=True)
    for kind, arrays in sets.items():
        path = words.folder / f"{words.task}_{kind}.npz"
        with replacing(path) as aside, open(aside, "wb") as file:
            np.savez_compressed(file, **arrays)
        print(f"{path}: {len(arrays['rewards'])} transitions")


if __name__ == "__main__":
    main()
