"""The layers: parameters, decoding, masks, and replacing MultiHeadAttention."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from support import TESTS, load_module, slow
from tfzoo.aft import AFTConv1D, AFTConv2D, AFTFull, AFTLocal, AFTSimple, aft_simple

ref = load_module("aft/reference.py")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 11, 4)).astype("float32")

CAUSAL = {
    "simple": lambda: AFTSimple(causal=True),
    "full": lambda: AFTFull(12, bias_dim=3, causal=True),
    "full-naive": lambda: AFTFull(12, factorized=False, causal=True),
    "local": lambda: AFTLocal(12, window=3, bias_dim=3, causal=True),
    "local-naive": lambda: AFTLocal(12, window=3, factorized=False, causal=True),
    "diagonal": lambda: AFTLocal(12, window=1, bias_dim=3, causal=True),
    "no window": lambda: AFTLocal(12, window=0, bias_dim=3, causal=True),
    "conv": lambda: AFTConv1D(2, 5, causal=True),
}


def moved(layer, x=X):
    """The built layer, with weights moved off their special initial values."""
    layer(x)
    for weight in layer.trainable_weights:
        weight.assign_add(0.5 * RNG.normal(size=weight.shape))
    return layer


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("name", CAUSAL)
def test_decoding_equals_the_parallel_form(name, jit):
    layer = moved(CAUSAL[name]())
    step = tf.function(layer.decode_step, jit_compile=jit, autograph=False)
    state, decoded = layer.initial_state(2), []
    shapes = [tuple(v.shape) for v in tf.nest.flatten(state)]
    for t in range(X.shape[1]):
        y, state = step(X[:, t], state, tf.constant(t))
        decoded.append(y.numpy())
    np.testing.assert_allclose(np.stack(decoded, 1), layer(X), rtol=0, atol=2e-6)
    assert [tuple(v.shape) for v in tf.nest.flatten(state)] == shapes


@pytest.mark.parametrize("key", [80.0, 200.0])
def test_decoding_is_finite_and_equal_under_huge_keys(key):
    layer = moved(AFTLocal(12, window=3, bias_dim=3, causal=True))
    x = X * key
    state, decoded = layer.initial_state(2), []
    for t in range(x.shape[1]):
        y, state = layer.decode_step(x[:, t], state, t)
        decoded.append(ops.convert_to_numpy(y))
    expected = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(np.stack(decoded, 1), expected, rtol=2e-4, atol=2e-4 * key)


def test_a_layer_is_its_projections_around_the_operation():
    layer = moved(AFTLocal(12, window=3, bias_dim=3))
    q, k, v = (d(X) for d in (layer.query_dense, layer.key_dense, layer.value_dense))
    bias = (np.asarray(layer.u) @ np.asarray(layer.v).T)[:11, :11] * ref.near(11, 3)
    mixed = ref.aft(q, k, v, bias).astype("float32")
    np.testing.assert_allclose(layer(X), layer.output_dense(mixed), rtol=0, atol=1e-5)


def test_conv_starts_as_simple_with_a_key_a_head():
    layer = AFTConv1D(2, 5)
    outputs = layer(X)
    q, k, v = (d(X) for d in (layer.query_dense, layer.key_dense, layer.value_dense))
    assert k.shape[-1] == 2
    expected = layer.output_dense(aft_simple(q, ops.repeat(k, 2, -1), v))
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_kernels_are_normalised_by_head():
    layer = moved(AFTConv2D(2, 3), X[:, None])
    layer.gamma.assign([2.0, 0.5])
    layer.beta.assign([-1.0, 3.0])
    kernel = ops.convert_to_numpy(layer.kernel())
    np.testing.assert_allclose(kernel.mean((1, 2)), [-1.0, 3.0], atol=1e-5)
    np.testing.assert_allclose(kernel.std((1, 2)), [2.0, 0.5], rtol=1e-3)


def test_first_gradient_moves_gamma_and_not_the_raw_kernel():
    layer = AFTConv1D(2, 5)
    layer(X)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(X) ** 2)
    raw, gamma = tape.gradient(loss, [layer.w.value, layer.gamma.value])
    assert np.abs(raw).max() == 0 and np.abs(gamma).min() > 1e-6


@pytest.mark.parametrize(
    "make",
    [
        slow(lambda: AFTFull(16, bias_dim=2)),
        lambda: AFTLocal(16, 3, bias_dim=2),
        slow(lambda: AFTSimple()),
        lambda: AFTConv1D(2, 3),
    ],
)
def test_replaces_multi_head_attention(make):
    """Supports the same calls, a mask from an Embedding, any length, and training in fit."""
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(7, 4, mask_zero=True)(inputs)
    outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(make()(x, x)))
    model = keras.Model(inputs, outputs)
    tokens = RNG.integers(1, 7, (4, 9))
    padded = np.pad(tokens, ((0, 0), (0, 5)))
    np.testing.assert_allclose(model(tokens), model(padded), rtol=0, atol=1e-5)
    model.compile("sgd", "mse")
    model.fit(tokens, np.ones((4, 1)), verbose=0)
    model.fit(tokens[:, :5], np.ones((4, 1)), verbose=0)


def test_causal_mask_by_call_and_key_masks_by_argument():
    layer = moved(AFTFull(12, bias_dim=2))
    later = X.copy()
    later[:, 6:] = 3.0
    a, b = (layer(x, use_causal_mask=True)[:, :6] for x in (X, later))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    keep = np.arange(11) < 6
    for mask in (np.tile(keep, (2, 1)), np.tile(keep, (2, 1, 1))):
        a, b = (layer(x, attention_mask=mask)[:, :6] for x in (X, later))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"attention_mask \(2, 11, 11\)"):
        layer(X, attention_mask=np.ones((2, 11, 11)))


def test_conv_works_at_other_sizes_than_it_was_built_for():
    layer = moved(AFTConv2D(2, 3), RNG.normal(size=(1, 4, 4, 4)).astype("float32"))
    assert layer(RNG.normal(size=(1, 7, 9, 4)).astype("float32")).shape == (1, 7, 9, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: AFTFull(0), "max_length=0"),
        (lambda: AFTFull(8, bias_dim=0), "bias_dim=0"),
        (lambda: AFTLocal(8, window=-1), "window=-1"),
        (lambda: AFTConv1D(2, 4), "kernel_size=4"),
        (lambda: AFTConv1D(0, 3), "num_heads=0"),
        (lambda: AFTConv1D(3, 3)(X), "num_heads=3.*4 channels"),
        (lambda: AFTConv2D(2, 3, causal=True), "causal=True"),
        (lambda: AFTFull(8)(X), "11 positions.*max_length=8"),
        (lambda: AFTFull(16)(X[0]), r"must be \[B, T, D\]"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_jax_gives_the_same(tmp_path):
    """Forward pass and gradients of every layer, on both backends, from the same weights."""
    pytest.importorskip("jax")
    program = TESTS / "aft" / "backends.py"
    for backend in ("tensorflow", "jax"):
        environment = {**os.environ, "KERAS_BACKEND": backend}
        words = [sys.executable, program, tmp_path / f"{backend}.npz"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    a, b = (np.load(tmp_path / f"{name}.npz") for name in ("tensorflow", "jax"))
    assert a.files == b.files and len(a.files) > 10
    for name in a.files:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-5, err_msg=name)
