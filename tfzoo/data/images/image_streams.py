"""The training stream of an image data set, small or large."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.data import memory
from tfzoo.data.pipeline import MapFn, TrainStream, train_stream
from tfzoo.data.prepare import split

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

IN_MEMORY_BYTES = 2**30
SHUFFLE_BUFFER = 20_000


def image_stream(
    builder: tfds.core.DatasetBuilder, split_name: str, *, map_fn: MapFn, **keywords: Any
) -> TrainStream:
    """`train_stream` of a split with a feature `image`.

    Images of equal size that fit into `IN_MEMORY_BYTES` are held in memory and shuffled by a
    permutation; others pass through a shuffle buffer as encoded files and are decoded afterwards.
    The buffer has `SHUFFLE_BUFFER` examples, or as many as its byte budget allows.

    Args:
        builder: a TFDS builder.
        split_name: a split, or a part of one.
        map_fn: `(example, seed int32[2]) -> element`, called with decoded images.
        **keywords: arguments of `train_stream`.

    Raises:
        InputError: the split has fewer examples than a batch, or cannot be read.
    """
    import tensorflow_datasets as tfds

    feature = builder.info.features["image"]
    count = builder.info.splits[split_name].num_examples
    fixed = None not in feature.shape
    size = math.prod(feature.shape) * np.dtype(feature.np_dtype).itemsize if fixed else None
    fits = size is not None and count * size <= IN_MEMORY_BYTES
    stored = memory.stored_bytes(builder, split_name)
    if fits or not isinstance(feature, tfds.features.Image):
        buffer = None if fits else memory.buffer_size(SHUFFLE_BUFFER, size or stored)
        examples = split(builder, split_name)
        return train_stream(examples, count=count, map_fn=map_fn, shuffle_buffer=buffer, **keywords)

    def decoded(example: Any, seed: tf.Tensor) -> Any:
        return map_fn({**example, "image": feature.decode_example(example["image"])}, seed)

    examples = split(builder, split_name, encoded=True)
    buffer = memory.buffer_size(SHUFFLE_BUFFER, stored)
    return train_stream(examples, count=count, map_fn=decoded, shuffle_buffer=buffer, **keywords)
