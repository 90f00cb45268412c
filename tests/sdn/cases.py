"""One example of each of SDN's registered objects, for the conformance tests."""

import numpy as np

from tfzoo.sdn import (
    MADE,
    SelfAttention2D,
    SetDiscriminator,
    SetDistributionNetwork,
    SetEncoder,
    SetGenerator,
)

SMALL = {"image_size": 4, "channels": 1, "code_dim": 4, "width": 6}


def sets(b=3, n=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (b, n, 4, 4, 1)).astype("float32")


def keep():
    """The second image of two sets is masked."""
    return np.array([[True, True], [True, False], [True, False]])


def codes(b=3, d=4, seed=1):
    return np.random.default_rng(seed).choice([-1.0, 1.0], (b, d)).astype("float32")


def noise(b=3, n=2, k=3):
    return np.random.default_rng(2).normal(size=(b, n, k)).astype("float32")


def maps():
    return np.random.default_rng(3).normal(size=(3, 4, 4, 8)).astype("float32")


CASES = {
    "MADE": {"make": lambda: MADE(4, (6, 5)), "inputs": codes},
    "SelfAttention2D": {"make": SelfAttention2D, "inputs": maps},
    "SetEncoder": {"make": lambda: SetEncoder(**SMALL), "inputs": sets, "mask": keep},
    "SetDiscriminator": {
        "make": lambda: SetDiscriminator(**SMALL, bottleneck=2),
        "inputs": lambda: (sets(), codes()),
        "mask": keep,
    },
    "SetGenerator": {
        "make": lambda: SetGenerator(**SMALL, noise_dim=3),
        "inputs": lambda: (codes(), noise()),
    },
    "SetDistributionNetwork": {
        "make": lambda: SetDistributionNetwork(
            **SMALL,
            noise_dim=3,
            bottleneck=2,
            prior_hidden=(5,),
            pixel_mean=0.0,
            pixel_std=1.0,
            seed=0,
        ),
        "inputs": sets,
        "mask": keep,
        # calling returns the code, which only the encoder computes
        "no_gradient": ("energy", "prior", "images"),
        "fit": dict,
    },
}

SMALL_RUN = ("sdn/shapes", ["epochs=1", "steps_per_epoch=5", "voxel_net=null"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""

CARD_WARNS = True  # other packages
