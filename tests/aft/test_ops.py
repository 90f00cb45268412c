"""The operations against the paper's equations, and the properties that follow from them."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from support import load_module, slow
from tfzoo.aft import aft_conv, aft_full, aft_local, aft_simple, averages

ref = load_module("aft/reference.py")
B, T, D, H = 2, 37, 4, 2
RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(B, T, D)).astype("float32") for _ in range(3))
W = RNG.normal(size=(T, T)).astype("float32")
KERNEL = RNG.normal(size=(H, 5)).astype("float32")
MASKS = {
    "none": None,
    "end": np.arange(T)[None] < np.array([[T], [9]]),
    "start": np.arange(T)[None] >= np.array([[0], [5]]),  # causal: the first queries see nothing
}
KEYS = {
    "calm": K,
    "large": np.sign(K) * 200,
    "future": np.concatenate([K[:, :-1], K[:, -1:] + 200], 1),
}


def close(actual, expected, tolerance=1e-5):
    actual = ops.convert_to_numpy(actual)
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


@functools.cache
def compiled(form, *settings):
    """A call with arrays and a mask, traced once, as the exact form's loops are slow eagerly."""
    return tf.function(lambda *x: form(*x[:-1], *settings, x[-1]), autograph=False)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("causal", [False, True], ids=["both", "causal"])
def test_all_forms_are_their_equations(causal, keys, mask):
    key, m = KEYS[keys], MASKS[mask]
    full = compiled(aft_full, causal)
    close(full(Q, key, V, W, m), ref.aft(Q, key, V, W, causal, m))
    close(full(Q, key, V, 60 * W, m), ref.aft(Q, key, V, 60 * W, causal, m), 2e-5)
    close(compiled(aft_simple, causal)(Q, key, V, m), ref.aft(Q, key, V, 0 * W, causal, m))
    for window in (0, 1, 5, 36, 80):
        expected = ref.aft(Q, key, V, W * ref.near(T, window), causal, m)
        close(compiled(aft_local, window, causal)(Q, key, V, W, m), expected)
    bias = ref.toeplitz(KERNEL, T, D)
    expected = ref.aft(Q, key[..., :H].repeat(D // H, -1), V, bias, causal, m)
    close(compiled(aft_conv, causal)(Q, key[..., :H], V, KERNEL, m), expected)


def test_local_at_many_blocks_and_strongly_negative_biases():
    length = 150  # five blocks: keys of all distances
    q, k, v = (RNG.normal(size=(1, length, 2)).astype("float32") for _ in range(3))
    w = RNG.normal(size=(length, length)).astype("float32") - 20  # exp(w) - 1 would cancel
    k[0, 70] = 15
    for causal in (False, True):
        expected = ref.aft(q, k, v, w * ref.near(length, 20), causal)
        close(aft_local(q, k, v, w, 20, causal), expected, 5e-6)


@pytest.mark.parametrize("positions", [1024, 0], ids=["dense", "convolved"])
def test_conv_in_two_dimensions(positions, monkeypatch):
    monkeypatch.setattr("tfzoo.aft.ops.DENSE_POSITIONS", positions)
    height, width, size = 5, 6, 3
    q, v = (RNG.normal(size=(2, height, width, D)).astype("float32") for _ in range(2))
    k = RNG.normal(size=(2, height, width, H)).astype("float32")
    mask = RNG.random((2, height, width)) < 0.7
    for shift in (0.0, -30.0):  # the second cancels in exp(w) - 1: the dense form takes over
        kernel = RNG.normal(size=(H, size, size)).astype("float32") + shift
        bias = np.zeros((height, width, height, width, H))
        for y, x, j, i in np.ndindex(height, width, height, width):
            if abs(j - y) <= 1 and abs(i - x) <= 1:
                bias[y, x, j, i] = kernel[:, j - y + 1, i - x + 1]
        bias = bias.reshape(height * width, height * width, H).repeat(D // H, -1)
        flat = [a.reshape(2, -1, a.shape[-1]) for a in (q, k.repeat(D // H, -1), v)]
        for m in (None, mask):
            flat_mask = None if m is None else m.reshape(2, -1)
            expected = ref.aft(*flat, bias, mask=flat_mask).reshape(q.shape)
            close(aft_conv(q, k, v, kernel, mask=m), expected, 5e-6)


def test_limits_of_the_forms():
    for causal in (False, True):
        simple = ops.convert_to_numpy(aft_simple(Q, K, V, causal))
        close(aft_full(Q, K, V, 0 * W, causal), simple)
        close(aft_local(Q, K, V, W, 0, causal), simple)
        close(aft_local(Q, K, V, W, T, causal), ops.convert_to_numpy(aft_full(Q, K, V, W, causal)))


def test_constants_that_cancel():
    full = ops.convert_to_numpy(aft_full(Q, K, V, W))
    rows = RNG.normal(size=(T, 1)).astype("float32")
    close(aft_full(Q, K + np.float32([1, -2, 3, 0]), V, W), full)
    close(aft_full(Q, K, V, W + rows), full)
    local = ops.convert_to_numpy(aft_local(Q, K, V, W, 5))
    assert np.abs(ops.convert_to_numpy(aft_local(Q, K, V, W + rows, 5)) - local).max() > 1e-2


def test_results_lie_between_the_visible_values():
    average = ops.convert_to_numpy(aft_full(Q, K, V, W, True)) * (1 + np.exp(-Q))
    low, high = np.minimum.accumulate(V, 1), np.maximum.accumulate(V, 1)
    assert (average >= low - 1e-5).all() and (average <= high + 1e-5).all()


FORMS = {
    "full": lambda q, k, v, c: aft_full(q, k, v, W, c),
    "simple": lambda q, k, v, c: aft_simple(q, k, v, c),
    "local": lambda q, k, v, c: aft_local(q, k, v, W, 5, c),
    "conv": lambda q, k, v, c: aft_conv(q, k[..., :H], v, KERNEL, c),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_future_does_not_matter(name):
    form, half = FORMS[name], 20
    before = ops.convert_to_numpy(form(Q, K, V, True))[:, :half]
    k, v = K.copy(), V.copy()
    k[:, half:] += 5.0
    v[:, half:] = 9.0
    np.testing.assert_allclose(form(Q, k, v, True)[:, :half], before, rtol=0, atol=1e-6)
    k[:, half:] += 200.0
    close(form(Q, k, v, True)[:, :half], before)


def naive(key, value, bias, causal):
    a = key[:, None] + (bias[..., None] if len(bias.shape) == 2 else bias)[None]
    if causal:
        a = tf.where(np.tril(np.ones((T, T), bool))[None, :, :, None], a, -1e30)
    return tf.einsum("btsd,bsd->btd", tf.nn.softmax(a, axis=2), value)


@pytest.mark.parametrize("jit", [slow(False, id="graph"), pytest.param(True, id="xla")])
@pytest.mark.parametrize("scale", [1.0, 70.0], ids=["fast", "exact"])
@pytest.mark.parametrize("causal", [False, True], ids=["both", "causal"])
@pytest.mark.parametrize("name", ["full", "local", "simple"])
def test_gradients_are_those_of_the_equation(name, causal, scale, jit):
    if name == "simple" and jit and scale > 1:
        pytest.skip("the exact form under XLA is compiled for full and local")
    near = {"full": np.ones((T, T)), "local": ref.near(T, 5), "simple": np.zeros((T, T))}[name]
    forms = {
        "full": lambda k, v, w: aft_full(gate, k, v, w, causal),
        "local": lambda k, v, w: aft_local(gate, k, v, w, 5, causal),
        "simple": lambda k, v, w: aft_simple(gate, k, v, causal) + 0 * tf.reduce_sum(w),
    }
    gate = tf.fill([B, T, D], 50.0)  # sigmoid = 1
    ramp = tf.cos(tf.reshape(tf.range(float(B * T * D)), (B, T, D)))

    def gradients(function, *x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(*x) * tf.cast(ramp, x[0].dtype))
        return tape.gradient(loss, x)

    x = [tf.constant(K * scale), tf.constant(V), tf.constant(W * scale)]
    expected = gradients(
        lambda k, v, w: naive(k, v, w * near, causal), *(tf.cast(a, tf.float64) for a in x)
    )
    actual = tf.function(lambda *x: gradients(forms[name], *x), jit_compile=jit, autograph=False)(
        *x
    )
    for a, b in zip(actual, expected, strict=True):
        assert np.isfinite(a.numpy()).all()
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=1e-5)


def test_the_fast_form_is_used_where_it_is_safe(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("exact form used")

    monkeypatch.setattr(averages, "exact_average", fail)
    aft_full(Q, K * 100, V, W)  # keys of any size, not causal: nothing can underflow
    aft_local(Q, K, V, W, 5, True)
    with pytest.raises(AssertionError, match="exact form used"):
        aft_full(Q, K * 100, V, W, True)


def test_far_values_still_count():
    value = tf.constant(V)
    with tf.GradientTape() as tape:
        tape.watch(value)
        first = aft_local(Q, K, value, W, 3)[:, 0]
    gradient = tape.gradient(first, value).numpy()
    assert (np.abs(gradient[:, 3:]) > 1e-6).all()


@pytest.mark.parametrize("keys", ["future", "calm"])
@pytest.mark.parametrize("causal", [False, True])
def test_half_precision_keeps_its_dtype_and_stays_finite(keys, causal):
    q, k, v, w = (ops.cast(x, "bfloat16") for x in (Q, KEYS[keys], V, W))
    given = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (q, k, v, w)]
    for window in (None, 3, 40):
        if window is None:
            outputs = aft_full(q, k, v, w, causal)
        else:
            outputs = aft_local(q, k, v, w, window, causal)
        assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
        bias = given[3] * (1 if window is None else ref.near(T, window))
        close(ops.cast(outputs, "float32"), ref.aft(*given[:3], bias, causal), 0.02)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: aft_full(Q, K[:, :5], V, W), r"\[B, T, D\]"),
        (lambda: aft_full(Q, K, V, W[:5]), r"position_bias \(5, 37\).*T = 37"),
        (lambda: aft_full(Q[0], K[0], V[0], W), r"\[B, T, D\]"),
        (lambda: aft_simple(Q, K, V, mask=np.ones((B, 3))), r"mask \(2, 3\)"),
        (lambda: aft_local(Q, K, V, W, -1), "window=-1"),
        (lambda: aft_conv(Q, K[..., :3], V, KERNEL), "divisible by the 3 heads"),
        (lambda: aft_conv(Q, K[..., :2], V, KERNEL[:1]), r"kernel \(1, 5\).*\[2, size\]"),
        (lambda: aft_conv(Q, K[..., :2], V, KERNEL[:, :4]), "must be odd"),
        (
            lambda: aft_conv(
                V[:, None], K[:, None, :, :2], V[:, None], np.ones((2, 3, 3), "float32"), True
            ),
            "causal=True",
        ),
    ],
)
def test_wrong_shapes_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
