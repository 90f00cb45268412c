"""UWAC's task: a policy from recorded transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data import memory
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.training.run import Run
from tfzoo.uwac import extras, training
from tfzoo.uwac.config import OfflineConfig
from tfzoo.uwac.evaluation import Evaluation, critic_metrics
from tfzoo.uwac.inputs import limited
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.signatures import signatures


@dataclass(frozen=True)
class OfflineInfo(data.Info):
    """Properties of recorded transitions; the input is the observation.

    Attributes:
        action_dim: size of an action.
    """

    action_dim: int = 0


@dataclass(frozen=True)
class OfflineDatasets(data.Datasets):
    """Batches, and the transitions from which they are drawn."""

    transitions: data.Transitions


@task("uwac.offline")
class Offline(Recipe[OfflineConfig, OfflineDatasets]):
    """Trains an actor-critic on transitions and evaluates it in the environment."""

    config_class = OfflineConfig
    own_data = {"tfzoo_transitions": ("environment",)}

    def one_device(self, config: OfflineConfig) -> str:
        """The reason, which applies to every config."""
        return "since a step of TF-Agents updates networks on one device"

    def data_info(self, config: OfflineConfig) -> OfflineInfo:
        """Sizes from the unprepared builder; guessed if there is no file."""
        if config.data.name == "tfzoo_transitions" and config.data.path is None:
            guesses = ("examples", "shape", "action_dim", "mean", "std")  # HalfCheetah's sizes
            return OfflineInfo(config.steps_per_epoch, shape=(17,), guesses=guesses, action_dim=6)
        if config.data.name.startswith("tfzoo_mujoco/") and config.data.path is None:
            from tfzoo.data.control.offline import mujoco_sizes  # it imports TFDS

            width, action_dim = mujoco_sizes(config.data.name)
            return OfflineInfo(
                config.steps_per_epoch,
                shape=(width,),
                guesses=("examples", "mean", "std"),
                action_dim=action_dim,
            )
        builder = data.unprepared(config.data)
        step = builder.info.features["steps"]
        width, action_dim = (int(np.prod(step[k].shape)) for k in ("observation", "action"))
        return OfflineInfo(
            config.steps_per_epoch,
            version=builder.info.full_name,
            shape=(width,),
            guesses=("examples", "mean", "std"),
            action_dim=action_dim,
        )

    def datasets(self, config: OfflineConfig) -> OfflineDatasets:
        """All transitions for training; a policy is evaluated in the environment."""
        transitions = checked(data.transitions(data.builder(config.data)), config)
        held = {name: memory.tensor(array) for name, array in transitions.arrays().items()}
        rows = tf.data.Dataset.from_tensor_slices(held)
        stream = data.train_stream(held, batch_size=config.batch_size, seed=config.seed)
        batches = data.eval_batches(rows, batch_size=config.batch_size)
        info = OfflineInfo(
            config.steps_per_epoch,
            examples=len(transitions),
            version=transitions.version,
            shape=transitions.observation.shape[1:],
            action_dim=transitions.action.shape[1],
            **data.moments(transitions.observation),
        )
        return OfflineDatasets(stream, batches, batches, info, transitions)

    def build(self, config: OfflineConfig, info: data.Info) -> ActorCritic:
        """The networks, with the data's statistics if there are any."""
        assert isinstance(info, OfflineInfo)  # from this recipe's own functions
        (width,) = info.sizes
        space: dict[str, Any] = {"observation_dim": width, "action_dim": info.action_dim}
        space |= config.limits(info.action_dim)
        if config.normalise and info.mean is not None and info.std is not None:
            mean, std = (np.array(v, "float32") for v in (info.mean, info.std))
            space |= {"observation_mean": mean, "observation_std": std + 1e-3}
        return ActorCritic(config.agent, config.algorithm, config.seed, info.version, **space)

    def train(
        self, model: ActorCritic, datasets: OfflineDatasets, run: Run[OfflineConfig]
    ) -> dict[str, float]:
        """Runs the agent's steps; writes TF-Agents' form of the policy to `policy/`.

        Returns:
            The summary of the log: the best return and the final losses.
        """
        training.train(model, datasets.train, datasets.transitions, run)
        agent = training.make_agent(model)
        target = run.directory / "policy"
        if run.chief and not target.exists():
            extras.load("tfzoo.uwac.agent").save_policy(agent, target)
        return training.summary(run.log.rows)

    def evaluate(
        self, model: ActorCritic, datasets: OfflineDatasets, config: OfflineConfig
    ) -> dict[str, float]:
        """Return in the environment, and the critics' values of actions."""
        transitions = datasets.transitions
        metrics: dict[str, float] = {}
        if config.environment:
            metrics = Evaluation(
                model,
                config.environment,
                config.evaluation_episodes,
                config.parallel,
                config.references,
            ).metrics()
        if model.algorithm != "bc":
            metrics |= critic_metrics(model, transitions)
        return metrics | {"transitions": len(transitions)}

    def signatures(self, model: ActorCritic, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default`, `sample`, `uncertainty`."""
        return signatures(model)


def checked(transitions: data.Transitions, config: OfflineConfig) -> data.Transitions:
    """The transitions, with actions clipped to the limits: all, or those that hardly exceed them.

    Raises:
        InputError: actions outside the limits.
    """
    limits = config.limits(transitions.action.shape[1])
    action = limited(
        transitions.action,
        (limits["action_low"], limits["action_high"]),
        f"data.name={config.data.name!r}",
        config.clip_actions,
    )
    arrays = transitions.arrays() | {"action": action}
    return data.Transitions(**arrays, version=transitions.version)
