"""The Attention Free Transformer's operations as pure functions (arXiv:2105.14103, sec. 3).

All take projected queries and apply the sigmoid themselves. Exponentials, maxima, sums of products
and quotients are float32 for any input dtype; if `value` is bfloat16, so are the factors of the
products, as in attention. The result has the dtype of `query`. All run on TensorFlow and JAX, under
XLA, with a free batch axis, and stay exact for keys and biases of any magnitude (see
`averages.py`).

A `mask` ([B, T], True = keep) excludes keys; a query that sees no key gets 0.
"""

from __future__ import annotations

from keras import ops

from tfzoo.aft.averages import banded_average, dense_average, plain_average
from tfzoo.typing import Shape, Tensor

BLOCK = 32
"""Minimum block of positions in windowed forms: large enough for fast products."""

DENSE_POSITIONS = 1024
"""Up to this many positions, a 2-D convolution is one product with its Toeplitz matrix."""

CANCELLATION = -6.0
"""Smaller kernel weights lose over 3 of float32's 7 digits in `exp(w) - 1`."""


def aft_full(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_bias: Tensor,
    causal: bool = False,
    mask: Tensor | None = None,
) -> Tensor:
    """AFT-full, eq. 2: `sigmoid(Q_t) * sum_s exp(K_s + w_ts) V_s / sum_s exp(K_s + w_ts)`.

    Args:
        query: [B, T, D], before the sigmoid.
        key: [B, T, D].
        value: [B, T, D].
        position_bias: w, [T, T], query by key.
        causal: sums run over s <= t only (footnote 2).
        mask: [B, T], True = keep the key.

    Returns:
        [B, T, D].

    Raises:
        ValueError: incompatible shapes.
    """
    _check_sequence(query, key, value, mask)
    _check_bias(position_bias, key)
    key, value, visible = _prepared(key, value, mask, heads=1)
    length = ops.shape(key)[1]
    bias = ops.reshape(ops.cast(position_bias, "float32"), (1, length, length))
    return _gated(query, dense_average(key, value, bias, visible, causal))


def aft_simple(
    query: Tensor, key: Tensor, value: Tensor, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    """AFT-simple, eq. 5: AFT-full with w = 0, in linear time.

    Args and Returns as in `aft_full`.

    Raises:
        ValueError: incompatible shapes.
    """
    _check_sequence(query, key, value, mask)
    key, value, visible = _prepared(key, value, mask, heads=1)
    return _gated(query, plain_average(key, value, visible, causal))


def aft_local(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    position_bias: Tensor,
    window: int,
    causal: bool = False,
    mask: Tensor | None = None,
) -> Tensor:
    """AFT-local, eq. 4: w counts where |t - s| < window and is 0 elsewhere, never minus infinity.

    Every position still sees every other. `window` 0 is AFT-simple, 1 only the diagonal.

    Args:
        query: [B, T, D], before the sigmoid.
        key: [B, T, D].
        value: [B, T, D].
        position_bias: w, [T, T], query by key; only entries inside the window are used.
        window: s of the paper, at least 0.
        causal: sums run over s <= t only.
        mask: [B, T], True = keep the key.

    Returns:
        [B, T, D].

    Raises:
        ValueError: incompatible shapes, or a negative window.
    """
    _check_sequence(query, key, value, mask)
    _check_bias(position_bias, key)
    window = _inside(window, key.shape[1])
    block = window_block(window, key.shape[1])
    length = ops.shape(key)[1]
    # row t, column s -> block of the key, row inside its three blocks, column inside the block
    blocks = (length + block - 1) // block
    s = ops.reshape(ops.arange(blocks * block, dtype="int32"), (-1, 1, block))
    first = ops.arange(blocks, dtype="int32")[:, None, None] * block - block
    t = first + ops.arange(3 * block, dtype="int32")[None, :, None]
    limit = length - 1
    flat = ops.reshape(ops.cast(position_bias, "float32"), (length * length,))
    index = ops.clip(t, 0, limit) * length + ops.minimum(s, limit)
    logits = ops.take(flat, index, axis=0)[None]
    return local_from_blocks(query, key, value, logits, window, causal, mask)


def local_from_factors(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    u: Tensor,
    v: Tensor,
    window: int,
    causal: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """AFT-local with w = u v^T (sec. 3.2), without forming [T, T].

    Args:
        query: [B, T, D], before the sigmoid.
        key: [B, T, D].
        value: [B, T, D].
        u: [T, d'], the queries' factor.
        v: [T, d'], the keys' factor.
        window: s of the paper.
        causal: sums run over s <= t only.
        mask: [B, T], True = keep the key.

    Returns:
        [B, T, D].
    """
    _check_sequence(query, key, value, mask)
    window = _inside(window, key.shape[1])
    block = window_block(window, key.shape[1])
    u, v = (_blocks(ops.cast(x, "float32"), block) for x in (u, v))  # [N, c, d']
    none = ops.zeros_like(u[:1])
    around = ops.concatenate(
        [ops.concatenate([none, u[:-1]], 0), u, ops.concatenate([u[1:], none], 0)], 1
    )
    logits = ops.matmul(around, ops.swapaxes(v, 1, 2))[None]  # [1, N, 3 c, c]
    return local_from_blocks(query, key, value, logits, window, causal, mask)


def local_from_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    logits: Tensor,
    window: int,
    causal: bool,
    mask: Tensor | None = None,
) -> Tensor:
    """AFT-local with w in blocks, [1, N, 3 c, c] as in `banded_average`."""
    key, value, visible = _prepared(key, value, mask, heads=1)
    reach = (1 - window, window - 1)
    return _gated(query, banded_average(key, value, logits, visible, reach, causal))


def aft_conv(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    kernel: Tensor,
    causal: bool = False,
    mask: Tensor | None = None,
) -> Tensor:
    """AFT-conv, eq. 6: a head's channels share a key and a bias that depends only on the offset.

    The kernel's centre is offset 0: `w_ts = kernel[h, s - t + r]` with r = (size - 1) / 2, zero
    outside, as in TensorFlow's (cross-correlating) convolutions.

    Args:
        query: [B, T, D] or [B, H, W, D], before the sigmoid.
        key: [B, T, heads] or [B, H, W, heads].
        value: as `query`; D is a multiple of heads; a head's channels are contiguous.
        kernel: w, [heads, size] or [heads, size, size], size odd.
        causal: sums run over s <= t only; one-dimensional only.
        mask: [B, T] or [B, H, W], True = keep the key.

    Returns: Shaped as `query`.

    Raises:
        ValueError: incompatible shapes, an even size, or causal in 2-D.
    """
    _check_conv(query, key, value, kernel, causal, mask)
    kernel, heads = ops.cast(kernel, "float32"), kernel.shape[0]
    if None not in key.shape[1:-1]:
        kernel = _cropped(kernel, max(key.shape[1:-1]))
    if len(key.shape) == 3:
        reach = kernel.shape[1] // 2
        block = window_block(reach + 1, key.shape[1])
        k, v, visible = _prepared(key, value, mask, heads)
        logits = _toeplitz_block(kernel, block)
        window = (0 if causal else -reach, reach)
        return _gated(query, banded_average(k, v, logits, visible, window, causal))
    shape = ops.shape(value)
    flat = [ops.reshape(x, (shape[0], -1, x.shape[-1])) for x in (query, key, value)]
    flat_mask = None if mask is None else ops.reshape(mask, (shape[0], -1))
    k, v, visible = _prepared(flat[1], flat[2], flat_mask, heads)

    def dense() -> Tensor:
        return dense_average(k, v, _toeplitz_2d(kernel, shape[1], shape[2]), visible, False)

    def convolved() -> Tensor:
        return _convolved_average(k, v, kernel, visible, shape[1], shape[2])

    height, width = key.shape[1:3]
    if height is not None and width is not None and height * width <= DENSE_POSITIONS:
        average = dense()
    else:
        calm = ops.logical_and(ops.min(kernel) > CANCELLATION, ops.max(kernel) < 10 * -CANCELLATION)
        average = ops.cond(ops.stop_gradient(calm), convolved, dense)
    return ops.reshape(_gated(flat[0], average), shape)


def window_block(window: int, length: int | None) -> int:
    """Block size for a window, which must fit into the neighbouring block."""
    block = max(BLOCK, window - 1)
    return block if length is None or length >= block else max(length, window - 1, 1)


def _inside(window: int, length: int | None) -> int:
    """The window clipped to the sequence, if its length is known."""
    check_window(window)
    return window if length is None else min(window, length)


def check_window(window: int) -> None:
    """Raises ValueError unless `window` is an integer, at least 0."""
    if not isinstance(window, int) or window < 0:
        raise ValueError(f"window={window!r}: must be a whole number, at least 0")


def _cropped(kernel: Tensor, side: int) -> Tensor:
    """The kernel without taps that are always outside the data."""
    beyond = kernel.shape[1] // 2 - max(side - 1, 0)
    if beyond <= 0:
        return kernel
    return (
        kernel[:, beyond:-beyond]
        if len(kernel.shape) == 2
        else kernel[:, beyond:-beyond, beyond:-beyond]
    )


def _convolved_average(
    key: Tensor, value: Tensor, kernel: Tensor, visible: Tensor, height: Tensor, width: Tensor
) -> Tensor:
    """Eq. 6 literally: a depth-wise convolution with exp(w) - 1 plus the global sum."""
    batch, heads, channels = ops.shape(value)[0], value.shape[2], value.shape[3]
    hidden = ops.where(visible[:, :, None, None] > 0, key, -1e30)
    e = ops.exp(hidden - ops.stop_gradient(ops.max(hidden, 1, keepdims=True)))
    e = e * visible[:, :, None, None]
    pairs = ops.concatenate([e * ops.cast(value, "float32"), e], -1)  # [B, HW, h, d/h + 1]
    total = ops.sum(pairs, 1, keepdims=True)
    # a head's channels share its filter, so they go to the batch axis
    maps = ops.reshape(ops.transpose(pairs, (0, 3, 1, 2)), (-1, height, width, heads))
    taps = ops.transpose(ops.expm1(kernel), (1, 2, 0))[..., None]  # [s, s, h, 1]
    near = ops.depthwise_conv(maps, taps, padding="same", data_format="channels_last")
    near = ops.reshape(near, (batch, channels + 1, -1, heads))
    sums = ops.transpose(near, (0, 2, 3, 1)) + total
    sums, norm = sums[..., :channels], sums[..., channels:]
    return sums / ops.where(norm > 0, norm, 1.0)


def _toeplitz_block(kernel: Tensor, block: int) -> Tensor:
    """[h, s] -> [h, 1, 3 block, block] of w by (query, key)."""
    size = kernel.shape[1]
    offset = (
        ops.arange(block, dtype="int32")[None]
        + block
        - ops.arange(3 * block, dtype="int32")[:, None]
    )  # key - query
    index = offset + size // 2
    inside = ops.logical_and(index >= 0, index < size)
    taken = ops.take(kernel, ops.clip(index, 0, size - 1), axis=1)
    return ops.where(inside, taken, 0.0)[:, None]


def _toeplitz_2d(kernel: Tensor, height: Tensor, width: Tensor) -> Tensor:
    """[h, s, s] -> [h, H W, H W] of w by (query, key)."""
    heads, size = kernel.shape[:2]
    rows, columns = ops.arange(height, dtype="int32"), ops.arange(width, dtype="int32")
    down = rows[None] - rows[:, None] + size // 2  # [H, H], key - query
    right = columns[None] - columns[:, None] + size // 2
    inside = [ops.logical_and(x >= 0, x < size) for x in (down, right)]
    down, right = (ops.clip(x, 0, size - 1) for x in (down, right))
    index = down[:, None, :, None] * size + right[None, :, None, :]  # [H, W, H, W]
    inside = ops.logical_and(inside[0][:, None, :, None], inside[1][None, :, None, :])
    block = ops.take(ops.reshape(kernel, (heads, size * size)), index, axis=1)
    block = ops.where(inside, block, 0.0)
    return ops.reshape(block, (heads, height * width, height * width))


def _blocks(x: Tensor, block: int) -> Tensor:
    """[T, d] -> [N, block, d], zeros after the end."""
    rest = ops.zeros((-ops.shape(x)[0] % block, x.shape[1]), x.dtype)
    return ops.reshape(ops.concatenate([x, rest], 0), (-1, block, x.shape[1]))


def _prepared(
    key: Tensor, value: Tensor, mask: Tensor | None, heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """float32 key [B, T, heads, C], value [B, T, heads, D / heads], float32 visible [B, T]."""
    key = ops.cast(key, "float32")
    batch, length = ops.shape(key)[:2]
    per_head = key.shape[-1] // heads
    key = ops.reshape(key, (batch, length, heads, per_head))
    value = ops.reshape(value, (batch, length, heads, value.shape[-1] // heads))
    shape = (batch, length)
    if mask is None:
        return key, value, ops.ones(shape, "float32")
    visible = ops.cast(ops.reshape(mask, shape), "float32")
    return key, value, visible


def _gated(query: Tensor, average: Tensor) -> Tensor:
    batch = ops.shape(average)[0]
    # must have the query's length: a query of one position would be broadcast
    average = ops.reshape(average, (batch, ops.shape(query)[1], query.shape[-1]))
    gate = ops.sigmoid(ops.cast(query, "float32"))
    return ops.cast(gate * average, query.dtype)


def _check_sequence(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    shapes = {n: tuple(x.shape) for n, x in (("query", query), ("key", key), ("value", value))}
    if any(len(s) != 3 for s in shapes.values()) or not _agree(*shapes.values()):
        raise ValueError(f"query, key, value: must all be [B, T, D], are {shapes}")
    _check_mask(mask, shapes["key"])


def _check_mask(mask: Tensor | None, key: tuple[int | None, ...]) -> None:
    if mask is not None and not (len(mask.shape) == len(key) - 1 and _agree(mask.shape, key[:-1])):
        raise ValueError(f"mask {tuple(mask.shape)}: must be {key[:-1]}, one entry per key")


def _check_bias(bias: Tensor, key: Tensor) -> None:
    length = key.shape[1]
    if len(bias.shape) != 2 or not _agree(bias.shape, (length, length)):
        raise ValueError(
            f"position_bias {tuple(bias.shape)}: must be [T, T] with T = {length} of the key"
        )


def _check_conv(
    query: Tensor, key: Tensor, value: Tensor, kernel: Tensor, causal: bool, mask: Tensor | None
) -> None:
    rank = len(key.shape)
    shapes = [tuple(x.shape) for x in (query, key, value)]
    if (
        rank not in (3, 4)
        or not _agree(shapes[0], shapes[2])
        or not _agree(*(s[:-1] for s in shapes))
    ):
        raise ValueError(
            "query, key, value: must be [B, T, D], [B, T, heads], [B, T, D] or the same with "
            f"[B, H, W, ...], are {shapes}"
        )
    heads, width = key.shape[-1], value.shape[-1]
    if width % heads:
        raise ValueError(f"value has {width} channels: must be divisible by the {heads} heads")
    if kernel.shape[0] != heads or len(kernel.shape) != rank - 1:
        raise ValueError(f"kernel {tuple(kernel.shape)}: must be [{heads}{', size' * (rank - 2)}]")
    sizes = set(kernel.shape[1:])
    if len(sizes) != 1 or sizes.pop() % 2 == 0:
        raise ValueError(f"kernel {tuple(kernel.shape)}: its size must be odd, the same both ways")
    if causal and rank == 4:
        raise ValueError("causal=True: must be False for [B, H, W, D], which has no order")
    _check_mask(mask, shapes[1])


def _agree(*shapes: Shape) -> bool:
    """Whether shapes are equal where both sizes are known."""
    first = shapes[0]
    return all(
        len(s) == len(first)
        and all(a is None or b is None or a == b for a, b in zip(first, s, strict=True))
        for s in shapes[1:]
    )
