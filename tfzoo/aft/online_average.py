"""The exact weighted average for keys and biases of any magnitude, with O(T d) memory.

The fast forms of `averages.py` subtract one maximum from the keys and one from the biases. Where
their product can underflow (a huge key in the future, biases far apart), this form takes over: it
determines the maximum of every output position key by key, as in an online softmax. It takes O(T^2
d) element operations in both passes and stores none of their results.
"""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor

HIDDEN = -1e30  # finite: minus infinity minus itself would be NaN


def exact_average(
    key: Tensor,
    value: Tensor,
    logits: Tensor | None,
    visible: Tensor,
    block: int,
    pad: int,
    causal: bool,
) -> Tensor:
    """`sum_s exp(K_s + w_ts) V_s / sum_s exp(K_s + w_ts)`, element by element.

    Args:
        key: float32 [B, T, H, C] with C = 1 (one key per head) or the channels of `value`.
        value: [B, T, H, D].
        logits: the bias in blocks, [H, N, block + 2 pad, block]: column `i` of block `n` is
            `w[t, s]` for the key `s = n * block + i` and the queries from `n * block - pad`;
            N = 1 means that all blocks are equal. None: no bias. Other w are 0.
        visible: float32 [B, T], 0 where a key is masked.
        block: number of keys in a block.
        pad: number of queries before and after a block that `logits` covers.
        causal: excludes keys after the query.

    Returns:
        float32 [B, T, H, D]; 0 where no key is visible.
    """
    value = ops.cast(value, "float32")
    if logits is None:
        block, pad = 1, 0
        logits = ops.zeros((key.shape[2], 1, 1, 1), "float32")
    length, heads = ops.shape(key)[1], key.shape[2]
    rows = length + block + 2 * pad

    def column(logits: Tensor, s: Tensor) -> Tensor:
        """w[:, s] for all queries, [T, H]."""
        n = s // block if logits.shape[1] != 1 else 0
        part = ops.take(ops.take(logits, n, axis=1), s % block, axis=2)  # [H, R]
        whole = ops.zeros((rows, heads), "float32")
        whole = ops.slice_update(whole, (s // block * block, 0), ops.transpose(part))
        return whole[pad : pad + length]

    def scores(key: Tensor, logits: Tensor, visible: Tensor, s: Tensor) -> Tensor:
        """K_s + w_ts, masked where it does not count, [B, T, H, C]."""
        score = ops.take(key, s, axis=1)[:, None] + column(logits, s)[None, :, :, None]
        seen = ops.take(visible, s, axis=1)[:, None, None, None] > 0
        if causal:
            seen = ops.logical_and(
                seen, (ops.arange(length, dtype="int32") >= s)[None, :, None, None]
            )
        return ops.where(seen, score, HIDDEN)

    @ops.custom_gradient  # captures only sizes: JAX allows no traced values here
    def average(key: Tensor, value: Tensor, logits: Tensor, visible: Tensor) -> Tensor:
        def weight(s: Tensor, top: Tensor) -> Tensor:
            a = scores(key, logits, visible, s)
            return ops.where(a > HIDDEN / 2, ops.exp(a - top), 0.0)

        top = ops.fori_loop(
            0,
            length,
            lambda s, top: ops.maximum(top, scores(key, logits, visible, s)),
            ops.full_like(key, HIDDEN),
        )

        def add(s: Tensor, sums: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            e = weight(s, top)
            return sums[0] + e * ops.take(value, s, axis=1)[:, None], sums[1] + e

        start = (ops.zeros_like(value), ops.zeros_like(key))
        numerator, total = ops.fori_loop(0, length, add, start)
        total = ops.where(total > 0, total, 1.0)
        result = numerator / total

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            upstream = args[0] if upstream is None else upstream

            def of_key(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
                share = weight(s, top) / total * upstream  # [B, T, H, D]
                pull = share * (ops.take(value, s, axis=1)[:, None] - result)
                d_column = ops.zeros((rows, heads), "float32")
                d_column = ops.slice_update(d_column, (pad, 0), ops.sum(pull, (0, 3)))
                start = (s // block * block, 0)
                d_part = ops.slice(d_column, start, (block + 2 * pad, heads))
                d_key = ops.sum(pull, 1)
                if key.shape[-1] == 1:
                    d_key = ops.sum(d_key, -1, keepdims=True)
                return d_key, ops.sum(share, 1), d_part

            d_key, d_value, d_parts = ops.map(of_key, ops.arange(length, dtype="int32"))
            return (
                ops.swapaxes(d_key, 0, 1),
                ops.swapaxes(d_value, 0, 1),
                _gather_blocks(d_parts, logits, block),
                ops.zeros_like(visible),
            )

        return result, gradient

    return average(key, value, logits, visible)


def _gather_blocks(parts: Tensor, logits: Tensor, block: int) -> Tensor:
    """Converts per-key columns [T, R, H] back to the form of `logits`."""
    length, rows, heads = ops.shape(parts)
    rest = ops.zeros((-length % block, rows, heads), "float32")
    parts = ops.concatenate([parts, rest], axis=0)
    parts = ops.reshape(parts, (-1, block, rows, heads))  # [N, c, R, H]
    gathered = ops.transpose(parts, (3, 0, 2, 1))
    return ops.sum(gathered, 1, keepdims=True) if logits.shape[1] == 1 else gathered
