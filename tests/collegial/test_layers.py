"""Grouped convolutions and dense layers equal separate ones; NTK parametrisation."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow
from tfzoo.collegial import Aggregate, CollegialDense, GroupConv2D
from tfzoo.collegial.ops import grouped_conv2d


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


def reference(x, kernel, strides, padding):
    """The equation of a grouped convolution with equal filters per group, in float64."""
    (h, w), (kh, kw), steps = x.shape[1:3], kernel.shape[:2], strides
    if padding == "same":
        sides = [
            (-(-n // s) - 1) * s + k - n for n, s, k in zip((h, w), steps, (kh, kw), strict=True)
        ]
        pads = [[max(n, 0) // 2, max(n, 0) - max(n, 0) // 2] for n in sides]
        x = np.pad(x, [[0, 0], *pads, [0, 0]])
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (1, 2))
    windows = windows[:, :: steps[0], :: steps[1]].astype("float64")  # [B, H', W', C, kh, kw]
    groups = x.shape[-1] // kernel.shape[2]
    parts = zip(np.split(windows, groups, 3), np.split(kernel, groups, -1), strict=True)
    return np.concatenate([np.einsum("bhwcij,ijcf->bhwf", a, k) for a, k in parts], -1)


def geometries(kernels, sides, strides):
    for (kh, kw), (h, w), step in itertools.product(kernels, sides, strides):
        for padding in ("same", "valid")[: 2 if kh <= h and kw <= w else 1]:
            yield (kh, kw), (h, w), step, padding


ONE_COLUMN = list(geometries([(1, 1), (3, 2), (3, 3)], [(4, 1), (4, 3)], [(1, 2), (1, 3), (2, 3)]))
MANY = list(
    geometries(
        list(itertools.product((1, 2, 3), repeat=2)),
        list(itertools.product((1, 4, 7), (1, 2, 3, 5))),
        list(itertools.product((1, 2, 3), repeat=2)),
    )
)


@pytest.mark.parametrize("grid", [ONE_COLUMN, slow(MANY)], ids=["one column", "many"])
@pytest.mark.parametrize("each", [1, slow(2)])
def test_every_geometry_is_its_equation(grid, each):
    """One channel per group, strides (1, s > 1), one output column: TensorFlow's own result is
    undefined."""
    for size, sides, strides, padding in grid:
        x = normal(2, *sides, 2 * each)
        kernel = normal(*size, each, 4, seed=1)
        expected = reference(x, kernel, strides, padding)
        outputs = grouped_conv2d(x, kernel, strides, padding)
        said = f"{size} {sides} {strides} {padding}"
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4, err_msg=said)


def test_one_channel_of_any_width_in_a_graph():
    x, kernel = normal(2, 4, 3, 1), normal(3, 3, 1, 2, seed=1)
    spec = [tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([3, 3, 1, 2])]
    for padding in ("same", "valid"):
        graph = tf.function(
            lambda x, k, p=padding: grouped_conv2d(x, k, (1, 3), p), input_signature=spec
        )
        np.testing.assert_allclose(
            graph(x, kernel), reference(x, kernel, (1, 3), padding), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_dilation_beyond_the_image_costs_nothing(size):
    x, kernel = normal(2, 4, 3, 2), normal(size, size, 1, 2, seed=1)
    outputs = grouped_conv2d(x, kernel, padding="same", dilation_rate=(10**6, 10**6))
    expected = grouped_conv2d(x, kernel, padding="same", dilation_rate=(101, 101))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    apart = tf.nn.depthwise_conv2d(
        x, tf.reshape(kernel, (size, size, 2, 1)), [1] * 4, "SAME", dilations=(40, 40)
    )
    np.testing.assert_allclose(outputs, apart, rtol=1e-5, atol=1e-6)


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
