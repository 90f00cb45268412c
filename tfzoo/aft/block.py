"""The transformer block, with an exchangeable mixing layer."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from typing_extensions import override

from tfzoo.aft.decoding import State
from tfzoo.aft.layers import AFTConv1D, AFTConv2D, AFTFull, AFTLocal, AFTSimple
from tfzoo.config import Count, Fraction, OneOf
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

VARIANTS = ("full", "simple", "local", "conv", "attention")
Variant = Annotated[str, OneOf(*VARIANTS)]


def make_mixer(
    variant: str,
    *,
    dim: int,
    max_length: int,
    causal: bool = False,
    bias_dim: int = 128,
    factorized: bool = True,
    window: int = 32,
    num_heads: int = 4,
    kernel_size: int = 11,
    exact: bool = True,
    rank: int = 1,
    dtype: Any = None,
) -> keras.layers.Layer:
    """Creates the layer that mixes positions.

    Args:
        variant: one of `VARIANTS`; `attention` is `keras.layers.MultiHeadAttention`, the baseline.
        dim: width of the model.
        max_length: longest sequence, for the position biases of `full` and `local`.
        causal: a position sees only itself and earlier ones.
        bias_dim: d' of `full` and `local`.
        factorized: False keeps their full biases.
        window: s of `local`.
        num_heads: heads of `conv` and `attention`.
        kernel_size: kernel size of `conv`.
        exact: see `AFTFull`; for causal AFT.
        rank: 1 for sequences, 2 for images (`conv` only).
        dtype: the layer's policy; None: the global one.

    Raises:
        ValueError: an unknown variant.
    """
    common: dict[str, Any] = {"name": "mixer", "dtype": dtype}
    if variant == "attention":
        return keras.layers.MultiHeadAttention(num_heads, dim // num_heads, **common)
    common["exact"] = exact
    bias: dict[str, Any] = {"bias_dim": bias_dim, "factorized": factorized, "causal": causal}
    if variant == "full":
        return AFTFull(max_length, **bias, **common)
    if variant == "local":
        return AFTLocal(max_length, window=window, **bias, **common)
    if variant == "simple":
        return AFTSimple(causal=causal, **common)
    if variant == "conv" and rank == 2:
        return AFTConv2D(num_heads, kernel_size, **common)
    if variant == "conv":
        return AFTConv1D(num_heads, kernel_size, causal=causal, **common)
    raise ValueError(f"variant={variant!r}: must be one of {', '.join(VARIANTS)}")


@serializable("aft")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm block: `x + mixer(norm(x))`, then `x + ffn(norm(x))` with GELU.

    Args:
        mixer: an AFT layer or `keras.layers.MultiHeadAttention`.
        hidden_dim: width of the feed-forward layer.
        dropout: dropout rate on both branches' outputs.
        drop_path: probability of skipping a branch for an example (stochastic depth).
        causal: passes `use_causal_mask` to the mixer.
        **keywords: those of every Keras layer.
    """

    def __init__(
        self,
        mixer: keras.layers.Layer,
        hidden_dim: Count,
        dropout: Fraction = 0.0,
        drop_path: Fraction = 0.0,
        causal: bool = False,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.mixer = mixer
        self.hidden_dim = hidden_dim
        self.dropout_rate = dropout
        self.drop_path_rate = drop_path
        self.causal = causal
        self.supports_masking = True

    def build(self, shape: Shape) -> None:
        """Creates norms, mixer and feed-forward layers."""
        policy = {"dtype": self.dtype_policy}

        def norm(name: str) -> keras.layers.Layer:
            return keras.layers.LayerNormalization(epsilon=1e-6, name=name, **policy)

        self.norm1, self.norm2 = norm("norm1"), norm("norm2")
        self.expand = keras.layers.Dense(self.hidden_dim, "gelu", name="expand", **policy)
        self.contract = keras.layers.Dense(shape[-1], name="contract", **policy)
        self.dropout = keras.layers.Dropout(self.dropout_rate, **policy)
        whole = (None,) + (1,) * (len(shape) - 1)  # one draw per example
        self.drop_path = keras.layers.Dropout(self.drop_path_rate, noise_shape=whole, **policy)
        for layer in (self.norm1, self.norm2, self.expand):
            layer.build(shape)
        self.contract.build((*shape[:-1], self.hidden_dim))
        if not self.mixer.built:
            attention = isinstance(self.mixer, keras.layers.MultiHeadAttention)
            self.mixer.build(shape, shape) if attention else self.mixer.build(shape)

    def call(self, x: Tensor, training: bool | None = None, mask: Tensor | None = None) -> Tensor:
        """[B, ..., D] -> the same; `mask` [B, ...], True = a position that others can see."""
        y = self.norm1(x)
        y = self.mixer(y, y, value_mask=mask, use_causal_mask=self.causal)
        x = x + self._drop(y, training)
        return x + self._drop(self._feed_forward(x), training)

    def _drop(self, y: Tensor, training: bool | None) -> Tensor:
        return self.drop_path(self.dropout(y, training=training), training=training)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.contract(self.expand(self.norm2(x)))

    def initial_state(self, batch_size: int | Tensor, max_length: int | None = None) -> State:
        """The mixer's decoding state before the first token."""
        return self.mixer.initial_state(batch_size, max_length)

    def decode_step(self, x: Tensor, state: State, position: Tensor) -> tuple[Tensor, State]:
        """One position, [B, D] -> [B, D], and the mixer's new state."""
        y, state = self.mixer.decode_step(self.norm1(x), state, position)
        x = x + y
        return x + self._feed_forward(x), state

    @override
    def compute_output_shape(self, shape: Shape) -> Shape:
        return shape
