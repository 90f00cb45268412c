"""AFV's forward passes and losses on KERAS_BACKEND's backend; as a program, writes them to a
file."""

import sys

import keras
import numpy as np

from tfzoo.afv import EnergyGAN, OneVsAllSquaredHinge, make_discriminator, objectives
from tfzoo.afv.pixels import to_network
from tfzoo.layers import SNConv2D, SNDense, settle


def filled(model):
    """The model with equal weights on every backend."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(0.3 * rng.uniform(0.1, 1, weight.shape))
    settle(model, 30)  # u and v would not be unit vectors otherwise
    return model


def compute():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (3, 16, 16, 1)).astype("float32")
    o, p = rng.normal(size=(2, 3, 1)), rng.uniform(size=(2, 4, 5)).astype("float32")
    results = {"pixels": to_network(np.abs(x[:, :14, :14]), 16, 0.5, 0.5)}
    for head in ("sigmoid", "logit", "experts"):
        model = filled(make_discriminator(16, 1, 2, head, 3))
        results[head] = model(x, training=False)
        results[f"{head} training"] = model(x, training=True)
    gan = filled(EnergyGAN(16, 1, 2, latent=3, seed=0))
    results["generated"] = gan.generate(rng.normal(size=(2, 3)).astype("float32"))
    results["energy"] = gan(x)
    for name in objectives.OBJECTIVES:
        real, fake = p if name == "vgan" else o
        results[f"{name} d"] = objectives.discriminator_loss(name, real, fake)
        results[f"{name} g"] = objectives.generator_loss(name, fake)
    results["hinge"] = OneVsAllSquaredHinge()(np.eye(5)[:4], p[0])
    for name, layer in (("conv", SNConv2D(4, 3, strides=2)), ("dense", SNDense(4))):
        layer(x)
        filled(layer)
        results[name] = layer(x, training=True)
        results[f"{name} u"] = layer.u
    return {name: keras.ops.convert_to_numpy(value) for name, value in results.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **compute())
