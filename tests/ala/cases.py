"""One example of each of ALA's registered objects, for the conformance tests."""

import numpy as np

from tfzoo.ala import (
    ClassWeightLoss,
    CorrelationLoss,
    DistanceMixtureLoss,
    FocalPairLoss,
    LossController,
)


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = {
    "ClassWeightLoss": {"make": lambda: ClassWeightLoss(3, True, 2.0, 0.5, phi=[0.5, -1.0, 0.0])},
    "CorrelationLoss": {"make": lambda: CorrelationLoss(3, link="identity", scale=0.5)},
    "DistanceMixtureLoss": {"make": lambda: DistanceMixtureLoss(0.3)},
    "FocalPairLoss": {"make": lambda: FocalPairLoss(0.8)},
    "LossController": {
        "make": lambda: LossController(0.2, (8, 4), memory=20, seed=3),
        "inputs": lambda: floats(5, 24),
    },
}

SMALL_RUN = ("ala/digits", ["epochs=2", "ala.warmup_steps=3", "ala.steps_per_action=5"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""
