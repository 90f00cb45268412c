"""One example of each of the bottleneck's registered objects, for the conformance tests."""

import numpy as np

from tfzoo.bottleneck import BottleneckNetwork, InfiniteNetwork


def floats(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def whole_set():
    x = floats(6, 4, 2, seed=1)
    return {"x": x, "y": np.sin(x[:, :3, 0])}


def fitted(model, steps):
    model.compile()
    model.fit(**whole_set(), verbose=0, epochs=1, steps_per_epoch=steps)
    return model


CASES = {
    "BottleneckNetwork": {
        "make": lambda: fitted(BottleneckNetwork(3, draws=2, width=16, bias_scale=0.1), 20),
        "inputs": lambda: floats(3, 4, 2),
        "fit": whole_set,
    },
    "InfiniteNetwork": {
        "make": lambda: fitted(InfiniteNetwork(2, head_activation="erf"), 1),
        "inputs": lambda: floats(3, 4, 2),
        "fit": whole_set,
    },
}

SMALL_RUN = ("bottleneck/digits", ["epochs=3", "model.width=64", "model.draws=2", "batch_size=300"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""
