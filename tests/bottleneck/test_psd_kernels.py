"""The kernels as TensorFlow Probability's, and Gaussian processes on them."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfzoo.bottleneck.kernels import Composition, InfiniteMLP
from tfzoo.bottleneck.psd_kernels import NNGPKernel, NTKernel

NET = InfiniteMLP(2, bias_scale=0.3)
KINDS = {"nngp": NNGPKernel, "ntk": NTKernel}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("net", [NET, InfiniteMLP(1, "erf"), Composition(InfiniteMLP(1), NET)])
def test_matrix_apply_and_tensor_are_the_kernel(which, net):
    x1, x2 = normal(6, 4), normal(5, 4, seed=1)
    kernel, expected = KINDS[which](net), getattr(net, which)(x1, x2).numpy()
    close = {"atol": 1e-12}
    np.testing.assert_allclose(kernel.matrix(x1, x2), expected, **close)
    np.testing.assert_allclose(kernel.apply(x1[:5], x2), np.diag(expected[:5]), **close)
    np.testing.assert_allclose(kernel.apply(x1[:, None], x2[None]), expected, **close)
    np.testing.assert_allclose(kernel.tensor(x1, x2, 1, 1), expected, **close)
    x = tf.constant(x1, tf.float32)
    own = kernel.matrix(x, x)
    assert own.dtype == tf.float32
    np.testing.assert_array_equal(tf.linalg.diag_part(own), net.diagonal(x)[which == "ntk"])


def test_batches_broadcast():
    x1, x2 = normal(2, 1, 6, 4), normal(3, 5, 4, seed=1)
    kernel = NTKernel(NET)
    matrices = kernel.matrix(x1, x2)
    assert matrices.shape == (2, 3, 6, 5)
    np.testing.assert_allclose(matrices[1, 2], NET.ntk(x1[1, 0], x2[2]), atol=1e-12)
    assert kernel.apply(x1[:, :, :5], x2).shape == (2, 3, 5)
    scaled = NTKernel(NET, amplitude=np.array([1.0, 2.0, 3.0]))
    assert scaled.batch_shape == (3,) and scaled.dtype == tf.float64
    factors = np.array([1.0, 4.0, 9.0])
    expected = matrices * factors[:, None, None]
    np.testing.assert_allclose(scaled.matrix(x1, x2), expected, atol=1e-12)
    applied = scaled.apply(x1[:, :, :5], x2, example_ndims=1)
    expected = kernel.apply(x1[:, :, :5], x2) * factors[:, None]
    np.testing.assert_allclose(applied, expected, atol=1e-12)
    np.testing.assert_allclose(scaled[1].matrix(x1, x2), 4 * matrices, atol=1e-12)
    np.testing.assert_allclose((kernel + kernel).matrix(x1, x2), 2 * matrices, atol=1e-12)


@pytest.mark.parametrize("which", KINDS)
def test_posterior_of_a_gaussian_process_is_the_linear_solve(which):
    x, new, y = normal(12, 4), normal(5, 4, seed=1), normal(12, seed=2)
    kernel, of = KINDS[which](NET), getattr(NET, which)
    noise = 0.05
    posterior = tfp.distributions.GaussianProcessRegressionModel(
        kernel, new, x, y, observation_noise_variance=np.float64(noise), jitter=0.0
    )
    gram, cross = of(x).numpy() + noise * np.eye(12), of(new, x).numpy()
    mean = cross @ np.linalg.solve(gram, y)
    covariance = of(new).numpy() - cross @ np.linalg.solve(gram, cross.T)
    assert posterior.dtype == tf.float64
    np.testing.assert_allclose(posterior.mean(), mean, atol=1e-10)
    actual = posterior.covariance() - noise * np.eye(5)
    np.testing.assert_allclose(actual, covariance, atol=1e-10)
    prior = tfp.distributions.GaussianProcess(
        kernel, x, observation_noise_variance=np.float64(noise), jitter=0.0
    )
    _, logdet = np.linalg.slogdet(gram)
    expected = -0.5 * (y @ np.linalg.solve(gram, y) + logdet + 12 * np.log(2 * np.pi))
    np.testing.assert_allclose(prior.log_prob(y), expected, rtol=1e-10)
    assert np.isfinite(prior.sample(seed=0)).all()


def test_amplitude_can_be_trained():
    amplitude = tf.Variable(1.5, dtype=tf.float64)
    kernel = NNGPKernel(NET, amplitude)
    assert kernel.trainable_variables == (amplitude,) and kernel.amplitude is amplitude
    x, y = normal(8, 4), normal(8, seed=1)
    with tf.GradientTape() as tape:
        value = tfp.distributions.GaussianProcess(kernel, x).log_prob(y)
    assert np.isfinite(tape.gradient(value, amplitude))
    bijector = kernel.parameter_properties()["amplitude"].default_constraining_bijector_fn()
    assert bijector.forward(-5.0) > 0
    copied = kernel.copy(amplitude=np.float64(3.0))
    assert copied.network is NET
    np.testing.assert_allclose(copied.matrix(x, x), 9 * NET.nngp(x), rtol=1e-12)


def test_under_xla():
    x = normal(6, 4)
    compiled = tf.function(NTKernel(NET).matrix, jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(x, x), NET.ntk(x), atol=1e-6)


def test_wrong_input():
    with pytest.raises(ValueError, match="InfiniteMLP or a Composition"):
        NTKernel(3)


@pytest.mark.slow
def test_importing_the_package_does_not_import_tfp():
    words = "import sys, tfzoo.bottleneck; sys.exit('tensorflow_probability' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words]).returncode == 0
