"""One example of each shared layer, for the conformance tests."""

import numpy as np

from tfzoo.layers import Conv2D, Conv3D, SNConv2D, SNDense


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


CASES = {
    "Conv2D": {
        "make": lambda: Conv2D(4, (3, 2), strides=2, padding="same", activation="tanh"),
        "inputs": lambda: floats(3, 5, 6, 2),
    },
    "Conv3D": {
        "make": lambda: Conv3D(4, 3, strides=(1, 2, 2), padding="same"),
        "inputs": lambda: floats(3, 2, 5, 6, 2),
    },
    "SNConv2D": {
        "make": lambda: SNConv2D(4, (3, 2), strides=2, padding="same", activation="tanh"),
        "inputs": lambda: floats(3, 5, 6, 2),
    },
    "SNDense": {"make": lambda: SNDense(4, "tanh"), "inputs": lambda: floats(3, 5, 6)},
}
