"""One device, all local devices, or several machines: the same global batches on each."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfzoo.config import check
from tfzoo.errors import InputError


class _KerasReduce:
    """A `reduce` that works for Keras 3's `fit`.

    Keras makes two calls that strategies refuse: it reduces a whole batch before its symbolic build
    (whose parts may have different lengths), and calls `reduce("MEAN", scalar, axis=0)` for a
    loss that has no axis.
    """

    def reduce(self, reduce_op, value, axis=None):
        """Reduces like the base class, except for these two calls of Keras's `fit`."""
        if isinstance(value, (tuple, list, dict)):  # a batch, used only for its shapes
            return tf.nest.map_structure(lambda v: self.experimental_local_results(v)[0], value)
        rank = self.experimental_local_results(value)[0].shape.rank
        return super().reduce(reduce_op, value, axis=axis if rank else None)


class _Mirrored(_KerasReduce, tf.distribute.MirroredStrategy):
    pass


class _MultiWorker(_KerasReduce, tf.distribute.MultiWorkerMirroredStrategy):
    pass


def make_strategy(name: str) -> tf.distribute.Strategy | None:
    """The strategy of a config's key `distribute`; None for one device.

    A `multi_worker` strategy must be created before TensorFlow runs its first operation.

    Raises:
        InputError: `multi_worker` without the environment variable TF_CONFIG, or with an invalid
            one.
    """
    if name == "mirrored":
        return _Mirrored(
            [d.name.split("device:")[-1] for d in _devices()],
            cross_device_ops=tf.distribute.ReductionToOneDevice()
            if not tf.config.list_logical_devices("GPU")
            else None,
        )
    if name == "multi_worker":
        _check_cluster(os.environ.get("TF_CONFIG"))
        return _MultiWorker()
    return None


def _check_cluster(text: str | None) -> None:
    """Checks TF_CONFIG: with an incomplete one, TensorFlow would train alone without a word."""
    if text is None:
        raise InputError("distribute='multi_worker': needs the environment variable TF_CONFIG")
    try:
        cluster = json.loads(text)
        task = cluster["task"]
        cluster["cluster"][task["type"]][int(task["index"])]
    except (ValueError, TypeError, LookupError):
        raise InputError(
            f"TF_CONFIG={text!r}: must be JSON that names the cluster and this task of it, e.g. "
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
        ) from None


def _devices() -> list[tf.config.LogicalDevice]:
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process is the one that writes files."""
    resolver = getattr(strategy, "cluster_resolver", None)
    return resolver is None or resolver.task_type in (None, "chief") or _first_worker(resolver)


def _first_worker(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> bool:
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "worker" and resolver.task_id == 0 and not has_chief


def check_share(
    strategy: tf.distribute.Strategy | None, batch_size: int, key: str = "batch_size"
) -> None:
    """Raises `InputError` unless the devices can split a batch evenly."""
    n = 1 if strategy is None else strategy.num_replicas_in_sync
    check(batch_size % n == 0, key, batch_size, f"divisible by the {n} devices that share it")


@contextlib.contextmanager
def synchronised(
    strategy: tf.distribute.Strategy | None, model: keras.layers.Layer
) -> Iterator[None]:
    """Inside, BatchNormalization uses the moments of the global batch, as on one device."""
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    norms = [
        layer
        for layer in (model._flatten_layers() if several else ())
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [layer.synchronized for layer in norms]
    for layer in norms:
        layer.synchronized = True
    try:
        yield
    finally:  # so that the model's file is unchanged
        for layer, value in zip(norms, before, strict=True):
            layer.synchronized = value


def share(
    strategy: tf.distribute.Strategy | None, batches: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Splits a stream of global batches over the replicas, in order.

    Replica r of R gets rows `[r * B/R, (r + 1) * B/R)` of every global batch of B rows, so that the
    gradient equals that of one device on the whole batch.

    Raises:
        InputError: `batch_size` is not divisible by the number of replicas.
    """
    if strategy is None:
        return batches
    check_share(strategy, batch_size)
    replicas = strategy.num_replicas_in_sync

    def local(context: tf.distribute.InputContext) -> tf.data.Dataset:
        rows = batch_size // context.num_input_pipelines
        start = rows * context.input_pipeline_id

        def part(*batch):
            return tf.nest.map_structure(lambda x: x[start : start + rows], batch)

        return batches.map(part).rebatch(batch_size // replicas, drop_remainder=True)

    return strategy.distribute_datasets_from_function(local)


def spread(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Evaluation batches, split between workers by rows, since there may be too few files."""
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)
