"""A slow reference of AFT's equations, in float64 numpy."""

import numpy as np


def average(key, value, bias, causal=False, mask=None):
    """Eq. 2 without the gate; `bias` is [T, T] or [T, T, D]."""
    length = key.shape[1]
    bias = np.asarray(bias, "float64")
    bias = bias[..., None] if bias.ndim == 2 else bias
    a = np.asarray(key, "float64")[:, None] + bias[None]  # [B, T, T, D]
    if causal:
        a[:, np.triu(np.ones((length, length), bool), 1)] = -np.inf
    if mask is not None:
        a = np.where(mask[:, None, :, None], a, -np.inf)
    top = a.max(2, keepdims=True)
    e = np.exp(a - np.where(np.isfinite(top), top, 0.0))
    total = e.sum(2)
    return (e * np.asarray(value, "float64")[:, None]).sum(2) / np.where(total > 0, total, 1.0)


def aft(query, key, value, bias, causal=False, mask=None):
    return average(key, value, bias, causal, mask) / (1 + np.exp(-np.asarray(query, "float64")))


def near(length, window):
    """[T, T], 1 where AFT-local keeps the bias."""
    time = np.arange(length)
    return (np.abs(time[:, None] - time) < window).astype("float64")


def toeplitz(kernel, length, channels):
    """[h, s] -> [T, T, channels]: w of eq. 6 by (query, key), a head's channels together."""
    heads, size = kernel.shape
    bias = np.zeros((length, length, heads))
    for t in range(length):
        for s in range(length):
            if abs(s - t) <= size // 2:
                bias[t, s] = kernel[:, s - t + size // 2]
    return bias.repeat(channels // heads, -1)
