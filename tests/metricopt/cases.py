"""One example of each of MetricOpt's registered objects, for the conformance tests."""

import keras
import numpy as np

from tfzoo.metricopt import (
    AdaptedModel,
    FiLM,
    LowRankFiLM,
    MetricOptimizer,
    RankedRegression,
    ValueFunction,
)


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def network():
    inputs = keras.Input((6, 6, 2))
    h = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    h = keras.layers.BatchNormalization(name="norm")(h)
    h = keras.layers.GlobalAveragePooling2D(name="pool")(h)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(h))


CASES = {
    "AdaptedModel": {
        "make": lambda: AdaptedModel(network(), ["conv", "norm", "pool", "logits"]),
        "inputs": lambda: floats(3, 6, 6, 2),
        "fit": lambda: {"compile": {"optimizer": "adam", "loss": "mse"}, "y": floats(3, 3)},
    },
    "FiLM": {"make": FiLM, "inputs": lambda: floats(3, 4, 5)},
    "LowRankFiLM": {"make": lambda: LowRankFiLM(3, axis=1), "inputs": lambda: floats(3, 4, 5)},
    "MetricOptimizer": {"make": lambda: MetricOptimizer("adam", 0.2, (8,), 64)},
    "RankedRegression": {"make": lambda: RankedRegression(0.4, 0.2, 0.1)},
    "ValueFunction": {
        "make": lambda: ValueFunction(5, (8, 4)),
        "inputs": lambda: floats(3, 5),
        "fit": lambda: {"compile": {"optimizer": "adam", "loss": "mse"}, "y": floats(3, 1)},
    },
}

SMALL_RUN = ("metricopt/digits_mcr", ["epochs=2", "finetune.steps=8", "finetune.trajectories=2"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""

CARD_AFTER = (
    "import sys, keras\n"
    "keras.models.load_model('tuned.keras')\n"
    "assert not any(name.split('.')[0] == 'tfzoo' for name in sys.modules)"
)
"""Checks, in a new process, what the card's program has written."""
