"""One example of each of Collegial Ensembles' registered objects, for the conformance tests."""

import keras
import numpy as np

from tfzoo.collegial import (
    Aggregate,
    Collegial,
    CollegialDense,
    CollegialMLP,
    CollegialResNeXt,
    GroupConv2D,
    MemberHeNormal,
)


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = {
    "Aggregate": {"make": Aggregate, "inputs": lambda: floats(3, 4, 5)},
    "Collegial": {
        "make": lambda: Collegial(keras.layers.Dense(3, activation="tanh"), 2),
        "inputs": lambda: floats(3, 4),
    },
    "CollegialDense": {
        "make": lambda: CollegialDense(3, 2, "tanh", parametrization="ntk", bias_scale=0.5),
        "inputs": lambda: floats(4, 3, 5),
    },
    "CollegialMLP": {
        "make": lambda: CollegialMLP((4, 2), 3, members=2, width=5, depth=2, use_bias=True),
        "inputs": lambda: floats(3, 4, 2),
        "fit": lambda: {"compile": {"optimizer": "adam", "loss": "mse"}, "y": floats(3, 3)},
    },
    "CollegialResNeXt": {
        "make": lambda: CollegialResNeXt(3, 2, 4, depth=5, stages=1, channels=1),
        "inputs": lambda: 100 * floats(3, 8, 8, 1),
        "fit": lambda: {"compile": {"optimizer": "adam", "loss": "mse"}, "y": floats(3, 3)},
    },
    "GroupConv2D": {
        "make": lambda: GroupConv2D(6, 3, groups=2, padding="same"),
        "inputs": lambda: floats(3, 5, 4, 4),
    },
    "MemberHeNormal": {"make": MemberHeNormal},
}

SMALL_RUN = ("collegial/digits", ["epochs=1"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""
