"""`Collegial`: members, their gradient, extracting and inserting them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.collegial import Collegial


def block(**keywords):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, activation="tanh", **keywords)(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, **keywords)(hidden))


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4)).astype("float32"), rng.normal(size=(6, 2)).astype("float32")


def test_forward_is_the_members_sum_over_the_root():
    x, _ = data()
    layer = Collegial(block(), 3)
    expected = sum(layer.member(j)(x) for j in range(3)) / np.sqrt(3.0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(layer.member(0)(x) - layer.member(1)(x)).max() > 1e-2


def test_gradient_of_a_member_sees_the_common_residual():
    x, y = data()
    layer = Collegial(block(), 3)
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum((layer(x) - y) ** 2) / 2
    weights = [w.value for w in layer.members[1].trainable_weights]
    gradients = tape.gradient(loss, weights)
    plain, residual = layer.member(1), layer(x) - y
    with tf.GradientTape(persistent=True) as tape:
        f = plain(x)
        ours = tf.reduce_sum(f * tf.stop_gradient(residual)) / np.sqrt(3.0)
        own = tf.reduce_sum((f - y) ** 2) / 2
    plain_weights = [w.value for w in plain.trainable_weights]
    for a, b in zip(gradients, tape.gradient(ours, plain_weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    apart = tape.gradient(own, plain_weights)  # the gradient of training the member alone
    assert max(np.abs(a - b).max() for a, b in zip(gradients, apart, strict=True)) > 0.1


def test_one_member_is_the_plain_net():
    x, _ = data()
    layer = Collegial(block(), 1)
    np.testing.assert_allclose(layer(x), layer.member(0)(x), rtol=1e-6)


def test_a_member_goes_out_and_in():
    x, _ = data()
    layer = Collegial(block(), 2)
    before = layer(x)
    plain = layer.member(0)
    plain.set_weights([w + 1 for w in plain.get_weights()])
    np.testing.assert_array_equal(layer(x), before)  # a copy
    layer.set_member(0, plain)
    expected = (plain(x) + layer.member(1)(x)) / np.sqrt(2.0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)


def test_plain_layers_and_training_flag():
    x, _ = data()
    layer = Collegial(keras.layers.Dense(3), 2)
    assert layer(x).shape == (6, 3) and layer.member(0)(x).shape == (6, 3)
    inputs = keras.Input((4,))
    dropped = Collegial(keras.Model(inputs, keras.layers.Dropout(0.5)(inputs)), 2)
    assert (np.asarray(dropped(x, training=True)) != np.asarray(dropped(x))).any()
    np.testing.assert_allclose(dropped(x, training=False), x * np.sqrt(2.0), rtol=1e-6)


def test_refused():
    x, _ = data()
    with pytest.raises(ValueError, match="members=0"):
        Collegial(block(), 0)
    fixed = keras.initializers.GlorotUniform(seed=3)
    with pytest.raises(ValueError, match="fixed seeds"):
        Collegial(block(kernel_initializer=fixed), 2)(x)
    layer = Collegial(block(), 2)
    layer(x)
    with pytest.raises(IndexError, match="index=2"):
        layer.member(2)
