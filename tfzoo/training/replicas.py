"""Helpers that make a custom training step on N replicas equal to one on a single device.

Under `tf.distribute` each replica has its rows of the global batch. With one replica, outside a
strategy, or on another backend, these helpers have no effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfzoo.typing import Tensor


def count() -> int:
    """Number of replicas that share a global batch."""
    context = _context()
    return context.num_replicas_in_sync if context else 1


def share(loss: Tensor) -> Tensor:
    """A replica's share of the global mean loss, as gradients are summed over replicas."""
    n = count()
    return loss if n == 1 else loss / n


def mean(x: Tensor) -> Tensor:
    """The mean of a tensor over replicas, differentiable."""
    n = count()
    return x if n == 1 else total(x) / n


def total(x: Tensor) -> Tensor:
    """The sum of a tensor, or of each tensor of a list, over replicas, differentiable."""
    if count() == 1:
        return x
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, x)


def draw(rows: int | Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    """This replica's rows of random numbers drawn for the global batch.

    Args:
        rows: number of this replica's rows.
        make: maps a number of rows to random numbers; its seed is the same on all replicas.
    """
    n = count()
    if n == 1:
        return make(rows)
    start = _context().replica_id_in_sync_group * rows
    return make(n * rows)[start : start + rows]


def _context() -> Any:
    """TensorFlow's replica context; None if there are no replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()
