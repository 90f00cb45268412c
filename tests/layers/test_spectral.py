"""Spectral norm by hand: sigma, PyTorch's iteration, the gradient through the division."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.layers import SNConv2D, SNDense, settle


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def matrix(layer):
    return layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])


LAYERS = [
    (lambda: SNDense(4), (3, 7)),
    (lambda: SNConv2D(4, 3, padding="same"), (3, 6, 6, 2)),
    (lambda: SNConv2D(4, (2, 3), strides=2), (3, 6, 7, 2)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_the_largest_singular_value_becomes_one(make, shape):
    layer = make()
    layer(normal(*shape))
    layer.kernel.assign(3 * normal(*layer.kernel.shape, seed=1))
    layer.settle(200)
    values = np.linalg.svd(matrix(layer) / layer.sigma().numpy(), compute_uv=False)
    assert values[0] == pytest.approx(1.0, abs=1e-5) and values[1] < 0.999
    assert layer.sigma().numpy() == pytest.approx(np.linalg.svd(matrix(layer))[1][0], rel=1e-5)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_a_training_call_is_one_iteration_of_pytorchs(make, shape):
    """torch's spectral_norm: v = W^T u, u = W v (W its transpose of ours), normalised."""
    layer = make()
    x = normal(*shape)
    layer(x)
    layer.u.assign(normal(4, seed=3))
    w, u = matrix(layer), layer.u.numpy()
    v = w @ u / np.linalg.norm(w @ u)
    u = w.T @ v / np.linalg.norm(w.T @ v)
    layer(x, training=True)
    np.testing.assert_allclose(layer.v, v, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)
    before = layer.kernel.numpy()
    layer(x, training=False)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(layer.kernel, before)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_the_plain_layer_of_the_normalised_kernel(make, shape):
    layer, x = make(), normal(*shape)
    y = layer(x)
    assert layer.compute_output_shape(shape) == tuple(y.shape)
    kernel = matrix(layer) / (layer.v.numpy() @ matrix(layer) @ layer.u.numpy())
    if isinstance(layer, SNDense):
        plain = keras.layers.Dense(4)
    else:
        settings = {"strides": layer.strides, "padding": layer.padding}
        plain = keras.layers.Conv2D(4, layer.kernel_size, **settings)
    plain.build(shape)
    plain.set_weights([kernel.reshape(layer.kernel.shape), layer.bias.numpy()])
    np.testing.assert_allclose(y, plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_the_gradient_is_orthogonal_to_the_kernel(make, shape):
    """f(W / sigma) is invariant to the scale of W: <dF/dW, W> = 0 for sigma = v^T W u."""
    layer, x = make(), normal(*shape)
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cos(layer(x)))
    gradient = tape.gradient(loss, layer.kernel.value).numpy()
    size = np.linalg.norm(gradient) * np.linalg.norm(layer.kernel)
    assert size > 1e-2 and abs(np.sum(gradient * layer.kernel.numpy())) < 1e-5 * size


def test_settle_reaches_layers_inside_a_model():
    model = keras.Sequential([keras.Input((4, 4, 1)), SNConv2D(3, 3), keras.layers.Flatten()])
    model.add(SNDense(2))
    for layer in (model.layers[0], model.layers[-1]):
        layer.kernel.assign(normal(*layer.kernel.shape))
    settle(model, 100)
    for layer in (model.layers[0], model.layers[-1]):
        assert layer.sigma().numpy() == pytest.approx(np.linalg.svd(matrix(layer))[1][0], rel=1e-3)


def test_training_under_xla_moves_u_and_the_kernel():
    model = keras.Sequential([keras.Input((5,)), SNDense(8, "relu"), SNDense(1)])
    model.compile("sgd", "mse", jit_compile=True)
    before = [w.numpy() for w in model.weights]
    x = normal(32, 5)
    losses = model.fit(x, 0.5 * x[:, :1], epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    moved = [np.abs(a - b).max() > 0 for a, b in zip(before, model.weights, strict=True)]
    assert moved == [w.shape != (1,) or w.trainable for w in model.weights]  # one output: u = 1


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("units=0", lambda: SNDense(0)),
        ("filters=0", lambda: SNConv2D(0, 3)),
        ("power_iterations=0", lambda: SNDense(2, power_iterations=0)),
        ("padding='causal'", lambda: SNConv2D(2, 3, padding="causal")),
        (r"\[B, H, W, C\]", lambda: SNConv2D(2, 3)(normal(2, 4))),
        ("last axis", lambda: SNDense(2).build((None, None))),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()
