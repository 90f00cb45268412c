"""Kernels and their gradients on KERAS_BACKEND's backend, float32; as a program, writes them to a
file."""

import sys

import keras
import numpy as np

from tfzoo.bottleneck.blockwise import kernel_matrix, kernel_times
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP

BLOCKWISE = InfiniteMLP(2, bias_scale=0.3)
NETS = {
    "relu": InfiniteMLP(2, bias_scale=0.3, readout_scale=0.8),
    "erf": InfiniteMLP(1, "erf"),
    "composition": Composition(InfiniteMLP(1), InfiniteMLP(1)),
}
RAMP = np.cos(np.arange(30)).reshape(6, 5).astype("float32")


def points():
    """[6, 4] and [5, 4], including equal, antipodal, zero and parallel points."""
    rng = np.random.default_rng(0)
    x1, x2 = (rng.normal(size=(n, 4)).astype("float32") for n in (6, 5))
    x1[1], x1[2], x1[3], x2[0] = x1[0], -x1[0], 0.0, 2 * x1[0]
    return x1, x2


def both(function, x):
    """A function's value, and the gradient of its sum weighted by `RAMP`."""

    def weighted(x):
        value = function(x)
        return keras.ops.sum(value * RAMP), value

    if keras.backend.backend() == "jax":
        import jax

        (_, value), gradient = jax.jit(jax.value_and_grad(weighted, has_aux=True))(x)
        return value, gradient
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total, value = weighted(x)
    return value, tape.gradient(total, x)


def compute():
    x1, x2 = points()
    results = {}
    for name, net in NETS.items():
        pair = both(lambda x, net=net: net.ntk(x, x2), x1)
        results[f"{name} ntk"], results[f"{name} gradient"] = pair
    results["own ntk"] = NETS["relu"].ntk(x1)
    results["input gradient"] = NETS["erf"].input_gradient(x1, x2)[1]
    results["matrix"] = kernel_matrix(BLOCKWISE, x1, memory=1000)
    results["times"] = kernel_times(BLOCKWISE, x1, None, x1[:, :2], memory=1000)
    return {name: np.asarray(value) for name, value in results.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute())
