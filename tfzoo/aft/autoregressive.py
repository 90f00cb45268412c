"""Models that predict the next symbol: byte language model and image model (secs. 5.1, 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.aft.block import TransformerBlock, Variant, make_mixer
from tfzoo.aft.decoding import State
from tfzoo.aft.layers import Odd
from tfzoo.aft.metrics import PADDING, whole
from tfzoo.config import Count, Fraction, Natural, Parts
from tfzoo.environment import only_on
from tfzoo.layers import bad_rows, size_within
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor


class _Autoregressive(ZooModel):
    """The common base: embedding, positions, causal blocks, head, one step of decoding."""

    built: bool  # by Keras

    def __init__(
        self,
        symbols: Count,
        max_length: Count,
        dim: Count,
        depth: Parts,
        variant: Variant = "local",
        window: Natural = 32,
        bias_dim: Count = 64,
        factorized: bool = True,
        num_heads: Count = 4,
        kernel_size: Odd = 11,
        hidden_dim: Count | None = None,
        dropout: Fraction = 0.0,
        exact: bool = True,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        self.symbols, self.max_length, self.dim, self.variant = symbols, max_length, dim, variant
        policy = {"dtype": self.dtype_policy}
        self.blocks = [
            TransformerBlock(
                make_mixer(
                    variant,
                    dim=dim,
                    max_length=max_length,
                    causal=True,
                    bias_dim=bias_dim,
                    factorized=factorized,
                    window=window,
                    num_heads=num_heads,
                    kernel_size=kernel_size,
                    exact=exact,
                    **policy,
                ),
                hidden_dim or 4 * dim,
                dropout,
                causal=True,
                name=f"block{i}",
                **policy,
            )
            for i in range(depth)
        ]
        self.dropout = keras.layers.Dropout(dropout, **policy)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm", **policy)
        self.head = keras.layers.Dense(symbols, name="head", dtype="float32")

    @override
    def build(self, shape: Shape) -> None:
        if self.built:
            return
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.embedding = self.add_weight((self.symbols, self.dim), small, name="embedding")
        self.positions = self.add_weight(
            (self.max_length, self.dim), small.clone(), name="positions"
        )
        inner = (None, None, self.dim)
        for layer in (*self.blocks, self.norm, self.head):
            layer.build(inner)
        self.built = True

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeds tokens [...] -> [..., d]; invalid numbers get the nearest token's embedding."""
        tokens = ops.clip(ops.cast(tokens, "int32"), 0, self.symbols - 1)
        return ops.cast(ops.take(self.embedding, tokens, axis=0), self.compute_dtype)

    def refused(self, name: str, tokens: Tensor, least: int = 0) -> Tensor:
        """Which rows hold invalid tokens, bool [B]; see `bad_rows` for when any are True.

        Args:
            name: what messages call the tokens.
            tokens: [B, ...].
            least: 0, or `PADDING` where that is allowed.

        Raises:
            InputError: a known value is not a token.
        """
        tokens = whole(tokens)
        bad = ops.logical_or(tokens < least, tokens >= self.symbols)
        if keras.backend.is_float_dtype(tokens.dtype):
            bad = ops.logical_or(bad, ops.not_equal(tokens, ops.floor(tokens)))
        padding = f", or {PADDING} after the last" if least < 0 else ""
        words = f"{name}: {{}} in row {{}}: must be from 0 to {self.symbols - 1}{padding}"
        return bad_rows(bad, tokens, words)

    def _logits(self, x: Tensor, refused: Tensor, training: bool | None) -> Tensor:
        """[B, T, d] without positions -> [B, T, symbols], NaN in refused rows."""
        words = f"tokens: {{}} in a row: must be from 1 to max_length={self.max_length}"
        length = size_within(ops.shape(x)[1], 1, self.max_length, words)
        x = x + ops.cast(self.positions[:length], x.dtype)
        x = self.dropout(x, training=training)
        for block in self.blocks:
            x = block(x, training=training)
        x = self.norm(x)
        return self.head(ops.where(refused[:, None, None], float("nan"), x))

    def initial_state(self, batch: int | Tensor) -> list[State]:
        """Decoding states of all blocks before the first symbol.

        Raises:
            ValueError: the baseline does not decode.
        """
        if self.variant == "attention":
            raise ValueError(
                "variant='attention': the baseline does not decode; use an AFT variant"
            )
        return [block.initial_state(batch, self.max_length) for block in self.blocks]

    def decode_step(
        self, x: Tensor, states: list[State], position: Tensor
    ) -> tuple[Tensor, list[State]]:
        """[B, d] at a position -> logits [B, symbols] and the new states."""
        x = x + ops.cast(ops.take(self.positions, position, axis=0), x.dtype)
        new = []
        for block, state in zip(self.blocks, states, strict=True):
            x, state = block.decode_step(x, state, position)
            new.append(state)
        return self.head(self.norm(x)), new


@serializable("aft")
class AFTLanguageModel(_Autoregressive):
    """A causal language model over bytes (arXiv:2105.14103, sec. 5.2).

    Args:
        max_length: longest sequence T.
        dim: width d.
        depth: blocks.
        variant: `full`, `simple`, `local`, `conv`, or `attention` for the baseline.
        window: s of `local`.
        bias_dim: d' of `full` and `local`.
        factorized: False keeps their full biases.
        num_heads: heads of `conv` and `attention`.
        kernel_size: kernel size of `conv`.
        hidden_dim: width of the feed-forward layers; None: 4 `dim`.
        dropout: in the blocks and on the embedding.
        exact: see `AFTFull`.
        vocabulary: number of symbols.
        **keywords: `name`, `dtype`, ...

    Input: tokens int [B, T], T up to `max_length`, shorter rows padded with -1. Output: logits
    float32 [B, T, vocabulary] of the token after each; those at padding are meaningless. Other
    numbers that are not tokens are refused (`InputError`, in a graph
    `tf.errors.InvalidArgumentError`); under XLA, where nothing can be raised, the logits of
    such a row are NaN.
    """

    def __init__(
        self, max_length: int, dim: int, depth: int, vocabulary: int = 256, **keywords: Any
    ):
        super().__init__(vocabulary, max_length, dim, depth, **keywords)
        self.build((None, max_length))

    def call(self, tokens: Tensor, training: bool | None = None) -> Tensor:
        """Tokens [B, T] -> logits [B, T, vocabulary]."""
        if len(tokens.shape) != 2:
            raise ValueError(f"tokens {tuple(tokens.shape)}: must be [B, T]")
        refused = self.refused("tokens", tokens, PADDING)
        return self._logits(self.embed(tokens), refused, training)

    def compute_output_shape(self, shape: Shape) -> Shape:
        """[B, T, vocabulary]."""
        return (*shape, self.symbols)

    def input_specs(self) -> list[keras.InputSpec]:
        """Tokens of any length."""
        return [keras.InputSpec("int32", (None, None))]

    @only_on("tensorflow", why="which loops in a TensorFlow graph")
    def generate(self, prompt: Tensor, length: Tensor, temperature: Tensor, seed: Tensor) -> Tensor:
        """Continues prompts, on TensorFlow, in one graph loop over the decoding state.

        Every row depends only on its own prompt, length, temperature and seed.

        Args:
            prompt: int32 [B, P], padded with -1. An empty prompt stands for a newline.
            length: int32 [B], tokens to add. If prompt and answer together exceed `max_length`,
                only the prompt's last tokens are used: as many as leave room for `length`, but at
                least half of `max_length`; the answer ends when `max_length` is reached.
            temperature: float32 [B], finite and at least 0; 0 takes the most likely token.
            seed: int32 [B].

        Returns:
            int32 [B, max_length]: the tokens added, padded with -1. Under XLA, where nothing can be
                raised, refused rows are -1 throughout.

        Raises:
            InputError: an invalid token, or a length or temperature out of range; in a graph
                `tf.errors.InvalidArgumentError`.
        """
        from tfzoo.aft import generation  # TensorFlow's loop; the layers need only Keras

        return generation.generate(self, prompt, length, temperature, seed)


@serializable("aft")
class AFTImageModel(_Autoregressive):
    """An autoregressive model of images, sub-pixel by sub-pixel (arXiv:2105.14103, sec. 5.1).

    Sub-pixels are ordered row by row, with a pixel's channels together; all channels share
    embedding and head.

    Args:
        image_shape: (H, W, C); T = H W C.
        levels: number of values of a sub-pixel, 0 to levels - 1.
        dim: width d.
        depth: blocks.
        **keywords: those of `AFTLanguageModel` from `variant` on.

    Input: images int [B, H, W, C]. Output: logits float32 [B, H, W, C, levels] of each sub-pixel
    given those before it.
    """

    def __init__(
        self, image_shape: Sequence[int], levels: int, dim: int, depth: int, **keywords: Any
    ):
        height, width, channels = (int(n) for n in image_shape)
        super().__init__(levels, height * width * channels, dim, depth, **keywords)
        self.image_shape = (height, width, channels)
        self.build((None, *self.image_shape))

    @override
    def build(self, shape: Shape) -> None:
        if not self.built:
            small = keras.initializers.TruncatedNormal(stddev=0.02)
            self.start = self.add_weight((1, self.dim), small, name="start")
        super().build(shape)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        """Images [B, H, W, C] -> logits [B, H, W, C, levels]."""
        if tuple(images.shape[1:]) != self.image_shape:
            raise ValueError(f"images {tuple(images.shape)}: must be [B, *{self.image_shape}]")
        tokens = ops.reshape(images, (-1, self.max_length))
        refused = self.refused("images", tokens)
        x = self.embed(tokens[:, :-1])
        start = ops.cast(self.start, x.dtype)[None]
        start = ops.broadcast_to(start, (ops.shape(x)[0], 1, self.dim))
        logits = self._logits(ops.concatenate([start, x], 1), refused, training)
        return ops.reshape(logits, (-1, *self.image_shape, self.symbols))

    def compute_output_shape(self, shape: Shape) -> Shape:
        """[B, H, W, C, levels]."""
        return (*shape, self.symbols)

    def input_specs(self) -> list[keras.InputSpec]:
        """Images of the model's shape."""
        return [keras.InputSpec("int32", (None, *self.image_shape))]

    @only_on("tensorflow", why="which loops in a TensorFlow graph")
    def sample(self, seed: Tensor) -> Tensor:
        """Draws images, on TensorFlow; each depends only on its own seed.

        Args:
            seed: int32 [B].

        Returns:
            int32 [B, H, W, C].
        """
        from tfzoo.aft import generation

        return generation.sample(self, seed)
