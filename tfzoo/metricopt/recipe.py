"""MetricOpt's tasks: labelled images and tables, retrieval."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data import memory
from tfzoo.metricopt import training
from tfzoo.metricopt.config import TunedClassificationConfig, TunedRetrievalConfig
from tfzoo.recipes import networks
from tfzoo.recipes.classification import Classification, Images, Table
from tfzoo.recipes.retrieval import Retrieval, training_view
from tfzoo.registry import task
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

SHUFFLE_BUFFER = 10_000
"""Shuffle buffer of encoded images for retrieval, or as many as the byte budget allows."""


class _Tuned(Classification[TunedClassificationConfig]):
    """Trains a plain Keras model, then tunes adapters for the metric."""

    config_class = TunedClassificationConfig

    def one_device(self, config: TunedClassificationConfig) -> str:
        """The reason, which applies to every config."""
        return training.ONE_DEVICE

    def build(self, config: TunedClassificationConfig, info: data.Info) -> keras.Model:
        """The network, compiled."""
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        network = self.network(config, info)
        return training.compile_base(network, loss, config, info.steps_per_epoch)

    def train(
        self, model: keras.Model, datasets: data.Datasets, run: Run[TunedClassificationConfig]
    ) -> dict[str, float]:
        """The base model, then its adapters for the metric."""
        training.train(model, model, datasets, run, lambda y: np.argmax(y, -1))
        self.add_accuracy(model, run)
        return {}


@task("metricopt.images")
class ImageMetric(_Tuned, Images[TunedClassificationConfig]):
    """Tunes a classifier of small labelled images."""


@task("metricopt.table")
class TableMetric(_Tuned, Table[TunedClassificationConfig]):
    """Classification of rows of numbers, tuned for a metric."""


@task("metricopt.retrieval")
class RetrievalMetric(Retrieval[TunedRetrievalConfig]):
    """Image embeddings, trained by a normalised softmax over the training classes."""

    config_class = TunedRetrievalConfig

    def one_device(self, config: TunedRetrievalConfig) -> str:
        """The reason, which applies to every config."""
        return training.ONE_DEVICE

    def stream(
        self,
        config: TunedRetrievalConfig,
        encoded: tf.data.Dataset,
        count: int,
        stored: float,
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> data.TrainStream:
        """Images and one-hot classes, shuffled through a buffer."""

        def prepare(example: dict[str, Tensor], seed: tf.Tensor) -> tuple[Tensor, Tensor]:
            image = training_view(decode(example["image"]), seed, config.model.image_size)
            return image, {"logits": tf.one_hot(example[config.label], config.train_classes)}

        return data.train_stream(
            encoded,
            count=count,
            batch_size=config.batch_size,
            seed=config.seed,
            map_fn=prepare,
            steps_per_epoch=config.steps_per_epoch,
            shuffle_buffer=memory.buffer_size(SHUFFLE_BUFFER, stored),
        )

    def build(self, config: TunedRetrievalConfig, info: data.Info) -> keras.Model:
        """A plain Keras model that maps raw pixels to embeddings of unit length."""
        return self.network(config, info)

    def train(
        self, model: keras.Model, datasets: data.Datasets, run: Run[TunedRetrievalConfig]
    ) -> dict[str, float]:
        """Trains the embedding under its softmax, then its adapters for the metric."""
        if run.config.model.weights == "imagenet":
            networks.load_imagenet(model)  # a resumed run overwrites them with its own
        base = _classifier(model, run.config)
        loss = {"logits": keras.losses.CategoricalCrossentropy(from_logits=True)}
        training.compile_base(base, loss, run.config, datasets.train.steps_per_epoch)
        training.train(model, base, datasets, run, lambda y: np.asarray(y), validate=False)
        return {}


def _classifier(embedder: keras.Model, config: TunedRetrievalConfig) -> keras.Model:
    """The embedding and the cosine logits of the training classes."""
    h = keras.layers.Dense(
        config.train_classes,
        use_bias=False,
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
        name="proxies",
    )(embedder.output)
    logits = keras.layers.Rescaling(1.0 / config.model.temperature, name="logits")(h)
    return keras.Model(embedder.input, {"embedding": embedder.output, "logits": logits})
