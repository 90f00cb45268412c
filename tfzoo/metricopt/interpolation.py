"""Interpolates sparse observations of a metric along a trajectory by a Gaussian process."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tfzoo.config import check


def interpolate(
    steps: ArrayLike,
    observed_steps: ArrayLike,
    observed: ArrayLike,
    length_scale: float,
    noise: float,
    amplitude: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """M_hat_t and sigma_hat_t^2 at every step of one trajectory (arXiv:2104.10631, Fig. 2).

    A Gaussian process over the step index with the observations' mean, an RBF kernel and noise, as
    in tensorflow-probability. That the paper interpolates by a Gaussian process is our reading.

    Args:
        steps: steps to interpolate at [T].
        observed_steps: steps with observations [m], at least one.
        observed: observed values [m].
        length_scale: length scale of the kernel, in steps.
        noise: standard deviation of an observation.
        amplitude: standard deviation of the process.

    Returns:
        Means [T] and variances [T], float64; the variances include the noise.

    Raises:
        InputError: no observations, or a setting that is not positive.
    """
    import tensorflow_probability as tfp

    settings = {"length_scale": length_scale, "noise": noise, "amplitude": amplitude}
    for name, value in settings.items():
        check(value > 0, name, value, "above 0")
    observed = np.asarray(observed, "float64")
    check(len(observed) > 0, "observed", [], "at least one observation")
    mean = observed.mean()
    one = np.float64(1)
    process = tfp.distributions.GaussianProcessRegressionModel(
        kernel=tfp.math.psd_kernels.ExponentiatedQuadratic(amplitude * one, length_scale * one),
        index_points=np.asarray(steps, "float64")[:, None],
        observation_index_points=np.asarray(observed_steps, "float64")[:, None],
        observations=observed - mean,
        observation_noise_variance=noise * noise * one,
        jitter=np.float64(1e-10),
    )
    return process.mean().numpy() + mean, process.variance().numpy()
