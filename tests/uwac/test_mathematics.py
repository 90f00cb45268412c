"""UWAC's formulas compared with slow references, published numbers and TensorFlow Probability."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfzoo.uwac import mathematics as m

A = (np.arange(12).reshape(2, 3, 2) / 10).astype("float32")
B = ((np.arange(16).reshape(2, 4, 2) / 10) ** 2 - 0.5).astype("float32")


def slow_mmd(x, y, kernel, sigma):
    def k(a, b):
        d = sum(abs(p - q) if kernel == "laplacian" else (p - q) ** 2 for p, q in zip(a, b))  # noqa: B905
        return math.exp(-d / (2 * sigma))

    distances = []
    for xs, ys in zip(x.astype("float64"), y.astype("float64"), strict=True):
        mean = lambda p, q: sum(k(a, b) for a in p for b in q) / (len(p) * len(q))  # noqa: E731
        distances.append(math.sqrt(mean(xs, xs) + mean(ys, ys) - 2 * mean(xs, ys) + 1e-6))
    return distances


@pytest.mark.parametrize("kernel", m.KERNELS)
@pytest.mark.parametrize("sigma", [0.2, 1.0, 20.0])
def test_mmd_is_the_slow_one(kernel, sigma):
    np.testing.assert_allclose(m.mmd(A, B, kernel, sigma), slow_mmd(A, B, kernel, sigma), rtol=1e-4)


def test_mmd_of_the_official_code():
    """Values of the official loss, from the specification."""
    gaussian, laplacian = (m.mmd(A, B, kernel, 1.0).numpy() for kernel in m.KERNELS)
    np.testing.assert_allclose(gaussian, [0.7019247, 0.2988986], rtol=1e-5)
    np.testing.assert_allclose(laplacian, [0.7339660, 0.4016723], rtol=1e-5)


def test_mmd_properties():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(3, n, 2)).astype("float32") for n in (4, 5))
    np.testing.assert_allclose(m.mmd(x, x), 1e-3, rtol=1e-3)
    np.testing.assert_allclose(m.mmd(x, y), m.mmd(y, x), rtol=1e-4)
    np.testing.assert_allclose(m.mmd(x, y), m.mmd(x[:, ::-1], y + 0.0), rtol=1e-4)
    np.testing.assert_allclose(m.mmd(x + 3.0, y + 3.0), m.mmd(x, y), rtol=1e-3)


def test_gradient_of_equal_samples_is_finite():
    x = tf.Variable(A)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(m.mmd(x, A))
    assert np.isfinite(tape.gradient(loss, x)).all()


def test_weights_of_the_paper_and_of_the_code():
    v = tf.constant([0.0, 0.1, 1.0, 10.0, 1e4])
    exp = m.uncertainty_weight(v, "exp", 0.5, 0.0, 1.0)
    np.testing.assert_allclose(exp, [1, 0.9512294, 0.6065307, 0.006737947, 0], atol=1e-7)
    inverse = m.uncertainty_weight(v, "inverse", 0.5, 0.0, 1.5)
    np.testing.assert_allclose(inverse, [1.5, 1.5, 0.5, 0.05, 5e-5], rtol=1e-5)
    raised = m.uncertainty_weight(v, "inverse", 0.5, 0.2, 1.5)
    np.testing.assert_allclose(raised, [1.5, 1.5, 0.5, 0.2, 0.2], rtol=1e-5)
    for name in m.WEIGHTS:
        assert (np.diff(m.uncertainty_weight(v, name, 0.5, 0.0, 1.2)) <= 0).all()
        with tf.GradientTape() as tape:
            tape.watch(v)
            w = m.uncertainty_weight(v, name, 0.5, 0.0, 1.2)
        assert tape.gradient(w, v) is None


def test_targets_by_hand():
    """Two states, two candidates: the mixture of both critics first, then the best candidate."""
    q1, q2 = tf.constant([[1.0, 3.0, 2.0]]), tf.constant([[2.0, 1.0, 2.5]])
    mixed = m.soft_clipped_minimum(q1, q2, 0.75)
    np.testing.assert_allclose(mixed, [[1.25, 1.5, 2.125]])
    targets = m.bellman_target(
        tf.repeat(q1, 2, 0), tf.repeat(q2, 2, 0), tf.constant([1.0, 5.0]), [0.9, 0.0], 0.75
    )
    np.testing.assert_allclose(targets, [1 + 0.9 * 2.125, 5.0])


def test_moments_are_numpys():
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    mean, variance = m.moments_of(tf.constant(x))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(0, ddof=1), rtol=1e-5)


def test_total_variance_with_a_perfect_control_is_exact():
    rng = np.random.default_rng(0)
    control = rng.normal(size=(2, 4)).astype("float32")
    mean, variance = m.controlled_moments(control + 3.0, 0 * control + 0.5, control, [2.0] * 4)
    np.testing.assert_allclose(mean, 3.0, rtol=1e-5)
    np.testing.assert_allclose(variance, 2.5, rtol=1e-5)


def test_kl_is_the_mean_of_tfps():
    rng = np.random.default_rng(0)
    mean, log_std = (rng.normal(size=(4, 3)).astype("float32") for _ in range(2))
    normal = tfp.distributions.Normal
    expected = normal(mean, np.exp(log_std)).kl_divergence(normal(0.0, 1.0)).numpy().mean()
    np.testing.assert_allclose(m.gaussian_kl(mean, log_std), expected, rtol=1e-5)
