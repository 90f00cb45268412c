"""What a training step of its own does so that several replicas make the step of one device.

Under `tf.distribute` each replica has its rows of the global batch. With one replica, outside of
a strategy, or on another backend, these change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfzoo.typing import Tensor


def count() -> int:
    """Replicas that share a global batch."""
    context = _context()
    return context.num_replicas_in_sync if context else 1


def share(loss: Tensor) -> Tensor:
    """A replica's part of the global mean loss: gradients are summed over replicas."""
    n = count()
    return loss if n == 1 else loss / n


def mean(x: Tensor) -> Tensor:
    """The mean over replicas of a tensor that each has, with its gradient."""
    n = count()
    return x if n == 1 else total(x) / n


def total(x: Tensor) -> Tensor:
    """The sum over replicas of a tensor, or of each of a list, with its gradient."""
    if count() == 1:
        return x
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, x)


def draw(rows: int | Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
    """This replica's rows of random numbers that are drawn for the global batch.

    Args:
        rows: of this replica.
        make: a number of rows to random numbers of as many; its seed is all replicas' own.
    """
    n = count()
    if n == 1:
        return make(rows)
    start = _context().replica_id_in_sync_group * rows
    return make(n * rows)[start : start + rows]


def _context() -> Any:
    """TensorFlow's replica context; None where there are no replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()
