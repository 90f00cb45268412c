"""Signatures of the exported policies."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.serving import Signature
from tfzoo.typing import Tensor
from tfzoo.uwac.model import ActorCritic

SEEDS = np.arange(4, dtype=np.int32)


def signatures(model: ActorCritic) -> dict[str, Signature]:
    """Maps observations to actions, and actions to the critics' values.

    `serving_default(observation, seed)` returns `action` [B, A]: the one of N sampled actions with
    the largest mean Q (for `bc`, the actor's mean). `sample(observation, seed)` returns an `action`
    drawn from the actor and its `log_prob` [B]. `uncertainty(observation, action)`, not for `bc`,
    returns `q_mean`, `q_std` over dropout masks and UWAC's `weight` of the pair, each [B].
    `observation` [B, D] is as given by the environment, `seed` [B] determines each row's
    randomness; dropout masks are fixed.
    """
    d, a = model.space.observation_dim, model.space.action_dim
    rng = np.random.default_rng(0)
    observation = {"observation": tf.TensorSpec([None, d], tf.float32)}
    seed = {"seed": tf.TensorSpec([None], tf.int32)}
    x = rng.normal(size=(4, d)).astype(np.float32)
    x = x * model.space.observation_std + model.space.observation_mean
    examples = {"observation": x, "seed": SEEDS}

    def act(observation: Tensor, seed: Tensor) -> dict[str, Tensor]:
        noise = _noise(seed, (model.settings.n_action_samples, a))
        return {"action": model.best_action(observation, noise)}

    def sample(observation: Tensor, seed: Tensor) -> dict[str, Tensor]:
        mean, log_std = model.actor(observation)
        pre = mean + ops.exp(log_std) * _noise(seed, (a,))
        log_prob = model.actor.log_prob(observation, pre)
        return {"action": model.actor.squash(pre), "log_prob": log_prob}

    def uncertainty(observation: Tensor, action: Tensor) -> dict[str, Tensor]:
        samples = model.settings.n_mc_samples
        (m, v), (_, w) = (
            q.moments(observation, action, samples, 0, "conditional", True)
            for q in (model.q1, model.q2)
        )
        return {"q_mean": m, "q_std": ops.sqrt(v), "weight": model.weights_of(v + w)}

    given = {
        "serving_default": Signature(
            act,
            observation | seed,
            examples,
            description="observations to actions, each row with its own seed",
        ),
        "sample": Signature(
            sample,
            observation | seed,
            examples,
            description="observations to actions drawn from the actor, and their log-densities",
        ),
    }
    if model.algorithm != "bc":
        given["uncertainty"] = Signature(
            uncertainty,
            observation | {"action": tf.TensorSpec([None, a], tf.float32)},
            {
                "observation": x,
                "action": rng.uniform(model.space.action_low, model.space.action_high, (4, a)),
            },
            description="observations and actions to Q, its deviation over masks, and the weight",
        )
    return given


def _noise(seed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal [B, *shape], each row with its own seed."""

    def row(s: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal(shape, tf.stack([s, 0]))

    return tf.map_fn(row, seed, fn_output_signature=tf.TensorSpec(shape, tf.float32))
