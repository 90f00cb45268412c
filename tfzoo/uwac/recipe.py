"""UWAC's task: recorded transitions to a policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.errors import InputError
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.training.run import Run
from tfzoo.uwac import extras, training
from tfzoo.uwac.config import OfflineConfig
from tfzoo.uwac.evaluation import Evaluation, critic_metrics
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.signatures import signatures

_GUESS = {"observations": 17, "actions": 6}
"""Sizes for a dry run without the user's file: HalfCheetah's."""

_BORDER = 1e-4
"""How far beyond the limits an action may lie, in parts of their distance; it is then cut."""


@task("uwac.offline")
class Offline(Recipe[OfflineConfig]):
    """Transitions, to an actor-critic, to an evaluation in the environment."""

    config_class = OfflineConfig

    def data_info(self, config: OfflineConfig) -> dict[str, Any]:
        """Sizes, as the builder says them without being prepared; of no file a guess."""
        if config.data.name == "tfzoo_transitions" and config.data.path is None:
            return _GUESS | {"steps_per_epoch": config.steps_per_epoch}
        step = data.unprepared(config.data).info.features["steps"]
        sizes = [int(np.prod(step[name].shape)) for name in ("observation", "action")]
        return dict(zip(("observations", "actions"), sizes, strict=True)) | {
            "steps_per_epoch": config.steps_per_epoch
        }

    def datasets(self, config: OfflineConfig) -> data.Datasets:
        """All transitions for training; the environment is what a policy is judged in."""
        found = checked(data.transitions(data.builder(config.data)), config)
        rows = tf.data.Dataset.from_tensor_slices(found.arrays())
        stream = data.train_stream(rows, batch_size=config.batch_size, seed=config.seed)
        batches = data.eval_batches(rows, batch_size=config.batch_size)
        info = {
            "observations": found.observation.shape[1],
            "actions": found.action.shape[1],
            "steps_per_epoch": config.steps_per_epoch,
            "transitions": found,
            "config": config,
            "version": found.version,
        }
        return data.Datasets(stream, batches, batches, info)

    def build(self, config: OfflineConfig, info: dict[str, Any]) -> ActorCritic:
        """The networks; statistics are the data's if there are any."""
        space = {"observation_dim": info["observations"], "action_dim": info["actions"]}
        space |= config.limits(info["actions"])
        if config.normalise and "transitions" in info:
            x = info["transitions"].observation
            space |= {"observation_mean": x.mean(0), "observation_std": x.std(0) + 1e-3}
        version = info.get("version", "")
        return ActorCritic(config.agent, config.algorithm, config.seed, version, **space)

    def train(self, model: ActorCritic, datasets: data.Datasets, run: Run[OfflineConfig]) -> None:
        """The agent's steps; leaves TF-Agents' own form of the policy in `policy/`."""
        training.train(model, datasets, run)
        datasets.info["summary"] = training.summary(run.log.rows)
        agent = training.make_agent(model)
        target = run.directory / "policy"
        if run.chief and not target.exists():
            extras.load("tfzoo.uwac.agent").save_policy(agent, target)

    def evaluate(self, model: ActorCritic, datasets: data.Datasets) -> dict[str, float]:
        """Returns in the environment, last and best, and what the critics say of actions."""
        config, found = datasets.info["config"], datasets.info["transitions"]
        metrics: dict[str, float] = {}
        if config.environment:
            episodes = config.evaluation_episodes
            metrics = Evaluation(model, config.environment, episodes, config.parallel).metrics()
        metrics |= datasets.info.get("summary", {})
        if model.algorithm != "bc":
            metrics |= critic_metrics(model, found)
        return metrics | {"transitions": len(found)}

    def signatures(self, model: ActorCritic) -> dict[str, Signature]:
        """`serving_default`, `sample`, `uncertainty`."""
        return signatures(model)


def checked(found: data.Transitions, config: OfflineConfig) -> data.Transitions:
    """The transitions, actions cut to the limits: all, or where they hardly leave them.

    Raises:
        InputError: actions outside the limits.
    """
    limits = config.limits(found.action.shape[1])
    low, high = (np.asarray(limits[k], "float32") for k in ("action_low", "action_high"))
    room = _BORDER * (high - low)
    outside = (found.action < low - room) | (found.action > high + room)
    if outside.any() and not config.clip_actions:
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"data.name={config.data.name!r}: action {found.action[row, column]:.6g} of transition "
            f"{row} must be from {low[column]:g} to {high[column]:g}; set action_low and "
            "action_high to the task's limits, or clip_actions=true if the environment cut them"
        )
    arrays = found.arrays() | {"action": np.clip(found.action, low, high)}
    return data.Transitions(**arrays, version=found.version)
