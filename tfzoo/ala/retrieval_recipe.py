"""ALA's task on retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data, networks
from tfzoo.ala import training
from tfzoo.ala.config import AlignedRetrievalConfig
from tfzoo.errors import InputError
from tfzoo.metric_recipes.retrieval import Retrieval, training_view
from tfzoo.registry import task
from tfzoo.runner import Run


@task("ala.retrieval")
class AlignedRetrieval(Retrieval):
    """Images to embeddings, by pairs or triplets of batches that hold several of each class."""

    config_class = AlignedRetrievalConfig

    def stream(
        self,
        config: AlignedRetrievalConfig,
        encoded: tf.data.Dataset,
        count: int,
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> data.TrainStream:
        """Batches of `per_class` images of each of some classes; files are held in memory."""
        whole = encoded.map(lambda x: (x["image"], x[config.label]))
        files, labels = whole.batch(2**31 - 1).get_single_element()
        by_class = [r for r in _by_class(labels.numpy()) if len(r) >= config.per_class]
        classes = config.batch_size // config.per_class
        if len(by_class) < classes:
            raise InputError(
                f"batch_size={config.batch_size}: needs {classes} classes of {config.per_class} "
                f"images or more, the training split has {len(by_class)}"
            )
        rows = tf.ragged.constant([r.tolist() for r in by_class], tf.int64)
        lengths = rows.row_lengths()
        steps = max(min(count // config.batch_size, config.steps_per_epoch or count), 1)
        size = config.model.image_size

        def batch(step: tf.Tensor) -> tuple[Any, Any]:
            seed = tf.random.experimental.stateless_fold_in(
                tf.constant([config.seed, 3], tf.int32), step
            )
            order, picks, views = tf.unstack(tf.random.split(seed, 3))
            shuffle = tf.random.experimental.stateless_shuffle
            drawn = shuffle(tf.range(len(by_class)), order)[:classes]
            seeds = tf.random.split(picks, classes)

            def of_class(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
                inside = shuffle(tf.range(lengths[pair[0]]), pair[1])[: config.per_class]
                return tf.gather(rows[pair[0]], inside)

            chosen = tf.map_fn(of_class, (drawn, seeds), fn_output_signature=tf.int64)
            chosen = tf.reshape(chosen, [config.batch_size])

            def view(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
                return training_view(decode(files[pair[0]]), pair[1], size)

            shape = tf.TensorSpec([size, size, config.model.channels], tf.float32)
            seeds = tf.random.split(views, config.batch_size)
            return tf.map_fn(view, (chosen, seeds), fn_output_signature=shape), tf.gather(
                labels, chosen
            )

        def make(step: int) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            options = tf.data.Options()
            options.deterministic = True
            found = numbers.map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
            return found.apply(endless).with_options(options)

        return data.TrainStream(steps, make)

    def build(self, config: AlignedRetrievalConfig, info: dict[str, Any]) -> keras.Model:
        """The network to embeddings of unit length, compiled with its parametric loss."""
        made = self.network(config, info)
        return training.compiled(made, config.ala.make_loss(config.train_classes), config, info)

    def train(self, model: keras.Model, datasets: data.Datasets, run: Run) -> None:
        """One model with the callback, or several children."""
        if run.config.model.weights == "imagenet":
            networks.load_imagenet(model)  # a resumed run puts its own over them
        training.train(model, datasets, run, run.config.metric.make())


def _by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Rows of each class."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
