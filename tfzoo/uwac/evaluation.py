"""Returns and scores of a trained model in an environment, and statistics of its critics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from keras import ops

from tfzoo.config import check
from tfzoo.data import Transitions
from tfzoo.errors import InputError
from tfzoo.typing import Tensor
from tfzoo.uwac import extras
from tfzoo.uwac.model import ActorCritic
from tfzoo.uwac.references import normalised

if TYPE_CHECKING:
    from tf_agents.environments import py_environment

SEED = 10_000
"""Seed of evaluation episodes: the same starts for every model."""
ASKED = 2000
"""Number of transitions on which the critics are evaluated."""


class Evaluation:
    """Runs whole episodes with a model, always from the same starts.

    Args:
        model: a model, which acts by `best_action`.
        environment: gymnasium id.
        episodes: number of parallel episodes.
        parallel: whether each episode runs in its own process.
        references: see `normalised`.

    Raises:
        InputError: no such environment, or one whose sizes or limits differ from the model's.
    """

    def __init__(
        self,
        model: ActorCritic,
        environment: str,
        episodes: int,
        parallel: bool = False,
        references: str = "d4rl",
    ):
        self.model, self.name, self.episodes = model, environment, episodes
        self.references = references
        self._make = lambda: extras.load("tfzoo.uwac.environments").make_environment(
            environment, episodes, SEED, parallel
        )
        first = self._make()
        try:
            check_environment(environment, first, model)
        finally:
            first.close()
        self._act = _policy(model, episodes)

    def returns(self) -> np.ndarray:
        """The return of each episode [episodes], with the environment's rewards."""
        environment = self._make()
        try:
            return play(environment, self._act)
        finally:
            environment.close()

    def metrics(self) -> dict[str, float]:
        """`return`, its deviation over episodes, and the normalised `score` if references exist."""
        returns = self.returns()
        metrics = {"return": float(returns.mean()), "return_std": float(returns.std())}
        score = normalised(self.name, metrics["return"], self.references)
        return metrics if score is None else metrics | {"score": score}


def _policy(model: ActorCritic, episodes: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Maps observations and the step's index to actions, with separate noise per step."""
    import tensorflow as tf  # its draws take two integers as a seed

    shape = (episodes, model.settings.n_action_samples, model.space.action_dim)

    @tf.function(autograph=False)
    def act(observation: Tensor, step: Tensor) -> Tensor:
        noise = tf.random.stateless_normal(shape, tf.stack([SEED, step]))
        return model.best_action(observation, noise)

    return lambda x, t: act(tf.constant(x), tf.constant(t)).numpy()


def play(
    environment: py_environment.PyEnvironment, act: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """Sums of rewards up to the first end of each row of a batched environment."""
    time_step, t = environment.reset(), 0
    total = np.zeros(environment.batch_size)
    alive = np.ones(environment.batch_size, bool)
    while alive.any():
        time_step = environment.step(act(time_step.observation, t))
        total += np.where(alive, time_step.reward, 0.0)
        alive &= ~time_step.is_last()
        t += 1
    return total


def check_environment(
    name: str, environment: py_environment.PyEnvironment, model: ActorCritic
) -> None:
    """Checks sizes and limits.

    Raises:
        InputError: they differ from the model's.
    """
    observation, action = environment.observation_spec(), environment.action_spec()
    space = model.space
    sizes = (observation.shape[0], action.shape[0])
    if sizes != (space.observation_dim, space.action_dim):
        raise InputError(
            f"environment={name!r}: observations and actions of sizes {sizes} must be "
            f"{(space.observation_dim, space.action_dim)}, the data's"
        )
    for key, mine, theirs in (
        ("action_low", space.action_low, action.minimum),
        ("action_high", space.action_high, action.maximum),
    ):
        fits = np.allclose(mine, theirs)
        check(fits, key, mine.tolist(), f"{np.asarray(theirs).tolist()}, as {name} has it")


def critic_metrics(model: ActorCritic, data: Transitions, seed: int = 0) -> dict[str, float]:
    """The critic's values for the data's actions and for uniform ones at the same observations.

    Returns:
        `q_data` and `q_random`, means; with dropout also `std_data`, `std_random`, mean standard
        deviations of Q over masks, `weight_data`, and `ood_auc`: the probability that a uniform
            action is less certain than one from the data.
    """
    import tensorflow as tf  # for the graph of `ask`
    from sklearn.metrics import roc_auc_score

    rng, space = np.random.RandomState(seed), model.space
    rows = rng.permutation(len(data))[:ASKED]
    observation, action = data.observation[rows], data.action[rows]
    uniform = rng.uniform(space.action_low, space.action_high, action.shape).astype("float32")

    @tf.function(autograph=False)
    def ask(observation: Tensor, action: Tensor) -> Tensor:
        samples = model.settings.n_mc_samples
        return model.q1.moments(observation, action, samples, 0, "conditional", True)

    (q, variance), (q_random, v_random) = (ask(observation, a) for a in (action, uniform))
    metrics = {"q_data": ops.mean(q), "q_random": ops.mean(q_random)}
    if model.settings.dropout_rate:
        metrics["std_data"] = ops.mean(ops.sqrt(variance))
        metrics["std_random"] = ops.mean(ops.sqrt(v_random))
        metrics["weight_data"] = ops.mean(model.weights_of(2.0 * variance))
        labels = np.repeat([0, 1], len(rows))
        both = np.nan_to_num(np.concatenate([variance, v_random]))
        metrics["ood_auc"] = roc_auc_score(labels, both)
    return {name: float(value) for name, value in metrics.items()}
