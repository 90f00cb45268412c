"""The bottleneck's task: labelled images, all trained at once."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import keras

from tfzoo import data
from tfzoo.bottleneck import signatures
from tfzoo.bottleneck.config import NetworkTaskConfig
from tfzoo.bottleneck.model import BottleneckNetwork
from tfzoo.data.images import transforms
from tfzoo.recipes.images import ImageClassification
from tfzoo.registry import task
from tfzoo.serving import Signature

if TYPE_CHECKING:
    import tensorflow as tf


@task("bottleneck.network")
class BottleneckClassification(ImageClassification[NetworkTaskConfig]):
    """Image classification through a finite bottleneck, simulated in function space."""

    config_class = NetworkTaskConfig
    own_data = dict.fromkeys(ImageClassification.own_data, ("batch_size",))

    def one_device(self, config: NetworkTaskConfig) -> str:
        """The reason, which applies to every config."""
        return "since the training set is one batch, whose kernel is one matrix"

    def augmented(
        self, image: tf.Tensor, seed: tf.Tensor, config: NetworkTaskConfig, info: data.Info
    ) -> tf.Tensor:
        """Unchanged, as the training set is one batch that never changes."""
        return transforms.to_size(image, self.image_size(config, info))

    def data_info(self, config: NetworkTaskConfig) -> data.Info:
        """Classes and channels, and the config's steps."""
        return replace(super().data_info(config), steps_per_epoch=config.steps_per_epoch)

    def datasets(self, config: NetworkTaskConfig) -> data.Datasets:
        """The training set: the stream's first batch, repeated."""
        sets = super().datasets(config)
        whole = sets.train.from_step(0).take(1).cache()
        info = replace(sets.info, steps_per_epoch=config.steps_per_epoch)
        stream = data.TrainStream(info.steps_per_epoch, lambda step: whole.repeat())
        return replace(sets, train=stream, info=info)

    def build(self, config: NetworkTaskConfig, info: data.Info) -> keras.Model:
        """A `BottleneckNetwork` for `batch_size` training examples, compiled."""
        self.image_size(config, info)
        model = BottleneckNetwork(
            input_shape=info.sizes,
            outputs=info.num_classes,
            examples=config.batch_size,
            **asdict(config.model) | info.over_all(config.model),
        )
        squared = config.loss == "squared_error"
        model.compile(
            loss="mse" if squared else keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=config.jit_compile,
        )
        return model

    def evaluate(
        self, model: keras.Model, datasets: data.Datasets, config: NetworkTaskConfig
    ) -> dict[str, float]:
        """Accuracy and loss on the test split, and the number of images."""
        metrics = model.evaluate(datasets.test, verbose=0, return_dict=True)
        count = sum(len(x) for x, _ in datasets.test)
        return {name: float(value) for name, value in metrics.items()} | {"count": count}

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)`, `bytes(encoded)`, `features(images)`."""
        return signatures.of_images(model, info)
