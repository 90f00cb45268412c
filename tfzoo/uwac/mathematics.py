"""The formulas of UWAC (arXiv:2105.08140) and of BEAR (arXiv:1906.00949), which it builds on."""

from __future__ import annotations

import math

from keras import ops

from tfzoo.typing import Tensor

KERNELS = ("gaussian", "laplacian")
WEIGHTS = ("inverse", "exp")
_TINY = 1e-6
"""Added under the root of MMD^2, whose gradient is infinite at 0."""


def kernel_mean(x: Tensor, y: Tensor, kernel: str, sigma: float) -> Tensor:
    """Mean of k(x_i, y_j) over all pairs, k = exp(-D / (2 sigma)).

    D is the squared Euclidean distance (`gaussian`) or the L1 distance (`laplacian`). Sigma is not
    squared, as in BEAR's code.

    Args:
        x: [B, n, d].
        y: [B, m, d].
        kernel: one of `KERNELS`.
        sigma: width of the kernel, above 0.

    Returns:
        [B].
    """
    difference = ops.expand_dims(x, 2) - ops.expand_dims(y, 1)  # [B, n, m, d]
    distance = ops.square(difference) if kernel == "gaussian" else ops.abs(difference)
    return ops.mean(ops.exp(-ops.sum(distance, -1) / (2.0 * sigma)), (1, 2))


def mmd(x: Tensor, y: Tensor, kernel: str = "gaussian", sigma: float = 20.0) -> Tensor:
    """Maximum mean discrepancy of two samples, including pairs of an element with itself.

    sqrt(k(x, x) + k(y, y) - 2 k(x, y) + 1e-6), so 1e-3 for equal samples (BEAR, eq. 5).

    Args:
        x: [B, n, d].
        y: [B, m, d].
        kernel: one of `KERNELS`.
        sigma: width of the kernel, above 0.

    Returns:
        [B].
    """
    same = kernel_mean(x, x, kernel, sigma) + kernel_mean(y, y, kernel, sigma)
    squared = same - 2.0 * kernel_mean(x, y, kernel, sigma)
    return ops.sqrt(ops.maximum(squared, 0.0) + _TINY)


def uncertainty_weight(
    variance: Tensor, weight_fn: str, beta: float, low: float, high: float
) -> Tensor:
    """The weight of a state-action pair, which decreases with Var[Q].

    For `inverse`, the paper's clip(beta / Var, low, high); for `exp`, the official code's
    clip(exp(-beta Var), low, high). No gradient flows through it.

    Args:
        variance: any shape, at least 0.
        weight_fn: one of `WEIGHTS`.
        beta: scale, above 0; infinity gives `high` everywhere.
        low: smallest weight.
        high: largest weight.
    """
    variance = ops.stop_gradient(variance)
    if weight_fn == "inverse":
        # beta / max(Var, beta / high) is beta / Var below `high` and never divides by 0
        return ops.maximum(high / ops.maximum(variance * (high / beta), 1.0), low)
    return ops.clip(ops.exp(-beta * variance), low, high)


def soft_clipped_minimum(q1: Tensor, q2: Tensor, lam: float) -> Tensor:
    """lam min(q1, q2) + (1 - lam) max(q1, q2), BEAR's pessimistic mixture."""
    return lam * ops.minimum(q1, q2) + (1.0 - lam) * ops.maximum(q1, q2)


def bellman_target(q1: Tensor, q2: Tensor, reward: Tensor, discount: Tensor, lam: float) -> Tensor:
    """reward + discount * the best candidate's mixture.

    Args:
        q1: [B, M], for M candidate actions at s'.
        q2: [B, M].
        reward: [B].
        discount: [B], gamma, or 0 where s' is terminal.
        lam: see `soft_clipped_minimum`.

    Returns:
        [B].
    """
    return reward + discount * ops.max(soft_clipped_minimum(q1, q2, lam), -1)


def moments_of(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance over the first axis of [T, ...]; the variance of one is 0."""
    mean, count = ops.mean(samples, 0), samples.shape[0]
    if count == 1:
        return mean, ops.zeros_like(mean)
    return mean, ops.sum(ops.square(samples - mean), 0) / (count - 1.0)


def controlled_moments(
    means: Tensor, variances: Tensor, control: Tensor, control_variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance by the law of total variance, E[Var[Q | m]] + Var[E[Q | m]].

    `control`, with mean 0 and known variance, replaces E[Q | m]: only their difference is estimated
    from the samples, so S may be small if it is a good approximation. Both results are unbiased for
    any control, except for clipping negative variances at 0.

    Args:
        means: [S, ...], E[Q | m] for S samples of m, at least 2.
        variances: [S, ...], Var[Q | m].
        control: [S, ...], at the same m.
        control_variance: [...].

    Returns:
        Mean and variance, each [...].
    """
    mean = ops.mean(means - control, 0)
    between = moments_of(means)[1] - moments_of(control)[1] + control_variance
    return mean, ops.maximum(ops.mean(variances, 0) + between, 0.0)


def gaussian_kl(mean: Tensor, log_std: Tensor) -> Tensor:
    """KL from N(mean, std^2) to N(0, 1), averaged over batch and latent (official code)."""
    return -0.5 * ops.mean(1.0 + 2.0 * log_std - ops.square(mean) - ops.exp(2.0 * log_std))


def tanh_log_prob(pre: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density of tanh(u), u ~ N(mean, std^2), at u = `pre`, summed over the last axis.

    log(1 - tanh(u)^2) is computed as 2 (log 2 - u - softplus(-2u)), which does not overflow.
    """
    normal = -0.5 * ops.square((pre - mean) * ops.exp(-log_std)) - log_std
    normal = normal - 0.5 * math.log(2.0 * math.pi)
    slope = 2.0 * (math.log(2.0) - pre - ops.softplus(-2.0 * pre))
    return ops.sum(normal - slope, -1)
