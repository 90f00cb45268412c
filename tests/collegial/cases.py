"""One example of each of Collegial Ensembles' registered objects, for the conformance tests."""

import keras
import numpy as np

from tfzoo.collegial import (
    Aggregate,
    Collegial,
    CollegialDense,
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
    "GroupConv2D": {
        "make": lambda: GroupConv2D(6, 3, groups=2, padding="same"),
        "inputs": lambda: floats(3, 5, 4, 4),
    },
    "MemberHeNormal": {"make": MemberHeNormal},
}
