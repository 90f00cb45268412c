"""The signatures that all image classifiers have: raw pixels and encoded files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.data.images.transforms import to_size
from tfzoo.serving.signature import Signature


def image_signatures(
    answer: Callable[[Any], dict[str, Any]], size: int, channels: int, says: str
) -> dict[str, Signature]:
    """`serving_default(images)` takes raw pixels, `bytes(encoded)` PNG or JPEG files.

    Args:
        answer: images [B, size, size, channels] of raw pixels -> outputs by name.
        size: side of the images.
        channels: of the images.
        says: what is answered, for the descriptions.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 17, (4, size, size, channels)).astype(np.uint8)

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels, expand_animations=False)
        return to_size(tf.ensure_shape(image, [None, None, channels]), size)

    def from_bytes(encoded: tf.Tensor) -> dict[str, Any]:
        spec = tf.TensorSpec([size, size, channels], tf.float32)
        return answer(tf.map_fn(decode, encoded, fn_output_signature=spec))

    files = np.array([tf.io.encode_png(image).numpy() for image in images], object)
    return {
        "serving_default": Signature(
            answer,
            {"images": tf.TensorSpec([None, size, size, channels], tf.float32)},
            {"images": images.astype(np.float32)},
            description=f"raw pixels to {says}",
        ),
        "bytes": Signature(
            from_bytes,
            {"encoded": tf.TensorSpec([None], tf.string)},
            {"encoded": files},
            xla=False,
            description=f"PNG or JPEG files, resized, to {says}",
        ),
    }


def class_answer(logits: Any) -> dict[str, Any]:
    """Probabilities float32 [B, k] and the likeliest class int32 [B]."""
    probabilities = ops.softmax(ops.cast(logits, "float32"))
    classes = ops.cast(ops.argmax(probabilities, -1), "int32")
    return {"probabilities": probabilities, "classes": classes}


def classifier(model: keras.Model, size: int, channels: int) -> dict[str, Signature]:
    """The signatures of a model from raw pixels to logits."""
    return image_signatures(
        lambda images: class_answer(model(images, training=False)),
        size,
        channels,
        "class probabilities and the likeliest class",
    )
