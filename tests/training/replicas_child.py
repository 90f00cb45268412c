"""Two SGD steps of the named cases on two replicas and on one device; prints the differences."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from tfzoo.afv import EnergyGAN
from tfzoo.afv.objectives import marginal_entropy
from tfzoo.sdn import SetDistributionNetwork
from tfzoo.skipclip import SkipClip, make_encoder
from tfzoo.training import replicas
from tfzoo.training.distribute import make_strategy, share, synchronised

BATCH, STEPS = 4, 2
RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.uniform(-1, 1, (STEPS * BATCH, *shape)).astype("float32")


def players(model):
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), jit_compile=False)
    return model


def sets(preset, size):
    common = {"code_dim": 4, "noise_dim": 2, "width": 4, "prior_hidden": [6], "seed": 1}
    model = SetDistributionNetwork(
        size, preset=preset, margin=2.0, prior_to_encoder=0.1, pixel_mean=0, pixel_std=1, **common
    )
    return players(model)


def gan(objective, **keywords):
    size = {"image_size": 16, "channels": 1, "width": 4, "latent": 3, "experts": 5, "seed": 1}
    return players(EnergyGAN(objective=objective, **size, **keywords))


class Entropy(keras.Model):
    """A loss that is not a mean over rows: the entropy of mean probabilities."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(3, "sigmoid")
        self.layer.build((None, 2))
        self.built = True
        self.compile(keras.optimizers.SGD(1.0), jit_compile=False)

    def call(self, x):
        return self.layer(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return replicas.share(marginal_entropy(y_pred))


def clips():
    encoder = make_encoder("small", width=2, pixel_mean=0, pixel_std=1)
    model = SkipClip(encoder, 2, rotation_weight=0.5, head="conv1x1", head_width=3)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    return model


def masked(size):
    mask = RNG.random((STEPS * BATCH, 3)) < 0.7
    mask[:, 0] = True
    return {"images": pixels(3, size, size, 1), "mask": mask}


CASES = {
    "sdn, mlp": (lambda: sets("mlp", 4), lambda: masked(4)),
    "sdn, conv": (lambda: sets("conv", 28), lambda: masked(28)),
    "afv, lsgan": (
        lambda: gan("lsgan", mcmc_weight=0.5, mcmc_noise=0.1),
        lambda: pixels(16, 16, 1),
    ),
    "afv, vgan": (lambda: gan("vgan"), lambda: pixels(16, 16, 1)),
    "entropy": (Entropy, lambda: 5 * pixels(2)),
    "skipclip": (clips, lambda: (pixels(3, 3, 8, 8, 3), np.arange(STEPS * BATCH) % 4)),
}


def trained(make, arrays, strategy):
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH, drop_remainder=True)
    keras.utils.set_random_seed(0)
    if strategy is None:
        model = make()
    else:
        with strategy.scope():
            model = make()
    start = [np.asarray(v) for v in model.variables]
    with synchronised(strategy, model):
        logs = model.fit(share(strategy, data, BATCH), steps_per_epoch=STEPS, verbose=0).history
    return model, start, logs


def main():
    assert replicas.count() == 1
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    strategy, results = make_strategy("mirrored"), {}
    assert strategy.num_replicas_in_sync == 2
    for name in sys.argv[1:]:
        make, arrays = CASES[name]
        given = arrays()
        one, start, logs = trained(make, given, None)
        two, _, shared = trained(make, given, strategy)
        worst, moved = ("", 0.0), 0.0
        for v, w, before in zip(one.variables, two.variables, start, strict=True):
            a, b = (np.asarray(x, "float64") for x in (v, w))
            gap = float(np.max(np.abs(a - b) / (1e-4 + 1e-3 * np.abs(a))))
            worst = max(worst, (v.path, gap), key=lambda x: x[1])
            moved = max(moved, float(np.abs(a - before).max()))
        figures = {k: [v[0], shared[k][0]] for k, v in logs.items()}
        results[name] = {"worst": worst, "moved": moved, "logs": figures}
    json.dump(results, sys.stdout)


main()
