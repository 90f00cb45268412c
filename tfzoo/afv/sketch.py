"""A count sketch: long vectors folded to a stated size."""

from __future__ import annotations

import tensorflow as tf

_PRIME = 2**31 - 1


def sketch(v: tf.Tensor, size: int) -> tf.Tensor:
    """Folds [B, n] into [B, size]: each coordinate, with a random sign, goes to a random bucket.

    Signs and buckets are hashes of the coordinate's number, the same everywhere. Inner products are
    kept in the mean, with a relative deviation of about 1 / sqrt(size).
    """
    i = tf.range(tf.shape(v)[1], dtype=tf.int64)
    bucket = (i * 1103515245 + 12345) % _PRIME % size
    sign = tf.cast((i * 69621 + 1013904223) % _PRIME % 2, tf.float32) * 2 - 1
    return tf.transpose(tf.math.unsorted_segment_sum(tf.transpose(v * sign), bucket, size))
