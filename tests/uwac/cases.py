"""One example of each of UWAC's registered objects, for the conformance tests."""

import numpy as np

from tfzoo.uwac import ActorCritic, BehaviorVAE, DropoutCritic, GaussianActor

SPACE = {
    "observation_dim": 3,
    "action_dim": 2,
    "action_low": [-2.0, 0.0],
    "action_high": [2.0, 1.0],
    "observation_mean": [0.1, 0.0, -0.1],
    "observation_std": [1.0, 2.0, 1.0],
}
SETTINGS = {"hidden": [6, 5], "vae_units": 6, "n_mc_samples": 3, "n_action_samples": 4}
SETTINGS |= {"n_target_samples": 3, "n_mmd_action_samples": 3, "warmup_steps": 0}


def observations():
    return np.random.default_rng(0).normal(size=(3, 3)).astype("float32")


def pairs():
    action = np.random.default_rng(1).uniform(0, 1, (3, 2)).astype("float32")
    return np.concatenate([observations(), action], 1)


CASES = {
    "GaussianActor": {"make": lambda: GaussianActor([6, 5], **SPACE), "inputs": observations},
    "BehaviorVAE": {"make": lambda: BehaviorVAE(6, **SPACE), "inputs": pairs},
    "DropoutCritic": {
        "make": lambda: DropoutCritic([6, 5], spectral_norm=True, **SPACE),
        "inputs": pairs,
        "fit": lambda: {
            "compile": {"optimizer": "adam", "loss": "mse"},
            "y": np.zeros(3, "float32"),
        },
    },
    "ActorCritic": {
        "make": lambda: ActorCritic(SETTINGS, **SPACE),
        "inputs": observations,
        # calling returns the actor's mean
        "no_gradient": (
            "hidden_0/kernel",
            "hidden_0/bias",
            "hidden_1/kernel",
            "hidden_1/bias",
            "value/kernel",
            "value/bias",
            "log_std/kernel",
            "log_std/bias",
            "encoder",
            "decoder",
            "action",
            "mean",
            "log_alpha",
        ),
    },
}

SMALL_RUN = ("uwac/pointmass", ["epochs=1", "steps_per_epoch=60", "evaluation_episodes=2"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""

CARD_WARNS = True  # other packages
