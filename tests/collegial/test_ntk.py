"""The empirical kernel against autodiff and exact cases; its spread over initialisations."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.collegial import Collegial, CollegialMLP, GroupConv2D, KernelDrift, empirical_ntk
from tfzoo.collegial.alpha import measure_alpha, squared_variation
from tfzoo.collegial.ntk import diagonal


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def mlp():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, activation="tanh")(inputs)
    x = keras.layers.Dense(6, activation="relu", use_bias=False)(x)
    return keras.Model(inputs, keras.layers.Dense(3, bias_initializer="random_normal")(x))


def convolutional():
    inputs = keras.Input((5, 5, 4))
    x = GroupConv2D(6, 3, groups=2, activation="tanh")(inputs)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))


def collegial():
    return CollegialMLP((4,), 3, members=3, width=5, depth=2, use_bias=True)


def wrapped():
    inputs = keras.Input((4,))
    return keras.Model(inputs, Collegial(mlp(), 2)(inputs))


def reference(model, x1, x2):
    def rows(x):
        with tf.GradientTape() as tape:
            y = model(x)
        parts = tape.jacobian(y, [w.value for w in model.trainable_weights])
        return np.concatenate([np.reshape(p, (*y.shape, -1)) for p in parts], -1)

    return np.einsum("iap,jbp->ijab", rows(x1), rows(x2))


@pytest.mark.parametrize("make", [mlp, convolutional, collegial, wrapped])
def test_kernel_is_the_products_of_jacobians(make):
    model = make()
    shape = (5, 5, 4) if make is convolutional else (4,)
    x1, x2 = normal(5, *shape), normal(3, *shape, seed=1)
    full = reference(model, x1, x2)
    mean = np.einsum("ijaa->ij", full) / full.shape[-1]
    for chunk in (2, 8):
        close = {"rtol": 1e-4, "atol": 1e-4 * np.abs(full).max()}
        np.testing.assert_allclose(empirical_ntk(model, x1, x2, chunk=chunk), mean, **close)
        np.testing.assert_allclose(
            empirical_ntk(model, x1, x2, chunk=chunk, full=True), full, **close
        )
        own = empirical_ntk(model, x1, chunk=chunk)
        np.testing.assert_allclose(own, empirical_ntk(model, x1, x1, chunk=chunk), **close)
        np.testing.assert_allclose(own, own.T, **close)


def test_the_model_is_left_as_it_was():
    model, x = mlp(), normal(5, 4)
    before = model(x).numpy()
    empirical_ntk(model, x)
    np.testing.assert_array_equal(model(x), before)
    assert all("call" not in vars(layer) for layer in model.layers)


def test_a_layer_used_twice_has_no_closed_form_but_a_kernel():
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(4, activation="tanh")
    model = keras.Model(inputs, layer(layer(inputs)))
    x = normal(3, 4)
    expected = np.einsum("ijaa->ij", reference(model, x, x)) / 4
    np.testing.assert_allclose(empirical_ntk(model, x), expected, rtol=1e-4)


def test_kernel_of_the_ensemble_is_the_mean_of_the_members():
    model, x = collegial(), normal(6, 4)
    members = [empirical_ntk(model.member(j), x) for j in range(3)]
    np.testing.assert_allclose(empirical_ntk(model, x), np.mean(members, 0), rtol=1e-4)
    inputs = keras.Input((4,))
    layer = Collegial(mlp(), 2)
    model = keras.Model(inputs, layer(inputs))
    members = [empirical_ntk(layer.member(j), x) for j in range(2)]
    np.testing.assert_allclose(empirical_ntk(model, x), np.mean(members, 0), rtol=1e-4)


def test_drift_is_logged():
    model, x = mlp(), normal(12, 4)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    history = model.fit(x, normal(12, 3, seed=2), epochs=3, verbose=0, callbacks=[KernelDrift(x)])
    drifts = history.history["kernel_drift"]
    assert 0 < drifts[0] < drifts[2] < 1
    frozen = mlp()
    frozen.compile(keras.optimizers.SGD(0.0), "mse")
    drifts = frozen.fit(x, normal(12, 3), verbose=0, callbacks=[KernelDrift(x)]).history
    assert drifts["kernel_drift"] == [0.0]


def bias_free(members=1):
    return lambda n: CollegialMLP((8,), 1, members, n, depth=1)


def test_spread_falls_with_the_members():
    x = normal(8)
    one, four = (diagonal(bias_free(m)(6), 6000, x=x, seed=m) for m in (1, 4))
    assert np.mean(one) == pytest.approx(np.mean(four), rel=0.1)
    assert squared_variation(one) / squared_variation(four) == pytest.approx(4.0, rel=0.3)


def test_alpha_of_one_relu_layer_is_near_three():
    fit = measure_alpha(bias_free(), [24, 48], depth=1, samples=6000)
    assert fit.low < fit.alpha < fit.high
    assert fit.alpha == pytest.approx(3.0, abs=0.5)  # V = 3 / n at large n, exactly
    assert fit.variances[0] > fit.variances[1]


def test_draws_are_the_initializers():
    values = diagonal(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), 5)
    assert np.ptp(values) < 1e-6  # a linear layer's kernel does not depend on its weights
    assert np.ptp(diagonal(mlp(), 5)) > 1e-3


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("chunk=0", lambda: empirical_ntk(mlp(), normal(2, 4), chunk=0)),
        ("no trainable", lambda: empirical_ntk(empty(), normal(2, 4))),
        ("must be float", lambda: empirical_ntk(sequence(), normal(2, 3, 4))),
        ("widths=", lambda: measure_alpha(bias_free(), [4], depth=1)),
        ("depth=0", lambda: measure_alpha(bias_free(), [4, 8], depth=0)),
        ("samples=1", lambda: measure_alpha(bias_free(), [4, 8], depth=1, samples=1)),
    ],
)  # fmt: skip
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def sequence():
    inputs = keras.Input((3, 4))
    return keras.Model(inputs, keras.layers.Dense(2)(inputs))


def empty():
    return keras.Sequential([keras.Input((4,))])
