"""Small discriminators and images for several of AFV's tests."""

from unittest import mock

import keras
import numpy as np

from tfzoo.afv import FisherVectorizer, make_discriminator, networks


def images(n=5, size=16, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, size, size, channels)).astype("float32")


def with_blocks(count):
    """Builds discriminators with fewer blocks than the paper's four, whose tracing dominates test
    time."""
    return mock.patch.object(networks, "BLOCKS", count)


def discriminator(head="sigmoid", width=3, channels=1, seed=0, blocks=1):
    keras.utils.set_random_seed(seed)
    with with_blocks(blocks):
        model = make_discriminator(16, channels, width, head)
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        value = weight.numpy()
        weight.assign(value + 0.1 * rng.normal(size=value.shape))
    return model


def vectorizer(n=64, **options):
    fisher = FisherVectorizer(discriminator(), **options)
    return fisher.adapt(images(n, seed=7))
