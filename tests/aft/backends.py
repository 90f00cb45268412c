"""Outputs and input gradients of AFT's layers on the backend of KERAS_BACKEND."""

import sys

import keras
import numpy as np

from tfzoo.aft import AFTConv1D, AFTConv2D, AFTFull, AFTLocal, AFTSimple

rng = np.random.default_rng(0)
sequence = rng.normal(size=(2, 70, 4)).astype("float32")
image = rng.normal(size=(2, 5, 6, 4)).astype("float32")
LAYERS = {
    "full": (AFTFull(80, bias_dim=3), sequence),
    "full-causal": (AFTFull(80, bias_dim=3, causal=True), sequence),
    "full-exact": (AFTFull(80, bias_dim=3, causal=True), sequence * 100),
    "local": (AFTLocal(80, window=5, bias_dim=3), sequence),
    "local-causal": (AFTLocal(80, window=5, bias_dim=3, causal=True), sequence),
    "local-exact": (AFTLocal(80, window=5, bias_dim=3, causal=True), sequence * 100),
    "simple": (AFTSimple(), sequence),
    "simple-causal": (AFTSimple(causal=True), sequence),
    "conv1d": (AFTConv1D(2, 5), sequence),
    "conv2d": (AFTConv2D(2, 3), image),
}


def gradient(function, x):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(function))(x)
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = function(x)
    return tape.gradient(loss, x)


results = {}
for name, (layer, x) in LAYERS.items():
    layer(x)
    values = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(0.5 * values.normal(size=weight.shape))
    results[name] = np.asarray(layer(x))
    ramp = np.cos(np.arange(x.size)).reshape(x.shape).astype("float32")
    results[f"{name} gradient"] = np.asarray(
        gradient(lambda x, f=layer, r=ramp: keras.ops.sum(f(x) * r), x)
    )
np.savez(sys.argv[1], **results)
