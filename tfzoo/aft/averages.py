"""AFT's weighted average by matrix products, for dense biases and for biases inside a window.

Both forms compute `sum_s exp(K_s + w_ts) V_s / sum_s exp(K_s + w_ts)` (eq. 2) as products of `exp(w
- max w)` with `exp(K - max K)`, numerator and denominator together. Nothing is subtracted after
exponentiation, so nothing cancels. The only risk is underflow; `_is_safe` rules it out, and for
rows where it cannot, `exact_average` takes over. Factors are bfloat16 if `value` is (with float32's
range), otherwise float32.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from tfzoo.aft.online_average import HIDDEN, exact_average
from tfzoo.typing import Tensor

SAFE_RANGE = 60.0
"""exp(-60) = 9e-27 is far above float32's smallest normal number, 1e-38."""


def dense_average(
    key: Tensor, value: Tensor, bias: Tensor, visible: Tensor, causal: bool
) -> Tensor:
    """The average with a bias for every pair of positions.

    Args:
        key: float32 [B, T, H, C], C = 1 or D.
        value: [B, T, H, D].
        bias: float32 [H, T, T], query by key.
        visible: float32 [B, T].
        causal: excludes keys after the query.

    Returns:
        float32 [B, T, H, D].
    """
    length = ops.shape(bias)[1]
    seen = _past(length) if causal else ops.ones_like(bias[0], "bool")

    def fast(visible: Tensor) -> Tensor:
        shown = ops.where(seen, bias, HIDDEN)
        weight = ops.exp(shown - ops.stop_gradient(_max(shown, -1, keepdims=True)))  # [H, T, T]
        pairs = _pairs(key, value, visible)  # [B, T, H, E]
        if bias.shape[0] == 1:  # a single product, whose weight gradient needs no [B, T, T]
            columns = ops.transpose(pairs, (1, 0, 2, 3))  # [T, B, 1, E]
            columns = ops.reshape(columns, (length, -1))
            sums = ops.matmul(ops.cast(weight[0], pairs.dtype), columns)
            # not -1 for the batch, of which LiteRT's converter makes an invalid shape
            sums = ops.reshape(sums, (length, ops.shape(pairs)[0], 1, pairs.shape[-1]))
            sums = ops.swapaxes(sums, 0, 1)
        else:
            sums = ops.einsum("hts,bshe->bthe", ops.cast(weight, pairs.dtype), pairs)
        return _divide(sums, value.shape[-1])

    def exact() -> Tensor:
        return exact_average(key, value, bias[:, None], visible, length, 0, causal)

    spread = _max(
        _max(ops.where(seen, bias, HIDDEN), -1) - _min(ops.where(seen, bias, -HIDDEN), -1)
    )
    return _chosen(_is_safe(key, visible, spread, causal), visible, fast, exact)


def banded_average(
    key: Tensor,
    value: Tensor,
    logits: Tensor,
    visible: Tensor,
    window: tuple[int, int],
    causal: bool,
) -> Tensor:
    """The average with biases near the diagonal and 0 elsewhere, at O(T block d).

    Time is cut into blocks. Near keys (own block and its neighbours) are weighted by a small matrix
    per block; far keys have weight 1 and enter through prefix and suffix sums over blocks.

    Args:
        key: float32 [B, T, H, C], C = 1 or D.
        value: [B, T, H, D].
        logits: float32 [H, N, 3 c, c], see `exact_average`; N = 1 if all blocks are equal.
            Entries outside the window do not count.
        visible: float32 [B, T].
        window: lowest and highest `query - key` that has a bias; at most c in absolute value.
        causal: excludes keys after the query.

    Returns:
        float32 [B, T, H, D].
    """
    block = logits.shape[-1]
    inside = window_mask(block, window)
    logits = ops.where(inside, logits, 0.0)

    def fast(visible: Tensor) -> Tensor:
        top = ops.stop_gradient(ops.maximum(_max(logits), 0.0))
        weight = ops.exp(logits - top)  # [H, N, 3 c, c]
        if causal:
            weight = weight * ops.cast(window_mask(block, (0, 2 * block)), "float32")
        far = ops.exp(-top)
        pairs = _pairs(key, value, visible)
        sums = _near_and_far(pairs, ops.cast(weight, pairs.dtype), far, block, causal)
        return _divide(sums, value.shape[-1])

    def exact() -> Tensor:
        return exact_average(key, value, logits, visible, block, block, causal)

    spread = ops.maximum(_max(logits), 0.0) - ops.minimum(_min(logits), 0.0)
    return _chosen(_is_safe(key, visible, spread, causal), visible, fast, exact)


def plain_average(key: Tensor, value: Tensor, visible: Tensor, causal: bool) -> Tensor:
    """The average without biases (AFT-simple, eq. 5), O(T d).

    Arguments and result are those of `dense_average`.
    """

    def fast(visible: Tensor) -> Tensor:
        pairs = _pairs(key, ops.cast(value, "float32"), visible)
        sums = ops.cumsum(pairs, 1) if causal else ops.sum(pairs, 1, keepdims=True)
        return _divide(sums, value.shape[-1])

    if not causal:  # every sum contains the largest key, so nothing can underflow
        return ops.broadcast_to(fast(visible), ops.shape(value))

    def exact() -> Tensor:
        return exact_average(key, value, None, visible, 1, 0, causal)

    return _chosen(_is_safe(key, visible, 0.0, causal), visible, fast, exact)


def window_mask(block: int, window: tuple[int, int]) -> Tensor:
    """Which entries of a [3 c, c] block have `low <= query - key <= high`."""
    offset = (
        ops.arange(3 * block, dtype="int32")[:, None]
        - block
        - ops.arange(block, dtype="int32")[None]
    )
    return ops.logical_and(offset >= window[0], offset <= window[1])


def _near_and_far(pairs: Tensor, weight: Tensor, far: Tensor, block: int, causal: bool) -> Tensor:
    """Weighted sums of `pairs`, both [B, T, H, E], without large slices: their gradient is slow."""
    batch, length, heads, width = ops.shape(pairs)
    blocks = (length + block - 1) // block
    whole = isinstance(length, int) and length % block == 0
    if not whole:
        rest = ops.zeros((batch, blocks * block - length, heads, width), pairs.dtype)
        pairs = ops.concatenate([pairs, rest], axis=1)
    x = ops.transpose(pairs, (2, 1, 0, 3))  # [H, T', B, E]: the products below run over B E columns
    x = ops.reshape(x, (heads, blocks, block, -1))  # [H, N, c, B E]

    # rows after a key's block see it as their predecessor, rows before it as their successor
    before, own, after = ops.split(weight, 3, axis=2)
    n = ops.arange(blocks, dtype="int32")[:, None, None]
    sums = ops.matmul(own, x)
    sums += ops.roll(ops.matmul(ops.where(n < blocks - 1, after, 0), x), 1, 1)
    totals = ops.sum(ops.cast(x, "float32"), 2) * far  # [H, N, B E]
    outside = _shift(ops.cumsum(totals, 1), 2)[:, :blocks]
    if not causal:
        sums += ops.roll(ops.matmul(ops.where(n > 0, before, 0), x), -1, 1)
        outside += _shift(ops.flip(ops.cumsum(ops.flip(totals, 1), 1), 1), -2)[:, -blocks:]
    sums = ops.cast(sums, "float32") + outside[:, :, None]
    sums = ops.reshape(sums, (heads, blocks * block, batch, width))
    sums = ops.transpose(sums, (2, 1, 0, 3))
    return sums if whole else sums[:, :length]


def _shift(x: Tensor, by: int) -> Tensor:
    """Pads axis 1 with zeros at the front (`by` > 0) or at the end."""
    widths = [[0, 0] for _ in x.shape]
    widths[1] = [max(by, 0), max(-by, 0)]
    return ops.pad(x, widths)


def _pairs(key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """`exp(K - max K) V` and `exp(K - max K)` side by side, [B, T, H, D + C]."""
    hidden = ops.where(visible[:, :, None, None] > 0, key, HIDDEN)
    top = ops.stop_gradient(_max(hidden, 1, keepdims=True))
    e = ops.exp(hidden - top) * visible[:, :, None, None]
    dtype = "bfloat16" if keras.backend.standardize_dtype(value.dtype) == "bfloat16" else "float32"
    parts = [e * ops.cast(value, "float32"), e]
    return ops.concatenate([ops.cast(part, dtype) for part in parts], -1)


def _divide(sums: Tensor, width: int) -> Tensor:
    sums = ops.cast(sums, "float32")
    numerator, total = ops.split(sums, [width], -1)
    return numerator / ops.where(total > 0, total, 1.0)


def _is_safe(key: Tensor, visible: Tensor, spread: Tensor, causal: bool) -> Tensor:
    """Whether no visible term's weight, relative to the subtracted maxima, can underflow: [B], or a
    scalar if it is the same for all rows.
    """
    if causal:  # the largest key may be in the future: past keys must not be far below it
        seen = visible[:, :, None, None] > 0
        top = _max(ops.where(seen, key, HIDDEN), 1)
        low = _min(ops.where(seen, key, -HIDDEN), 1)
        spread = spread + ops.maximum(_max(top - low, (1, 2)), 0.0)
    return ops.stop_gradient(spread) < SAFE_RANGE


def _chosen(
    safe: Tensor, visible: Tensor, fast: Callable[[Tensor], Tensor], exact: Callable[[], Tensor]
) -> Tensor:
    """Rows [B, T, H, D] of the fast form where it is safe, and of the exact form elsewhere.

    Rows are independent: a row's result does not depend on whether another row needs the exact
    form. Rows that do are hidden from the fast form, where their gradient would be NaN.
    """
    rows = ops.reshape(safe, (-1, 1))
    quick = fast(visible * ops.cast(rows, "float32"))
    return ops.cond(
        ops.all(safe), lambda: quick, lambda: ops.where(rows[..., None, None], quick, exact())
    )


def _max(x: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Also works for an empty batch, for which Keras's raises."""
    return ops.max(x, axis, keepdims, initial=HIDDEN)


def _min(x: Tensor, axis: int | None = None) -> Tensor:
    return ops.min(x, axis, initial=-HIDDEN)


def _past(length: Tensor) -> Tensor:
    """[T, T], True where key <= query."""
    time = ops.arange(length, dtype="int32")
    return time[:, None] >= time[None]
