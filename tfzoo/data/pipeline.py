"""Training streams that can start at any step, and ordered batches for evaluation."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.data import memory
from tfzoo.data.info import Info, epoch_steps
from tfzoo.errors import InputError

MapFn = Callable[[Any, tf.Tensor], Any]
Lookup = Callable[[tf.Tensor, tf.Tensor], Any]


@dataclass(frozen=True)
class TrainStream:
    """An infinite stream of global batches, addressable by step.

    Attributes:
        steps_per_epoch: batches in an epoch.
        make: `make(step)` returns the stream starting at that step.
    """

    steps_per_epoch: int
    make: Callable[[int], tf.data.Dataset]

    def from_step(self, step: int) -> tf.data.Dataset:
        """The batches of `from_step(0).skip(step)`, without computing the skipped ones.

        Raises:
            ValueError: `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step={step}: must be at least 0")
        return _Released(self.make(step))


class _Released(tf.data.Dataset):
    """A dataset whose iterators may outlive the program although it calls Python functions.

    An iterator that is destroyed waits for the calls of `tf.numpy_function` that it has started.
    While the interpreter shuts down these never return, and the process hangs. So an iterator's
    state is replaced by that of an empty dataset before.
    """

    def __init__(self, dataset: tf.data.Dataset):
        self._dataset = dataset
        super().__init__(dataset._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    def element_spec(self) -> Any:
        return self._dataset.element_spec

    def __iter__(self) -> Iterator:
        iterator = super().__iter__()
        if tf.executing_eagerly():
            weakref.finalize(iterator, _empty, iterator._iterator_resource, self.take(0))
        return iterator


def _empty(iterator: tf.Tensor, empty: tf.data.Dataset) -> None:
    tf.raw_ops.MakeIterator(dataset=empty._variant_tensor, iterator=iterator)


@dataclass(frozen=True)
class Datasets:
    """The data that a recipe trains on, makes choices on and reports on.

    A recipe whose training or evaluation reads more than batches adds fields in a subclass.

    Attributes:
        train: the training stream.
        validation: finite batches that choices are made on.
        test: finite batches that results are reported on.
        info: properties of the data.
    """

    train: TrainStream
    validation: tf.data.Dataset
    test: tf.data.Dataset
    info: Info


def train_stream(
    examples: tf.data.Dataset | Lookup | dict[str, tf.Tensor],
    *,
    batch_size: int,
    seed: int,
    count: int | None = None,
    map_fn: MapFn | None = None,
    batch_map_fn: MapFn | None = None,
    steps_per_epoch: int | None = None,
    shuffle_buffer: int | None = None,
    repeats: int = 1,
) -> TrainStream:
    """Makes a training stream whose every batch follows from (seed, epoch, position).

    Each epoch visits every example once, in an order of its own, and drops the last incomplete
    batch. Examples come from memory, shuffled by a permutation, unless `shuffle_buffer` is given:
    then they are reread each epoch and shuffled through a buffer, and starting mid-epoch reads, but
    does not map, the preceding examples.

    Args:
        examples: a dataset; or, for data already in memory, tensors [N, ...] by name or a function
            `(index int64, epoch int64) -> example`.
        batch_size: examples per (global) batch.
        seed: determines order and augmentation.
        count: number of examples; may be None for a dataset held in memory.
        map_fn: `(example, seed int32[2]) -> element` with a separate stateless seed for each
            example and epoch.
        batch_map_fn: the same for whole batches (mixup, cutmix).
        steps_per_epoch: caps the epoch; None: one pass.
        shuffle_buffer: examples in the buffer, for a dataset too large for memory; None: hold all
            in memory.
        repeats: consecutive copies of an example, each with its own seed; an epoch keeps its
            length, so it sees 1/repeats of the examples (repeated augmentation, 1902.05509).

    Raises:
        InputError: the split has fewer examples than a batch, or cannot be read.
        ValueError: `count` is missing, or is not the dataset's.
    """
    held = not callable(examples) and shuffle_buffer is None
    source: Any = examples
    if held:
        source, count = _in_memory(source, count)
    if count is None:
        raise ValueError("count: must be given, since the examples are not held in memory")
    if count < batch_size:
        raise InputError(
            f"batch_size={batch_size}: must be at most {count}, the number of training examples"
        )
    steps = epoch_steps(count, batch_size, steps_per_epoch)
    per_epoch = steps * batch_size

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order_seed = _seed(seed, 0, epoch)
        if callable(source) or shuffle_buffer is None:  # held
            order = tf.random.experimental.stateless_shuffle(tf.range(count), order_seed)
            stream = tf.data.Dataset.from_tensor_slices(tf.repeat(order, repeats))
        else:
            stream = _shuffle(source, shuffle_buffer, order_seed)
            if repeats > 1:
                stream = stream.flat_map(lambda x: tf.data.Dataset.from_tensors(x).repeat(repeats))
        return stream.take(per_epoch).enumerate().map(lambda i, x: (x, epoch, i))

    def element(x: Any, epoch: tf.Tensor, i: tf.Tensor) -> Any:
        x = source(tf.cast(x, tf.int64), epoch) if callable(source) else x
        return x if map_fn is None else map_fn(x, _seed(seed, 1, epoch, i))

    def make(step: int) -> tf.data.Dataset:
        epoch, done = divmod(step, steps)
        stream = tf.data.Dataset.range(epoch, np.iinfo(np.int64).max).flat_map(of_epoch)
        stream = stream.skip(done * batch_size)
        if held and map_fn is None:  # a batch is one look-up
            stream = stream.batch(batch_size, drop_remainder=True)
            stream = stream.map(lambda x, epoch, i: source(x, epoch), tf.data.AUTOTUNE)
        else:
            stream = stream.map(element, tf.data.AUTOTUNE)
            stream = stream.batch(batch_size, drop_remainder=True)
        if batch_map_fn is not None:
            stream = stream.enumerate(step).map(
                lambda i, batch: batch_map_fn(batch, _seed(seed, 2, i)), tf.data.AUTOTUNE
            )
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        options = tf.data.Options()
        options.deterministic = True
        # they copy what functions capture: all examples, if these are in memory
        options.experimental_optimization.apply_default_optimizations = False
        return stream.prefetch(tf.data.AUTOTUNE).apply(endless).with_options(options)

    return TrainStream(steps, make)


def eval_batches(
    examples: tf.data.Dataset, *, batch_size: int, map_fn: Callable[[Any], Any] | None = None
) -> tf.data.Dataset:
    """Batches in the data's order; the last one may be smaller, nothing is dropped."""
    if map_fn is not None:
        examples = examples.map(map_fn, tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _in_memory(
    examples: tf.data.Dataset | dict[str, tf.Tensor], count: int | None
) -> tuple[Lookup, int]:
    """A whole dataset as tensors: a lookup by one or many indices, and the number of examples."""
    held: Any = examples
    if not isinstance(examples, dict):
        held = tf.nest.map_structure(memory.tensor, memory.arrays(examples, count))
    number = len(tf.nest.flatten(held)[0])
    return lambda index, epoch: tf.nest.map_structure(lambda x: tf.gather(x, index), held), number


def _seed(seed: int, purpose: int, *numbers: tf.Tensor) -> tf.Tensor:
    pair = tf.constant([seed, purpose], tf.int32)
    for number in numbers:
        pair = tf.random.experimental.stateless_fold_in(pair, number)
    return pair


def _shuffle(examples: tf.data.Dataset, buffer_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """`examples.shuffle` with a tensor as the seed, which the method does not accept."""
    specs = tf.nest.flatten(examples.element_spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(examples),
        buffer_size=buffer_size,
        seed=tf.cast(seed[0], tf.int64),
        seed2=tf.cast(seed[1], tf.int64),
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, examples.element_spec)
