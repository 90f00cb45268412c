"""Kernels against neural_tangents, Monte Carlo, finite differences and closed forms."""

import dataclasses
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import TESTS, load_module
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP

FIXTURES = dict(np.load(TESTS / "bottleneck" / "fixtures" / "kernels.npz"))
NETS = json.loads(str(FIXTURES["nets"]))
SCALED = {"weight_scale": 1.2, "bias_scale": 0.4, "readout_scale": 0.7, "input_scale": 1.6}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def make_net(name):
    arguments = dict(NETS[name])
    below = arguments.pop("of", None)
    net = InfiniteMLP(**arguments)
    return Composition(net, make_net(below)) if below else net


@pytest.mark.parametrize("name", NETS)
def test_kernels_are_those_of_neural_tangents(name):
    net, x1, x2 = make_net(name), FIXTURES["x1"], FIXTURES["x2"]
    for suffix, second in (("", x2), ("_own", None)):
        nngp, ntk = net.covariances(x1, second)
        assert nngp.dtype == ntk.dtype == tf.float64
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(nngp, FIXTURES[f"{name}/nngp{suffix}"], **close)
        np.testing.assert_allclose(ntk, FIXTURES[f"{name}/ntk{suffix}"], **close)
        np.testing.assert_array_equal(net.nngp(x1, second), nngp)
        np.testing.assert_array_equal(net.ntk(x1, second), ntk)
    own = net.diagonal(x1)
    for kernel, which in zip(own, ("nngp", "ntk"), strict=True):
        np.testing.assert_allclose(kernel, np.diag(FIXTURES[f"{name}/{which}_own"]), rtol=1e-9)


@pytest.mark.parametrize("name", [n for n in NETS if "of" in NETS[n]])
def test_propagate_is_the_net_above(name):
    x1, x2 = FIXTURES["x1"], FIXTURES["x2"]
    inner = make_net(NETS[name]["of"])
    outer = make_net(name).outer
    diagonals = inner.diagonal(x1)[0], inner.diagonal(x2)[0]
    nngp, ntk = outer.propagate(*inner.covariances(x1, x2), *diagonals)
    np.testing.assert_allclose(nngp, FIXTURES[f"{name}/nngp"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ntk, FIXTURES[f"{name}/ntk"], rtol=1e-9, atol=1e-9)


def test_the_baseline_of_the_spec():
    """Theta = Sigma_f[K_g] + kappa_0 (K_g + Theta_g)."""
    x, g = normal(5, 4), InfiniteMLP(2)
    nngp, ntk = (k.numpy() for k in g.covariances(x))
    root = np.sqrt(np.diag(nngp))
    angle = np.arccos(np.clip(nngp / np.outer(root, root), -1, 1))
    sigma = np.outer(root, root) * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    expected = sigma + (np.pi - angle) / np.pi * (nngp + ntk)
    np.testing.assert_allclose(Composition(InfiniteMLP(1), g).ntk(x), expected, atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "erf", "linear"])
def test_kernels_are_the_means_over_wide_networks(activation):
    """Empirical kernels of one draw at width 20,000: error of about 1/sqrt(width)."""
    net, width = InfiniteMLP(1, activation, **SCALED), 20_000
    x = normal(4, 3)
    rng = np.random.default_rng(1)
    u, b, v = (rng.normal(size=s) for s in ((width, 3), width, width))
    h = 1.6 * x @ u.T / np.sqrt(3) + 0.4 * b
    phi = {"relu": tf.nn.relu, "erf": tf.math.erf, "linear": tf.identity}[activation]
    with tf.GradientTape() as tape:
        h = tf.constant(h)
        tape.watch(h)
        a = phi(h)
    slope = np.asarray(tape.gradient(a, h)) * v * 0.7
    nngp = 0.49 * a.numpy() @ a.numpy().T / width + 0.16
    inputs = 1.6**2 * x @ x.T / 3 + 0.16
    ntk = nngp + slope @ slope.T / width * inputs
    np.testing.assert_allclose(net.nngp(x), nngp, atol=0.03 * np.abs(nngp).max())
    np.testing.assert_allclose(net.ntk(x), ntk, atol=0.03 * np.abs(ntk).max())


def test_linear_nets():
    x1, x2 = normal(4, 5), normal(3, 5, seed=1)
    for depth in (0, 1, 4):
        nngp, ntk = InfiniteMLP(depth, "linear").covariances(x1, x2)
        np.testing.assert_allclose(nngp, x1 @ x2.T / 5, atol=1e-12)
        np.testing.assert_allclose(ntk, (depth + 1) * x1 @ x2.T / 5, atol=1e-12)


@pytest.mark.parametrize("scales", [{}, SCALED])
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("activation", ["relu", "erf", "linear"])
def test_input_gradient_is_the_finite_difference(activation, depth, scales):
    net, z1, z2, step = InfiniteMLP(depth, activation, **scales), normal(4, 3), normal(5, 3), 1e-5
    z2 = z2 + 0.5
    gradients = net.input_gradient(z1, z2)
    for i in range(3):
        move = step * np.eye(3)[i]
        ahead, behind = net.covariances(z1 + move, z2), net.covariances(z1 - move, z2)
        for gradient, a, b in zip(gradients, ahead, behind, strict=True):
            difference = (a - b) / (2 * step)
            np.testing.assert_allclose(gradient[..., i], difference, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_input_gradient_is_that_of_autodiff(activation):
    net, z1, z2 = InfiniteMLP(2, activation, **SCALED), tf.constant(normal(4, 3)), normal(5, 3) + 1
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z1)
        nngp, ntk = net.covariances(z1, z2)
    for kernel, gradient in zip((nngp, ntk), net.input_gradient(z1, z2), strict=True):
        jacobian = tape.jacobian(kernel, z1)  # [N1, N2, N1, n]
        expected = np.einsum("ijin->ijn", jacobian)
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-10)


def test_gradient_of_the_spec():
    """The closed form of grad_z Theta_f for one ReLU layer."""
    z, other = normal(6, 3), normal(5, 3, seed=1)
    length, length2 = (np.linalg.norm(a, axis=1) for a in (z, other))
    c = z @ other.T / np.outer(length, length2)
    angle, sine = np.arccos(c)[..., None], np.sqrt(1 - c**2)[..., None]
    ratio = (length2[None, :] / length[:, None])[..., None]
    kappa = 1 - angle / np.pi
    a, b = z[:, None], other[None]
    expected = ratio * sine / np.pi * a + 2 * kappa * b
    expected = (expected + c[..., None] / (np.pi * sine) * (b - c[..., None] * ratio * a)) / 3
    np.testing.assert_allclose(InfiniteMLP(1).input_gradient(z, other)[1], expected, atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("scales", [{}, SCALED])
def test_equal_zero_and_antipodal_points(dtype, activation, scales):
    net = InfiniteMLP(3, activation, **scales)
    x = normal(5, 4).astype(dtype)
    x[1], x[2], x[3], x[4] = x[0], -x[0], 0.0, 1e-18 * x[4]
    x = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        own, other = net.covariances(x), net.covariances(x, tf.identity(x))
        sums = [tf.reduce_sum(k) for k in (*own, *other)]
    for value in (*own, *other, *net.input_gradient(x, x), *net.diagonal(x)):
        assert np.isfinite(value).all()
        assert value.dtype == dtype
    for total in sums:
        assert np.isfinite(tape.gradient(total, x)).all()
    for kernel in (own[0].numpy(), own[1].numpy()):
        np.testing.assert_array_equal(kernel[0, 0], kernel[1, 1])
        np.testing.assert_allclose(kernel[0, 1], kernel[0, 0], rtol=1e-6)
        assert np.linalg.eigvalsh(kernel).min() > -1e-5 * np.trace(kernel)


def test_gradient_of_the_self_term():
    """At z' = z the discontinuous term is 0: (1/d) 2 z' for one ReLU layer; also by autodiff."""
    net, z = InfiniteMLP(1), normal(4, 3)
    gradient = net.input_gradient(z, z)[1].numpy()
    expected = 2 * z / 3
    np.testing.assert_allclose(gradient[range(4), range(4)], expected, atol=1e-10)
    variable = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(variable)
        total = tf.reduce_sum(tf.linalg.diag_part(net.ntk(variable, tf.constant(z))))
    np.testing.assert_allclose(tape.gradient(total, variable), expected, atol=1e-10)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_kernels_are_positive_semidefinite(activation):
    x = np.concatenate([normal(20, 3), normal(20, 3)[:5]])
    for net in (InfiniteMLP(2, activation), InfiniteMLP(4, activation, **SCALED)):
        for kernel in net.covariances(x):
            values = np.linalg.eigvalsh(kernel)
            assert values.min() > -1e-10 * values.max()
            np.testing.assert_allclose(kernel, np.transpose(kernel), atol=1e-12)


def test_one_point_and_other_dtypes():
    net, x = InfiniteMLP(2), normal(1, 4)
    np.testing.assert_allclose(net.ntk(x), [[3 * np.mean(x**2)]])
    for kind in ("float16", "int64"):
        assert net.ntk(np.ones((2, 3), kind)).dtype == tf.float32
    assert net.ntk(x, x.astype("float32")).dtype == tf.float64


def test_float32_keeps_its_digits():
    x = normal(60, 50)
    for net in (InfiniteMLP(3), InfiniteMLP(3, bias_scale=0.5), InfiniteMLP(3, "erf")):
        exact = net.ntk(x).numpy()
        single = net.ntk(x.astype("float32")).numpy()
        np.testing.assert_allclose(single, exact, atol=2e-6 * exact.max())


def test_xla_and_free_shapes():
    x1, x2 = normal(6, 4), normal(5, 4, seed=1)
    x2[0] = x1[0]
    free = [tf.TensorSpec([None, 4], tf.float64), tf.TensorSpec([None, None], tf.float64)]
    for net in (InfiniteMLP(3, **SCALED), InfiniteMLP(2, "erf"), InfiniteMLP(0)):
        compiled = tf.function(net.covariances, jit_compile=True, autograph=False)
        unknown = tf.function(net.covariances, input_signature=free, autograph=False)
        for call in (compiled, unknown):
            for actual, expected in zip(call(x1, x2), net.covariances(x1, x2), strict=True):
                np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_configs_round_trip():
    net = InfiniteMLP(2, "erf", **SCALED)
    text = json.dumps(dataclasses.asdict(net))
    assert InfiniteMLP(**json.loads(text)) == net
    assert hash(net) == hash(dataclasses.replace(net))
    assert net.scales == (1.6, 1.2, 0.7)
    assert InfiniteMLP(2).scales == (1.0, 2**0.5, 2**0.5)
    assert InfiniteMLP(0, readout_scale=3.0).scales == (3.0,)


@pytest.mark.slow
def test_jax_gives_the_same(tmp_path):
    """Kernels, their gradients and blocks on JAX, in a separate process."""
    pytest.importorskip("jax")
    path = tmp_path / "jax.npz"
    program = TESTS / "bottleneck" / "backends.py"
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    words = [sys.executable, program, path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    jax, expected = np.load(path), load_module("bottleneck/backends.py").compute()
    assert list(expected) == jax.files
    for name, value in expected.items():
        close = {"rtol": 1e-4, "atol": 1e-5 * np.abs(value).max()}
        np.testing.assert_allclose(jax[name], value, err_msg=name, **close)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("depth=-1", lambda: InfiniteMLP(-1)),
        ("depth=1.5", lambda: InfiniteMLP(1.5)),
        ("depth='2'", lambda: InfiniteMLP("2")),
        ("activation='tanh'.*relu, erf", lambda: InfiniteMLP(1, "tanh")),
        ("weight_scale=0", lambda: InfiniteMLP(1, weight_scale=0.0)),
        ("readout_scale=nan", lambda: InfiniteMLP(1, readout_scale=float("nan"))),
        ("input_scale=None", lambda: InfiniteMLP(1, input_scale=None)),
        ("bias_scale=-1", lambda: InfiniteMLP(1, bias_scale=-1.0)),
        (r"x1 of shape \(3,\)", lambda: InfiniteMLP(1).ntk(np.ones(3))),
        ("x2 of 4 features.*3", lambda: InfiniteMLP(1).nngp(np.ones((2, 3)), np.ones((2, 4)))),
        (r"x of shape \(\)", lambda: InfiniteMLP(1).diagonal(1.0)),
        (r"z2 of shape \(2,\)", lambda: InfiniteMLP(1).input_gradient(np.ones((2, 2)), np.ones(2))),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def test_keras_floatx_does_not_matter():
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert InfiniteMLP(2).ntk(normal(2, 3)).dtype == tf.float64
