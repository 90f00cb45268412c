"""Small encoders and clips for several of Skip-Clip's tests."""

import keras
import numpy as np

from tfzoo.skipclip import SkipClip, make_encoder


def encoder(kind="small", seed=0, **options):
    keras.utils.set_random_seed(seed)
    return make_encoder(kind, width=2, **options)


def clips(batch=3, count=4, frames=3, size=16, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 255, (batch, count, frames, size, size, 3)).astype("float32")


def skipclip(seed=0, **options):
    backbone = encoder(seed=seed)
    return SkipClip(backbone, futures=3, margin=0.1, **options)
