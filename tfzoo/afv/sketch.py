"""A count sketch: folds long vectors to a given size."""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor

_PRIME = 2**31 - 1


def sketch(v: Tensor, size: int, start: int = 0) -> Tensor:
    """Folds [B, n] into [B, size]: each coordinate, with a random sign, goes to a random bucket.

    Signs and buckets are hashes of the coordinate's index, equal on all platforms (on JAX only with
    `jax_enable_x64`). Inner products are preserved in expectation, with a relative deviation of
    about 1 / sqrt(size).

    Args:
        v: [B, n].
        size: size of the result.
        start: index of the first coordinate, so that the sketches of parts add up to the whole's.
    """
    i = ops.arange(ops.shape(v)[1], dtype="int64") + start
    bucket = (i * 1103515245 + 12345) % _PRIME % size
    sign = ops.cast((i * 69621 + 1013904223) % _PRIME % 2, "float32") * 2 - 1
    return ops.transpose(ops.segment_sum(ops.transpose(v * sign), bucket, size))
