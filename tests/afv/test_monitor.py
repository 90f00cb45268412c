"""Monitoring of a GAN in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import load_module
from tfzoo.afv import EnergyGAN, FisherVectorizer, GANMonitor

small = load_module("afv/small.py")


@pytest.fixture(autouse=True)
def shallow():
    with small.with_blocks(1):
        yield


def gan():
    keras.utils.set_random_seed(0)
    model = EnergyGAN(16, 1, 3, latent=4, seed=0)
    model.compile()
    return model


def test_logs_are_the_vectorizers_and_pictures_repeat(tmp_path):
    model, x = gan(), small.images(24, seed=3)
    monitor = GANMonitor({"train": x}, tmp_path, samples=32, every=2, grid=3, seed=5)
    logs = model.fit(x, batch_size=8, epochs=3, verbose=0, callbacks=[monitor]).history
    assert len(logs["fisher_train"]) == 2 and len(logs["loss"]) == 3  # epochs 2 and the last
    assert sorted(p.name for p in tmp_path.iterdir()) == ["epoch-0002.png", "epoch-0003.png"]
    z = model.latents(64, 5)
    vectorizer = FisherVectorizer(model.discriminator).adapt(model.generate(z[:32]))
    expected = vectorizer.similarity(x)
    assert logs["distance_train"][-1] == pytest.approx(expected.distance, rel=1e-3)
    assert logs["fisher_train"][-1] == pytest.approx(expected.similarity, rel=1e-3)
    fresh = vectorizer.similarity(model.generate(z[32:]))
    assert logs["distance_fake"][-1] == pytest.approx(fresh.distance, rel=1e-3)
    assert logs["floor"][-1] == pytest.approx(2 / 32)
    picture = tf.io.decode_png((tmp_path / "epoch-0003.png").read_bytes()).numpy()
    assert picture.shape == (48, 48, 1)
    first = (model.generate(model.latents(9, 5)[:1]).numpy()[0] + 1) * 127.5
    assert np.abs(picture[:16, :16] - first).max() <= 1


def test_a_saturated_discriminator_is_no_number_but_no_error():
    model = gan()
    model.discriminator.get_layer("head").bias.assign([200.0])
    logs = GANMonitor({"val": small.images(20)}, samples=32).look(model)
    assert set(logs) == {
        "fisher_val", "distance_val", "fisher_fake", "distance_fake", "floor",
    }  # fmt: skip
    assert all(np.isnan(v) for v in logs.values())
    with pytest.raises(ValueError, match="every=0"):
        GANMonitor({}, every=0)
