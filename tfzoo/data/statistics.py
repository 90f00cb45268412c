"""Range, mean and deviation of training images, computed once and cached with the prepared data."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfzoo.data.info import value_range
from tfzoo.data.prepare import split
from tfzoo.files import write_text


def statistics(builder: Any, split_name: str, feature: str = "image") -> dict[str, Any]:
    """`shape`, `low`, `high`, `mean` and `std` of an `Info`, over all of a split's feature.

    The first call reads the split; later calls read its cached result in the builder's folder.

    Args:
        builder: a prepared TFDS builder.
        split_name: a split, or a part of one.
        feature: with channels on its last axis.
    """
    name = re.sub(r"\W+", "-", f"{feature} {split_name}").strip("-")
    kept = Path(str(builder.data_dir)) / f"statistics-{name}.json"
    if kept.is_file():
        measured = json.loads(kept.read_text(encoding="utf-8"))
    else:
        channels = builder.info.features[feature].shape[-1]
        values = split(builder, split_name).map(lambda example: example[feature])
        measured = _measure(values, channels)
        if kept.parent.is_dir():
            with contextlib.suppress(OSError):  # prepared data may be read-only
                write_text(kept, json.dumps(measured))
    return _info_of(measured, tf.as_dtype(builder.info.features[feature].np_dtype))


def streamed_moments(values: tf.data.Dataset, channels: int) -> dict[str, Any]:
    """The same for a dataset of values [..., channels], read once."""
    return _info_of(_measure(values, channels), values.element_spec.dtype)


def _info_of(measured: dict[str, Any], dtype: tf.DType) -> dict[str, Any]:
    low, high = value_range(dtype.as_numpy_dtype, measured["low"], measured["high"])
    mean, std = tuple(measured["mean"]), tuple(measured["std"])
    shape = tuple(a if a == b else None for a, b in zip(*measured["shapes"], strict=True))
    return {"shape": shape, "low": low, "high": high, "mean": mean, "std": std}


def _measure(values: tf.data.Dataset, channels: int) -> dict[str, Any]:
    rank = values.element_spec.shape.rank
    start = (
        tf.zeros([], tf.float64),
        tf.zeros([channels], tf.float64),
        tf.zeros([channels], tf.float64),
        tf.constant(float("inf"), tf.float64),
        tf.constant(float("-inf"), tf.float64),
        tf.fill([rank], tf.int32.max),
        tf.zeros([rank], tf.int32),
    )

    def add(state: Any, x: tf.Tensor) -> Any:
        count, total, squares, low, high, smallest, largest = state
        shape = tf.shape(x)
        x = tf.reshape(tf.cast(x, tf.float64), [-1, channels])
        return (
            count + tf.cast(tf.shape(x)[0], tf.float64),
            total + tf.reduce_sum(x, 0),
            squares + tf.reduce_sum(x * x, 0),
            tf.minimum(low, tf.reduce_min(x)),
            tf.maximum(high, tf.reduce_max(x)),
            tf.minimum(smallest, shape),
            tf.maximum(largest, shape),
        )

    count, total, squares, low, high, smallest, largest = values.reduce(start, add)
    mean = total / count
    std = tf.sqrt(tf.maximum(squares / count - mean**2, 0.0))
    return {
        "low": float(low),
        "high": float(high),
        "mean": mean.numpy().tolist(),
        "std": std.numpy().tolist(),
        "shapes": [smallest.numpy().tolist(), largest.numpy().tolist()],
    }
