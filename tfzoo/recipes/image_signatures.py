"""The signatures common to all image classifiers: raw pixels and encoded files."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.data import Info, decoding
from tfzoo.data.images.transforms import to_size
from tfzoo.serving.signature import Signature
from tfzoo.typing import Tensor


def image_signatures(
    answer: Callable[[Tensor], dict[str, Tensor]],
    size: int,
    channels: int,
    says: str,
    info: Info | None = None,
) -> dict[str, Signature]:
    """`serving_default(images)` takes raw pixels, `bytes(encoded)` image files.

    A file's values, from 0 to 255, are mapped to the range of the training images. `bytes` also
    returns the names of its `classes` as `labels`, if the training data have names;
    `serving_default`, which XLA compiles, cannot hold text.

    Args:
        answer: maps raw pixels [B, size, size, channels] to outputs by name.
        size: side of the images.
        channels: channels of the images.
        says: what is returned, for the descriptions.
        info: properties of the training images; without it their range is assumed to be 0 to 255.
    """
    low, high = (0.0, 255.0) if info is None else info.limits
    names = info.classes if info is not None and info.has_names else ()
    rng = np.random.default_rng(0)
    files = rng.integers(0, 256, (4, size, size, channels)).astype(np.uint8)

    def to_range(image: Tensor) -> Tensor:
        return image if (low, high) == (0.0, 255.0) else low + image * ((high - low) / 255.0)

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        image = to_size(decoding.decode(encoded, channels), size)
        return to_range(tf.cast(image, tf.float32))

    def from_bytes(encoded: tf.Tensor) -> dict[str, Tensor]:
        spec = tf.TensorSpec([size, size, channels], tf.float32)
        outputs = answer(tf.map_fn(decode, encoded, fn_output_signature=spec))
        if names and "classes" in outputs:
            return {**outputs, "labels": tf.gather(tf.constant(names), outputs["classes"])}
        return outputs

    pixels = f"raw pixels from {low:g} to {high:g}"
    return {
        "serving_default": Signature(
            answer,
            {"images": tf.TensorSpec([None, size, size, channels], tf.float32)},
            {"images": np.asarray(to_range(files.astype(np.float32)))},
            description=f"{pixels} to {says}",
            ranges={"images": (low, high)},
        ),
        "bytes": Signature(
            from_bytes,
            {"encoded": tf.TensorSpec([None], tf.string)},
            {"encoded": np.array([tf.io.encode_png(image).numpy() for image in files], object)},
            xla=False,
            description=f"image files, resized and mapped to {pixels}, to {says}",
        ),
    }


def class_answer(logits: Tensor) -> dict[str, Tensor]:
    """Probabilities float32 [B, k] and the most likely class int32 [B]."""
    probabilities = ops.softmax(ops.cast(logits, "float32"))
    classes = tf.argmax(probabilities, -1, tf.int32)  # Keras's uses operations that LiteRT lacks
    return {"probabilities": probabilities, "classes": classes}


def classifier(
    model: keras.Model, size: int, channels: int, info: Info | None = None
) -> dict[str, Signature]:
    """The signatures of a model that maps raw pixels to logits."""
    return image_signatures(
        lambda images: class_answer(model(images, training=False)),
        size,
        channels,
        "class probabilities and the most likely class",
        info,
    )
