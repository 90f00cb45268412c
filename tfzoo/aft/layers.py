"""AFT as Keras layers that can replace `keras.layers.MultiHeadAttention`."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import keras
from annotated_types import Ge
from keras import ops

from tfzoo.aft import decoding
from tfzoo.aft import ops as aft
from tfzoo.config import Count, Must, NonNegative
from tfzoo.layers import size_within
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

EPSILON = 1e-5
"""Added to the variance of a reparametrised kernel."""

Odd = Annotated[int, Ge(1), Must(lambda n: n % 2 == 1, "odd")]


class _AFT(keras.layers.Layer):
    """Base of all AFT layers: projections, masks, the call, decoding.

    Args:
        causal: a position sees only itself and earlier ones. `use_causal_mask=True` in a call does
            the same for that call.
        use_bias: whether the four projections have a bias.
        kernel_initializer: for the projections.
        bias_initializer: for their biases.
        exact: in causal use the factors of the large products are float32 under any policy, so that
            later positions affect earlier ones by at most float32 rounding. False uses bfloat16
            under `mixed_bfloat16`, as in non-causal use: an output then depends on later keys
            through bfloat16 rounding.
        **keywords: `name`, `dtype`, ... of every Keras layer.
    """

    def __init__(
        self,
        causal: bool = False,
        use_bias: bool = True,
        kernel_initializer: keras.initializers.Initializer | str = "glorot_uniform",
        bias_initializer: keras.initializers.Initializer | str = "zeros",
        exact: bool = True,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.causal, self.exact = bool(causal), bool(exact)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.arguments.kernel_initializer = self.kernel_initializer
        self.arguments.bias_initializer = self.bias_initializer
        self.supports_masking = True

    rank = 3

    def build(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> None:
        """Creates the projections W^Q, W^K, W^V, W^O for the input's last axis."""
        if len(query_shape) != self.rank or query_shape[-1] is None:
            form = "[B, T, D]" if self.rank == 3 else "[B, H, W, D]"
            raise ValueError(
                f"{type(self).__name__} input {tuple(query_shape)}: must be {form}, D known"
            )
        dim = query_shape[-1]
        self.dim = dim
        value_shape = value_shape or query_shape
        key_shape = key_shape or value_shape
        self.query_dense = self._dense("query", dim, query_shape)
        self.key_dense = self._dense("key", self._key_channels(dim), key_shape)
        self.value_dense = self._dense("value", dim, value_shape)
        self.output_dense = self._dense("output", dim, query_shape)

    def _dense(self, name: str, units: int, shape: Shape) -> keras.layers.Dense:
        # a shared initializer instance would give every projection the same values
        dense = keras.layers.Dense(
            units,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer.clone(),
            bias_initializer=self.bias_initializer.clone(),
            dtype=self.dtype_policy,
            name=name,
        )
        dense.build(shape)
        return dense

    def _key_channels(self, dim: int) -> int:
        return dim

    def call(
        self,
        query: Tensor,
        value: Tensor | None = None,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        use_causal_mask: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Mixes positions.

        Args:
            query: [B, T, D] ([B, H, W, D] in 2-D).
            value: shaped as `query`; default: `query` itself, as AFT is for self-attention.
            key: shaped as `value`; default: `value`.
            query_mask: Keras's implicit mask of `query`; masks keys if `value` is not given.
            value_mask: mask of `value`.
            key_mask: mask of `key`.
            attention_mask: [B, T] or [B, 1, T], True = keep the key. AFT supports no masks of pairs
                of positions except the causal one.
            use_causal_mask: see `causal`.
            mask: [B, T], True = keep the key. Keras passes the implicit mask of `query` here if the
                call has no other tensor.

        Returns: Shaped as `query`; 0 before the output projection if a query sees no key.

        Raises:
            ValueError: incompatible shapes, or a mask of pairs.
        """
        if 0 in query.shape[1:-1]:
            raise ValueError(f"input {tuple(query.shape)}: must have at least one position")
        masks = [mask, _key_mask(attention_mask), value_mask, key_mask]
        masks += [query_mask if value is None else None]
        masks = [ops.cast(m, "bool") for m in masks if m is not None]
        seen = functools.reduce(ops.logical_and, masks) if masks else None
        value = query if value is None else value
        key = value if key is None else key
        query, key, value = self.query_dense(query), self.key_dense(key), self.value_dense(value)
        causal = self.causal or bool(use_causal_mask)
        if causal and self.exact:
            value = ops.cast(value, "float32")  # its dtype determines that of the products' factors
        mixed = self._mix(query, key, value, causal, seen)
        return self.output_dense(mixed)

    def compute_output_shape(self, query_shape: Shape, *shapes: Shape, **more: Any) -> Shape:
        """The shape of `query`."""
        return query_shape

    def initial_state(
        self, batch_size: int | Tensor, max_length: int | None = None
    ) -> decoding.State:
        """The decoding state before the first token (see `tfzoo.aft.decoding`).

        Args:
            batch_size: rows.
            max_length: maximum number of positions to decode, if known: no more keys and values are
                kept.
        """
        heads, key_channels = self._heads()
        ring = min(self._ring(), max_length or self._ring())
        return decoding.initial_state(batch_size, ring, heads, key_channels, self.dim // heads)

    def decode_step(
        self, x: Tensor, state: decoding.State, position: Tensor
    ) -> tuple[Tensor, decoding.State]:
        """One position of the causal layer.

        Args:
            x: [B, D].
            state: state from `initial_state` or the previous step.
            position: int32 scalar, counted from 0.

        Returns:
            The output [B, D] and the new state; equal to the parallel form's at this position.
        """
        heads, key_channels = self._heads()
        batch = ops.shape(x)[0]
        query, key, value = (f(x) for f in (self.query_dense, self.key_dense, self.value_dense))
        key = ops.reshape(ops.cast(key, "float32"), (batch, heads, key_channels))
        value = ops.reshape(ops.cast(value, "float32"), (batch, heads, self.dim // heads))
        ring = state["keys"].shape[1]
        bias = self._slot_bias(position, decoding.slot_positions(ring, position)) if ring else None
        average, state = decoding.step(state, key, value, bias, position)
        gate = ops.sigmoid(ops.cast(query, "float32"))
        mixed = gate * ops.reshape(average, (batch, self.dim))
        return self.output_dense(ops.cast(mixed, self.compute_dtype)), state

    def _heads(self) -> tuple[int, int]:
        return 1, self.dim

    def _ring(self) -> int:
        return 0


@serializable("aft")
class AFTSimple(_AFT):
    """AFT-simple (arXiv:2105.14103, eq. 5): no position bias, linear time and memory."""

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, causal: bool, mask: Tensor | None
    ) -> Tensor:
        return aft.aft_simple(query, key, value, causal, mask)


class _PositionBias(_AFT):
    """A layer with a bias w for each pair of positions up to a maximum length.

    Args:
        max_length: longest sequence T; shorter ones use the first rows of the bias.
        bias_dim: d' of the factorisation w = u v^T (sec. 3.2).
        factorized: False uses a full w, [max_length, max_length].
        bias_init_std: standard deviation of the initial u and v, or w. The paper draws from
            N(0, 10^-2), read as a variance.
        causal: a position sees itself and those before it only.
        **keywords: `use_bias`, `kernel_initializer`, `bias_initializer`, and those of every layer.
    """

    def __init__(
        self,
        max_length: Count,
        bias_dim: Count = 128,
        factorized: bool = True,
        bias_init_std: NonNegative = 0.1,
        causal: bool = False,
        **keywords: Any,
    ):
        super().__init__(causal=causal, **keywords)
        self.max_length = max_length
        self.bias_dim = bias_dim
        self.factorized = bool(factorized)
        self.bias_init_std = bias_init_std

    def build(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> None:
        """Creates the projections and the position bias."""
        super().build(query_shape, value_shape, key_shape)
        if query_shape[1] is not None:
            self._checked(query_shape[1])

        def weight(name: str, columns: int) -> keras.Variable:
            return self.add_weight(
                (self.max_length, columns),
                keras.initializers.RandomNormal(0.0, self.bias_init_std),
                name=name,
            )

        if self.factorized:
            self.u, self.v = weight("u", self.bias_dim), weight("v", self.bias_dim)
        else:
            self.w = weight("w", self.max_length)

    def _checked(self, length: int | Tensor) -> int | Tensor:
        words = f"input has {{}} positions: must be at most max_length={self.max_length}"
        return size_within(length, 0, self.max_length, words)

    def _slot_bias(self, position: Tensor, slots: Tensor) -> Tensor:
        """w of a position with those in the ring, [1, ring]."""
        slots = ops.clip(slots, 0, self.max_length - 1)
        if self.factorized:
            u = ops.cast(ops.take(self.u, position, axis=0), "float32")
            bias = ops.matmul(ops.cast(ops.take(self.v, slots, axis=0), "float32"), u)
        else:
            bias = ops.take(ops.take(self.w, position, axis=0), slots, axis=0)
        return ops.cast(bias, "float32")[None]


@serializable("aft")
class AFTFull(_PositionBias):
    """AFT-full (arXiv:2105.14103, eq. 2): a bias for every pair of positions."""

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, causal: bool, mask: Tensor | None
    ) -> Tensor:
        length = self._checked(ops.shape(query)[1])
        if self.factorized:
            u, v = (ops.cast(x[:length], "float32") for x in (self.u, self.v))
            bias = ops.matmul(u, ops.transpose(v))
        else:
            bias = self.w[:length, :length]
        return aft.aft_full(query, key, value, bias, causal, mask)

    def _ring(self) -> int:
        return self.max_length


@serializable("aft")
class AFTLocal(_PositionBias):
    """AFT-local (arXiv:2105.14103, eq. 4): a bias inside a window, 0 outside; linear in T.

    Args:
        max_length: longest sequence T.
        window: s; the bias counts where |t - t'| < s. 0 is AFT-simple.
        **keywords: those of `AFTFull`.
    """

    def __init__(self, max_length: int, window: int, **keywords: Any):
        super().__init__(max_length, **keywords)
        aft.check_window(window)
        self.window = window

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, causal: bool, mask: Tensor | None
    ) -> Tensor:
        length, window = self._checked(ops.shape(query)[1]), self._ring()
        if not self.factorized:
            bias = self.w[:length, :length]
            return aft.aft_local(query, key, value, bias, window, causal, mask)
        u, v = self.u[:length], self.v[:length]
        return aft.local_from_factors(query, key, value, u, v, window, causal, mask)

    def _ring(self) -> int:
        return min(self.window, self.max_length)


class _Conv(_AFT):
    """AFT-conv with reparametrised kernels (sec. 3.2): w <- gamma (w - mean) / std + beta.

    gamma and beta start at 0, so that the layer starts as AFT-simple with one key per head.

    Args:
        num_heads: number of heads h; must divide the input's last axis.
        kernel_size: side s of a kernel, odd.
        **keywords: those of every AFT layer.
    """

    def __init__(self, num_heads: Count, kernel_size: Odd, **keywords: Any):
        super().__init__(**keywords)
        self.num_heads = num_heads
        self.kernel_size = kernel_size

    def build(
        self, query_shape: Shape, value_shape: Shape | None = None, key_shape: Shape | None = None
    ) -> None:
        """Creates the projections (W^K to one channel per head) and the kernels."""
        if query_shape[-1] is not None and query_shape[-1] % self.num_heads:
            raise ValueError(
                f"num_heads={self.num_heads}: must divide the input's {query_shape[-1]} channels"
            )
        super().build(query_shape, value_shape, key_shape)
        shape = (self.num_heads,) + (self.kernel_size,) * (self.rank - 2)
        self.w = self.add_weight(shape, keras.initializers.RandomNormal(0.0, 1.0), name="w")
        self.gamma = self.add_weight((self.num_heads,), "zeros", name="gamma")
        self.beta = self.add_weight((self.num_heads,), "zeros", name="beta")

    def kernel(self) -> Tensor:
        """The effective kernels, float32 [heads, size] or [heads, size, size]."""
        w = ops.cast(self.w, "float32")
        axes = tuple(range(1, len(w.shape)))
        mean = ops.mean(w, axes, keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.square(w - mean), axes, keepdims=True) + EPSILON)
        gamma, beta = (
            ops.reshape(ops.cast(x, "float32"), (-1,) + (1,) * len(axes))
            for x in (self.gamma, self.beta)
        )
        return gamma * (w - mean) / deviation + beta

    def _key_channels(self, dim: int) -> int:
        return self.num_heads

    def _mix(
        self, query: Tensor, key: Tensor, value: Tensor, causal: bool, mask: Tensor | None
    ) -> Tensor:
        return aft.aft_conv(query, key, value, self.kernel(), causal, mask)


@serializable("aft")
class AFTConv1D(_Conv):
    """AFT-conv (arXiv:2105.14103, eq. 6) over [B, T, D]; the causal form uses the kernel's past."""

    def _heads(self) -> tuple[int, int]:
        return self.num_heads, 1

    def _ring(self) -> int:
        return self.kernel_size // 2 + 1

    def _slot_bias(self, position: Tensor, slots: Tensor) -> Tensor:
        index = ops.clip(self.kernel_size // 2 - (position - slots), 0, self.kernel_size - 1)
        return ops.take(self.kernel(), index, axis=1)


@serializable("aft")
class AFTConv2D(_Conv):
    """AFT-conv (arXiv:2105.14103, eq. 6) over [B, H, W, D], any height and width."""

    rank = 4

    def __init__(self, num_heads: int, kernel_size: int, **keywords: Any):
        super().__init__(num_heads, kernel_size, **keywords)
        if self.causal:
            raise ValueError("causal=True: must be False in 2-D, which has no order")

    def initial_state(
        self, batch_size: int | Tensor, max_length: int | None = None
    ) -> decoding.State:
        """Raises ValueError, since there is no order to decode in."""
        raise ValueError("AFTConv2D: cannot decode, two dimensions have no order")


def _key_mask(mask: Tensor | None) -> Tensor:
    if mask is None or len(mask.shape) == 2:
        return mask
    if len(mask.shape) == 3 and mask.shape[1] == 1:
        return mask[:, 0]
    raise ValueError(
        f"attention_mask {tuple(mask.shape)}: must be [B, T] or [B, 1, T]; AFT has no mask of "
        "pairs of positions (use_causal_mask gives the causal one)"
    )
