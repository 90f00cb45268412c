"""One example of each of AFT's registered objects, for the conformance tests."""

import keras
import numpy as np

from tfzoo.aft import (
    AFTClassifier,
    AFTConv1D,
    AFTConv2D,
    AFTFull,
    AFTImageModel,
    AFTLanguageModel,
    AFTLocal,
    AFTSimple,
    BitsPerSymbol,
    TransformerBlock,
)


def floats(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def whole(limit, *shape):
    return np.random.default_rng(0).integers(0, limit, shape).astype("int32")


def sequence():
    return floats(3, 6, 4)


def keep(*shape):
    """Masks the first two positions of axis 1, which all others see."""
    mask = np.ones(shape, bool)
    mask[:, :2] = False
    return mask


def against(y):
    """Class indices, and a loss for them."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"compile": {"optimizer": "adam", "loss": loss}, "y": y}


# adding a constant to a channel's keys does not change averages: the key bias has no gradient
KEY = ("key/bias",)

CASES = {
    "AFTFull": {
        "make": lambda: AFTFull(8, bias_dim=2, causal=True),
        "inputs": sequence,
        "mask": lambda: keep(3, 6),
        "no_gradient": KEY,
    },
    "AFTLocal": {
        "make": lambda: AFTLocal(8, window=2, bias_dim=2),
        "inputs": sequence,
        "mask": lambda: keep(3, 6),
        "no_gradient": KEY,
    },
    "AFTSimple": {
        "make": lambda: AFTSimple(causal=True, use_bias=True),
        "inputs": sequence,
        "mask": lambda: keep(3, 6),
        "no_gradient": KEY,
    },
    "AFTConv1D": {
        "make": lambda: AFTConv1D(2, 3, causal=True),
        "inputs": sequence,
        "mask": lambda: keep(3, 6),
        "no_gradient": KEY,
    },
    "AFTConv2D": {
        "make": lambda: AFTConv2D(2, 3),
        "inputs": lambda: floats(3, 4, 5, 4),
        "mask": lambda: keep(3, 4, 5),
        "no_gradient": KEY,
    },
    "TransformerBlock": {
        "make": lambda: TransformerBlock(AFTFull(8, bias_dim=2), 8),
        "inputs": sequence,
        "mask": lambda: keep(3, 6),
        "no_gradient": KEY,
    },
    "AFTClassifier": {
        "make": lambda: AFTClassifier(4, 2, 3, 8, 1, bias_dim=2, channels=1, pixel_mean=0.0),
        "inputs": lambda: 100 * floats(3, 4, 4, 1),
        "no_gradient": KEY,
        "fit": lambda: against(np.arange(3)),
    },
    "AFTLanguageModel": {
        "make": lambda: AFTLanguageModel(8, 8, 1, vocabulary=5, window=2, bias_dim=2),
        "inputs": lambda: whole(5, 3, 6),
        "no_gradient": KEY,
        "fit": lambda: against(whole(5, 3, 6)),
    },
    "AFTImageModel": {
        "make": lambda: AFTImageModel((2, 2, 1), 3, 4, 1, window=2, bias_dim=2),
        "inputs": lambda: whole(3, 3, 2, 2, 1),
        "no_gradient": KEY,
        "fit": lambda: against(whole(3, 3, 2, 2, 1)),
    },
    "BitsPerSymbol": {"make": lambda: BitsPerSymbol("bits_per_byte")},
}

SMALL_RUN = ("aft/digits", ["epochs=1"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""
