"""Draws text and images from AFT's autoregressive models, in one TensorFlow graph loop."""

from __future__ import annotations

import keras
import tensorflow as tf

from tfzoo.aft.decoding import State
from tfzoo.aft.metrics import PADDING
from tfzoo.layers import bad_rows
from tfzoo.typing import Tensor

NEWLINE = 10


def gumbel(seed: tf.Tensor, length: int, symbols: int) -> tf.Tensor:
    """Gumbel noise that depends only on each row's seed, int32 [B] -> float32 [B, length, symbols].

    The argmax of `logits + noise` is a draw from the softmax.
    """

    def row(one: tf.Tensor) -> tf.Tensor:
        key = tf.stack([one, tf.zeros_like(one)])
        tiny = 1e-20
        u = tf.random.stateless_uniform([length, symbols], key, minval=tiny, alg="philox")
        return -tf.math.log(-tf.math.log(u))

    spec = tf.TensorSpec([length, symbols], tf.float32)
    return tf.map_fn(row, tf.cast(seed, tf.int32), fn_output_signature=spec)


def generate(
    model: keras.Model, prompt: Tensor, length: Tensor, temperature: Tensor, seed: Tensor
) -> tf.Tensor:
    """Continues prompts in one graph loop over the decoding state.

    Args:
        model: an `AFTLanguageModel`.
        prompt: see `AFTLanguageModel.generate`, also for the other arguments.
        length: int32 [B].
        temperature: float32 [B].
        seed: int32 [B].

    Returns:
        int32 [B, max_length]: the tokens added, padded with -1.
    """
    total = model.max_length
    length, heat = tf.cast(length, tf.int32), tf.cast(temperature, tf.float32)
    refused = model.refused("prompt", tf.convert_to_tensor(prompt), PADDING)
    refused |= bad_rows(length < 0, length, "length: {} in row {}: must be at least 0")
    cold = tf.logical_not(tf.math.is_finite(heat) & (heat >= 0))
    words = "temperature: {} in row {}: must be a finite number of at least 0"
    refused |= bad_rows(cold, heat, words)
    tokens, given = fitted(tf.cast(prompt, tf.int32), length, total)
    batch = tf.shape(tokens)[0]
    length = tf.where(refused, 0, tf.minimum(length, total - given))
    end = tf.reduce_max(given + length)
    noise = gumbel(seed, total, model.symbols)
    heat = heat[:, None]

    def body(t: tf.Tensor, tokens: tf.Tensor, states: list[State]) -> tuple[tf.Tensor, ...]:
        x = model.embed(tf.gather(tokens, t, axis=1))
        logits, states = model.decode_step(x, states, t)
        drawn = logits / tf.maximum(heat, 1e-6) + tf.gather(noise, t, axis=1)
        best = tf.where(heat > 0, drawn, logits)
        token = tf.argmax(best, -1, output_type=tf.int32)
        column = tf.range(total)[None] == t + 1
        open_ = column & (t + 1 >= given)[:, None]
        return t + 1, tf.where(open_, token[:, None], tokens), states

    _, tokens, _ = tf.while_loop(
        lambda t, *_: t < end - 1, body, (tf.constant(0), tokens, model.initial_state(batch))
    )
    index = tf.range(total)[None]
    moved = tf.gather(tokens, tf.minimum(index + given[:, None], total - 1), batch_dims=1)
    return tf.where(index < length[:, None], moved, PADDING)


def fitted(prompt: tf.Tensor, length: tf.Tensor, total: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Prompts [B, P] as [B, total], and their lengths; for the rule see
    `AFTLanguageModel.generate`."""
    prompt = tf.pad(prompt, [[0, 0], [0, 1]], constant_values=PADDING)
    given = tf.reduce_sum(tf.math.cumprod(tf.cast(prompt >= 0, tf.int32), axis=1), 1)
    kept = tf.minimum(given, tf.maximum(total - length, (total + 1) // 2))
    index = tf.range(total)[None]
    tokens = tf.gather(
        prompt, tf.minimum((given - kept)[:, None] + index, tf.shape(prompt)[1] - 1), batch_dims=1
    )
    tokens = tf.where(index < kept[:, None], tokens, PADDING)
    start = tf.where(tokens[:, :1] < 0, NEWLINE, tokens[:, :1])
    tokens = tf.ensure_shape(tf.concat([start, tokens[:, 1:]], 1), [None, total])
    return tokens, tf.maximum(kept, 1)


def sample(model: keras.Model, seed: Tensor) -> tf.Tensor:
    """Draws images in one graph loop over the decoding state.

    Args:
        model: an `AFTImageModel`.
        seed: int32 [B].

    Returns:
        int32 [B, H, W, C].
    """
    length = model.max_length
    noise = gumbel(seed, length, model.symbols)
    batch = tf.shape(seed)[0]
    tokens = tf.ensure_shape(tf.zeros([batch, length], tf.int32), [None, length])
    start = tf.tile(tf.cast(model.start, model.compute_dtype), [batch, 1])

    def body(t: tf.Tensor, tokens: tf.Tensor, states: list[State]) -> tuple[tf.Tensor, ...]:
        before = model.embed(tf.gather(tokens, tf.maximum(t - 1, 0), axis=1))
        x = tf.where(t == 0, start, before)
        logits, states = model.decode_step(x, states, t)
        token = tf.argmax(logits + tf.gather(noise, t, axis=1), -1, output_type=tf.int32)
        column = tf.range(length)[None] == t
        return t + 1, tf.where(column, token[:, None], tokens), states

    _, tokens, _ = tf.while_loop(
        lambda t, *_: t < length, body, (tf.constant(0), tokens, model.initial_state(batch))
    )
    return tf.reshape(tokens, [-1, *model.image_shape])
