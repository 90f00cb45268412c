"""Grouped convolutions and dense layers equal separate ones; NTK parametrisation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.collegial import Aggregate, CollegialDense, GroupConv2D


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def gradients(call, x, weights):
    with tf.GradientTape() as tape:
        x = tf.convert_to_tensor(x)
        tape.watch(x)
        y = call(x)
        loss = tf.reduce_sum(y * tf.cos(tf.reshape(tf.range(tf.size(y), dtype="float32"), y.shape)))
    return y, [tf.convert_to_tensor(g) for g in tape.gradient(loss, [x, *weights])]


CASES = [
    {"padding": "same"},
    {"padding": "valid"},
    {"padding": "same", "strides": 2},
    {"padding": "valid", "strides": (2, 1)},
    {"padding": "same", "dilation_rate": 2},
    {"padding": "valid", "dilation_rate": (1, 2), "use_bias": False},
]


@pytest.mark.parametrize("jit", [False, True], ids=["tf", "xla"])
@pytest.mark.parametrize("keywords", CASES)
def test_grouped_convolution_is_separate_convolutions(keywords, jit):
    g, c, f = 3, 2, 4
    x = normal(2, 7, 6, g * c)
    layer = GroupConv2D(g * f, 3, groups=g, activation="tanh", **keywords)
    layer.build(x.shape)
    separate = [keras.layers.Conv2D(f, 3, activation="tanh", **keywords) for _ in range(g)]
    for k, one in enumerate(separate):
        one.build((None, 7, 6, c))
        one.set_weights([w.numpy()[..., k * f : (k + 1) * f] for w in layer.weights])

    def apart(x):
        return tf.concat([one(x[..., k * c : (k + 1) * c]) for k, one in enumerate(separate)], -1)

    together = tf.function(
        lambda x: gradients(layer, x, [w.value for w in layer.weights]), jit_compile=jit
    )
    y, (dx, *dw) = together(x)
    expected, (dx2, *dw2) = gradients(apart, x, [w.value for one in separate for w in one.weights])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, dx2, rtol=1e-4, atol=1e-5)
    per = len(layer.weights)
    for i, d in enumerate(dw):
        np.testing.assert_allclose(d, np.concatenate(dw2[i::per], -1), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape(x.shape) == tuple(y.shape)


def test_grouped_convolution_is_keras_own():
    x = normal(2, 5, 5, 6)
    ours, theirs = GroupConv2D(9, 3, groups=3), keras.layers.Conv2D(9, 3, groups=3)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("parametrization", ["standard", "ntk"])
def test_collegial_dense_is_a_loop(shared, parametrization):
    m, n, units = 4, 5, 3
    x = normal(6, n) if shared else normal(6, m, n)
    layer = CollegialDense(
        m, units, "relu", parametrization=parametrization, weight_scale=1.5, bias_scale=0.3,
        bias_initializer="random_normal",
    )  # fmt: skip
    y = layer(x)
    kernel, bias = layer.get_weights()
    scale, shift = (1.5 / n**0.5, 0.3) if parametrization == "ntk" else (1.0, 1.0)
    for j in range(m):
        mine = x if shared else x[:, j]
        expected = np.maximum(scale * mine @ kernel[j] + shift * bias[j], 0)
        np.testing.assert_allclose(y[:, j], expected, rtol=1e-5, atol=1e-5)


def test_initial_sizes():
    x = normal(64, 50)
    for keywords in ({}, {"parametrization": "ntk"}):
        y = np.asarray(CollegialDense(40, 30, **keywords)(x))
        assert y.var() / (x**2).mean() == pytest.approx(2.0, rel=0.1)  # He: 2 / n each


def test_aggregate_is_one_over_the_root():
    x = normal(3, 5, 2)
    np.testing.assert_allclose(Aggregate()(x), x.sum(1) / np.sqrt(5), rtol=1e-6)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("groups=3.*filters=4", lambda: GroupConv2D(4, 3, groups=3)),
        ("groups=0", lambda: GroupConv2D(4, 3, groups=0)),
        ("groups=2.*5 channels", lambda: GroupConv2D(4, 3, groups=2).build((None, 4, 4, 5))),
        ("channels_first", lambda: GroupConv2D(4, 3, data_format="channels_first")),
        ("padding='causal'", lambda: GroupConv2D(4, 3, padding="causal")),
        ("members=0", lambda: CollegialDense(0, 3)),
        ("units=0", lambda: CollegialDense(3, 0)),
        ("parametrization='mup'", lambda: CollegialDense(3, 3, parametrization="mup")),
        (r"\[B, 3, n\]", lambda: CollegialDense(3, 3)(normal(2, 4, 5))),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()
