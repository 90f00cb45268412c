"""Encoder, energy and generator of sets."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.sdn import (
    SetDiscriminator,
    SetEncoder,
    SetGenerator,
    make_decoder,
    make_encoder,
    straight_through,
)

SMALL = {"image_size": 4, "channels": 1, "code_dim": 5, "width": 6}


def sets(b=3, n=4, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (b, n, 4, 4, 1)).astype("float32")


def codes(b=3, d=5):
    return np.random.default_rng(1).choice([-1.0, 1.0], (b, d)).astype("float32")


def test_straight_through_is_the_sign_with_tanhs_gradient():
    a = tf.Variable(np.random.default_rng(0).normal(size=(50, 7)).astype("float32"))
    a[0, 0].assign(0.0)
    with tf.GradientTape() as tape:
        z = straight_through(a)
    assert set(np.unique(z)) == {-1.0, 1.0} and z[0, 0] == 1
    np.testing.assert_array_equal(z, np.where(a.numpy() < 0, -1, 1))
    np.testing.assert_allclose(tape.gradient(z, a), 1 - np.tanh(a.numpy()) ** 2, atol=1e-6)


def test_code_ignores_order_copies_and_absent_images():
    encoder, x = SetEncoder(**SMALL), sets()
    z, a = encoder(x)
    again, b = encoder(x[:, [2, 0, 3, 1]])
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_array_equal(z, again)
    np.testing.assert_allclose(encoder(np.concatenate([x, x], 1))[1], a, atol=1e-6)
    mask = np.array([[1, 1, 0, 1]] * 3, bool)
    x[:, 2] = 99  # absent: any values
    np.testing.assert_allclose(encoder(x, mask=mask)[1], encoder(x[:, [0, 1, 3]])[1], atol=1e-5)


def test_code_is_the_sign_of_the_mean_not_the_mean_of_signs():
    encoder, x = SetEncoder(**SMALL), sets()
    each = np.stack([np.asarray(encoder(x[:, i : i + 1])[1]) for i in range(4)], 1)
    z, a = encoder(x)
    np.testing.assert_allclose(a, each.mean(1), atol=1e-6)
    np.testing.assert_array_equal(z, np.where(each.mean(1) < 0, -1, 1))


def test_a_row_without_images_has_no_code():
    z, _ = SetEncoder(**SMALL)(sets(), mask=np.array([[1] * 4, [0] * 4, [1, 0, 0, 0]], bool))
    assert (np.abs(np.asarray(z)[[0, 2]]) == 1).all()
    np.testing.assert_array_equal(np.asarray(z)[1], 0)


def test_stochastic_codes_have_sigmoid_frequencies_in_training_only():
    encoder = SetEncoder(**SMALL, stochastic=True, seed=0)
    x = np.repeat(sets(1), 4000, 0)
    plain, a = encoder(x, training=False)
    drawn = np.asarray(encoder(x, training=True)[0])
    np.testing.assert_array_equal(plain, np.where(np.asarray(a) < 0, -1, 1))
    p = 1 / (1 + np.exp(-2 * np.asarray(a)[0]))
    np.testing.assert_allclose((drawn > 0).mean(0), p, atol=0.04)


def test_energy_is_the_mean_error_of_the_autoencoder():
    part, x, z = SetDiscriminator(**SMALL, bottleneck=2), sets(), codes()
    error = np.square(x - np.asarray(part.autoencode(x, z)))
    np.testing.assert_allclose(part(x, z), error.mean((1, 2, 3, 4)), rtol=1e-5)
    np.testing.assert_allclose(part(x[:, ::-1], z), part(x, z), rtol=1e-5)
    mask = np.array([[0, 1, 1, 0]] * 3, bool)
    np.testing.assert_allclose(part(x, z, mask=mask), error[:, 1:3].mean((1, 2, 3, 4)), rtol=1e-5)
    assert (np.asarray(part(x, z)) > 0).all()


def test_energy_sees_the_code_unless_it_is_hidden():
    x, z = sets(), codes()
    seeing, blind = (SetDiscriminator(**SMALL, bottleneck=2, use_code=u) for u in (True, False))
    assert np.abs(np.asarray(seeing(x, z)) - np.asarray(seeing(x, -z))).max() > 1e-4
    np.testing.assert_array_equal(blind(x, z), blind(x, -z))


def test_images_of_a_set_depend_on_their_own_noise_alone():
    part, z = SetGenerator(**SMALL, noise_dim=3), codes()
    noise = np.random.default_rng(2).normal(size=(3, 4, 3)).astype("float32")
    images = np.asarray(part(z, noise, training=False))
    swapped = part(z, noise[:, [1, 0, 2, 3]], training=False)
    np.testing.assert_allclose(swapped, images[:, [1, 0, 2, 3]], atol=1e-6)
    assert np.abs(images[:, 0] - images[:, 1]).max() > 1e-3
    assert np.abs(images).max() <= 1


@pytest.mark.parametrize(("preset", "size"), [("mlp", 5), ("conv", 28), ("sagan", 64)])
def test_every_preset_encodes_and_decodes(preset, size):
    encoder = make_encoder(preset, size, 1, 2, 3, 2, "e")
    decoder = make_decoder(preset, size, 1, 2, 4, True, "g")
    x = np.zeros((2, size, size, 1), "float32")
    assert encoder(x).shape == (2, 3) and decoder(np.ones((2, 4), "float32")).shape == x.shape
    names = [layer.name for layer in (*encoder.layers, *decoder.layers)]
    assert ("e_attention" in names and "g_attention" in names) == (preset == "sagan")


@pytest.mark.parametrize(
    "wrong",
    [("mlps", 4, 1, 2), ("conv", 30, 1, 2), ("sagan", 48, 1, 2), ("mlp", 4, 0, 2)],
)
def test_refuses_networks(wrong):
    with pytest.raises(ValueError, match="must be"):
        make_encoder(*wrong, 3, 2, "e")
