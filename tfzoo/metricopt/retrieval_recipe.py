"""MetricOpt's task on retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data, networks
from tfzoo.metric_recipes.retrieval import Retrieval, training_view
from tfzoo.metricopt import training
from tfzoo.metricopt.config import TunedRetrievalConfig
from tfzoo.registry import task
from tfzoo.runner import Run

SHUFFLE_BUFFER = 10_000


@task("metricopt.retrieval")
class RetrievalMetric(Retrieval):
    """Images to embeddings, trained by a normalised softmax over the training classes."""

    config_class = TunedRetrievalConfig

    def stream(
        self,
        config: TunedRetrievalConfig,
        encoded: tf.data.Dataset,
        count: int,
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> data.TrainStream:
        """Images and one-hot classes, shuffled through a buffer."""

        def prepare(example: dict[str, Any], seed: tf.Tensor) -> tuple[Any, Any]:
            image = training_view(decode(example["image"]), seed, config.model.image_size)
            return image, {"logits": tf.one_hot(example[config.label], config.train_classes)}

        return data.train_stream(
            encoded,
            count=count,
            batch_size=config.batch_size,
            seed=config.seed,
            map_fn=prepare,
            steps_per_epoch=config.steps_per_epoch,
            shuffle_buffer=SHUFFLE_BUFFER,
        )

    def build(self, config: TunedRetrievalConfig, info: dict[str, Any]) -> keras.Model:
        """A plain Keras model from raw pixels to embeddings of unit length."""
        return self.network(config, info)

    def train(self, model: keras.Model, datasets: data.Datasets, run: Run) -> None:
        """The embedding under its softmax, then its adapters for the metric."""
        if run.config.model.weights == "imagenet":
            networks.load_imagenet(model)  # a resumed run puts its own over them
        base = _classifier(model, run.config)
        loss = {"logits": keras.losses.CategoricalCrossentropy(from_logits=True)}
        training.compile_base(base, loss, run.config, datasets.train.steps_per_epoch)
        training.train(model, base, datasets, run, lambda y: np.asarray(y), validate=False)


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
