"""One example of each of AFV's registered objects, for the conformance tests."""

import keras
import numpy as np

from support import load_module
from tfzoo.afv import (
    AFVClassifier,
    EnergyGAN,
    ExpertEnergy,
    FisherVectorizer,
    OneVsAllSquaredHinge,
    make_discriminator,
    make_generator,
)

small = load_module("afv/small.py")


def images(n=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, 16, 16, 1)).astype("float32")


def fitted(**options):
    keras.utils.set_random_seed(0)
    # an untrained sigmoid's last bias hardly varies: rounding dominates its coordinate
    with small.with_blocks(1):
        model = make_discriminator(16, 1, 2, "logit")
    return FisherVectorizer(model, **options).adapt(images(32, seed=7))


def classifier():
    model = AFVClassifier(
        fitted(), make_generator(16, 1, 2, 3), 3, (16, 16, 1), 0.0, 1.0, use_bias=True
    )
    model.kernel.assign(0.1 * np.random.default_rng(0).normal(size=model.kernel.shape))
    return model


CASES = {
    "AFVClassifier": {
        "make": classifier,
        "inputs": images,
        "fit": lambda: {
            "compile": {"optimizer": "adam", "loss": OneVsAllSquaredHinge()},
            "y": np.eye(3, dtype="float32"),
        },
    },
    "EnergyGAN": {
        "make": lambda: EnergyGAN(16, 1, 2, latent=3, seed=0),
        "inputs": images,
        "no_gradient": ("g_",),  # calling evaluates D, which does not use the generator
        "fit": dict,
    },
    "ExpertEnergy": {
        "make": ExpertEnergy,
        "inputs": lambda: np.random.default_rng(0).uniform(0.05, 0.95, (3, 5)).astype("float32"),
    },
    "FisherVectorizer": {"make": fitted, "inputs": images},
    "OneVsAllSquaredHinge": {"make": OneVsAllSquaredHinge},
}

SMALL_RUN = (
    "afv/digits",
    [
        "epochs=1",
        "model.width=2",
        "model.latent=3",
        "monitor_every=1",
        "readout.examples=300",
        "readout.samples=64",
        "readout.served_features=32",
    ],
)
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""
