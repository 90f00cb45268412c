"""One example of each of Skip-Clip's registered objects, for the conformance tests."""

import keras
import numpy as np

from tfzoo.skipclip import (
    ActionRecognizer,
    ClipOrder,
    FoldedBatchNormalization,
    PadChannels,
    SkipClip,
    TrunkSGD,
    make_encoder,
)


def uniform(*shape):
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


def encoder():
    keras.utils.set_random_seed(0)
    return make_encoder("small", width=2)


def skipclip():
    return SkipClip(encoder(), 2, rotation_weight=1.0, head="conv1x1", head_width=3)


CASES = {
    "ActionRecognizer": {
        "make": lambda: ActionRecognizer(encoder(), 3, view=(12, 0.75)),
        "inputs": lambda: uniform(3, 3, 12, 12, 3),
        "fit": lambda: {
            "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"},
            "y": np.arange(3),
        },
    },
    "ClipOrder": {
        "make": lambda: ClipOrder(encoder(), 2, hidden=4),
        "inputs": lambda: uniform(3, 2, 2, 12, 12, 3),
        "fit": lambda: {"y": np.array([0, 1, 0])},
    },
    "FoldedBatchNormalization": {
        "make": FoldedBatchNormalization,
        "inputs": lambda: uniform(3, 2, 4, 4, 3) / 255,
        "mask": lambda: np.arange(3 * 2 * 4 * 4).reshape(3, 2, 4, 4) % 3 > 0,
    },
    "PadChannels": {
        "make": lambda: PadChannels(5, 2),
        "inputs": lambda: uniform(3, 3, 5, 4, 3),
    },
    "SkipClip": {
        "make": skipclip,
        "inputs": lambda: uniform(3, 3, 2, 12, 12, 3),
        "fit": lambda: {"y": np.arange(3)},
    },
    "TrunkSGD": {"make": TrunkSGD},
}

SMALL_RUN = ("skipclip/motions", ["epochs=1", "steps_per_epoch=3", "finetune.epochs=1"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""

CARD_AFTER = "import keras, tfzoo\nassert keras.models.load_model('motions.keras').classes == 12"
"""Checks, in a new process, what the card's program has written."""
