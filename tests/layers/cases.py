"""One example of each shared layer, for the conformance tests."""

import numpy as np

from tfzoo.layers import SNConv2D, SNDense


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = {
    "SNConv2D": {
        "make": lambda: SNConv2D(4, (3, 2), strides=2, padding="same", activation="tanh"),
        "inputs": lambda: floats(3, 5, 6, 2),
    },
    "SNDense": {"make": lambda: SNDense(4, "tanh"), "inputs": lambda: floats(3, 5, 6)},
}
