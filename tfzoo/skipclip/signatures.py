"""Signatures of the exported encoders."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfzoo.recipes.image_signatures import class_answer
from tfzoo.serving import Signature
from tfzoo.skipclip.recognizer import ActionRecognizer
from tfzoo.typing import Tensor


def prepared(video: tf.Tensor, size: int, share: float) -> tf.Tensor:
    """Converts videos of any size to the encoder's training size.

    The central square, with a side of `share` times the shorter side, scaled to `size` pixels;
    unchanged if it already has that size and `share` is 1.

    Args:
        video: [B, T, H, W, C], any dtype.
        size: side of the result.
        share: fraction of the shorter side, above 0 and up to 1.

    Returns:
        float32 [B, T, size, size, C] of raw pixels.
    """
    shape = tf.shape(video)
    height, width = shape[2], shape[3]
    side = tf.cast(tf.round(share * tf.cast(tf.minimum(height, width), tf.float32)), tf.int32)
    side = tf.maximum(side, 1)
    y, x = (height - side) // 2, (width - side) // 2
    square = video[:, :, y : y + side, x : x + side]
    weights = _triangles(side, size)
    scaled = tf.einsum("bthwc,ih,jw->btijc", tf.cast(square, tf.float32), weights, weights)
    return tf.ensure_shape(scaled, [None, None, size, size, video.shape[-1]])


def _triangles(side: tf.Tensor, size: int) -> tf.Tensor:
    """Weights [size, side] of `tf.image.resize(antialias=True)`, whose kernel XLA lacks."""
    step = tf.cast(side, tf.float32) / size
    at = (tf.range(size, dtype=tf.float32) + 0.5) * step - 0.5
    away = tf.abs(at[:, None] - tf.cast(tf.range(side), tf.float32)) / tf.maximum(step, 1.0)
    weights = tf.maximum(0.0, 1.0 - away)
    return weights / tf.reduce_sum(weights, 1, keepdims=True)


def signatures(model: ActionRecognizer) -> dict[str, Signature]:
    """Maps videos to features and classes, and pairs of clips to scores.

    `serving_default(video)` returns `features` float32 [B, D]; `classify(video)` returns
    `probabilities` and `classes`, if the model has a linear layer; `rank(context, future)` returns
    `scores` [B], higher for a future that follows sooner. Videos are uint8 [B, T, H, W, 3] of any
    length and size of at least one frame and pixel; all frames form one clip.
    """
    size, share = model.view
    rng = np.random.default_rng(0)
    spec = tf.TensorSpec([None, None, None, None, 3], tf.uint8)
    shown = rng.integers(0, 256, (4, 4, size + 5, size + 2, 3)).astype(np.uint8)
    future = rng.integers(0, 256, (4, 3, size, size, 3)).astype(np.uint8)

    def features(video: Tensor) -> dict[str, Tensor]:
        return {"features": model.features(prepared(video, size, share))}

    def classify(video: Tensor) -> dict[str, Tensor]:
        return class_answer(model(prepared(video, size, share), training=False))

    def rank(context: Tensor, future: Tensor) -> dict[str, Tensor]:
        pair = (prepared(x, size, share) for x in (context, future))
        return {"scores": model.rank(*pair)}

    given = {
        "serving_default": Signature(
            features,
            {"video": spec},
            {"video": shown},
            description="raw frames to features, the mean over the encoder's map",
        ),
        "rank": Signature(
            rank,
            {"context": spec, "future": spec},
            {"context": shown, "future": future},
            description="pairs of clips to scores; the sooner the second follows, the higher",
        ),
    }
    if model.head is not None:
        given["classify"] = Signature(
            classify,
            {"video": spec},
            {"video": shown},
            description="raw frames to class probabilities and the most likely class",
        )
    return given
