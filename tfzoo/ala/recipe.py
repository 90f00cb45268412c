"""ALA's tasks on labelled images."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfzoo import data
from tfzoo.ala import training
from tfzoo.ala.config import AlignedClassificationConfig, AttributeConfig
from tfzoo.data import augment, images
from tfzoo.errors import InputError
from tfzoo.metric_recipes.classification import Images
from tfzoo.recipe import Recipe
from tfzoo.registry import task
from tfzoo.runner import Run

_CELEB_A = 162_770
"""Training images of `celeb_a`."""


class _Aligned(Recipe):
    """A plain Keras model whose loss is moved while it trains."""

    def build(self, config: AlignedClassificationConfig, info: dict[str, Any]) -> keras.Model:
        """The network, compiled with its parametric loss."""
        loss = config.ala.make_loss(info["num_classes"])
        return training.compiled(self.network(config, info), loss, config, info)

    def train(self, model: keras.Model, datasets: data.Datasets, run: Run) -> None:
        """One model with the callback, or several children."""
        training.train(model, datasets, run, datasets.info["metric"])


@task("ala.images")
class AlignedImages(_Aligned, Images):
    """Small labelled images, held in memory."""

    config_class = AlignedClassificationConfig


@task("ala.attribute")
class AlignedAttribute(_Aligned, Images):
    """Whether an image has an attribute (`celeb_a`), read from the disk."""

    config_class = AttributeConfig

    def data_info(self, config: AttributeConfig) -> dict[str, Any]:
        """Two classes; an epoch is that of `celeb_a` where it is not known otherwise."""
        steps = max(_CELEB_A // config.batch_size, 1)
        return self._info(config, min(steps, config.steps_per_epoch or steps))

    def datasets(self, config: AttributeConfig) -> data.Datasets:
        """Images brought to one size, with one-hot labels."""
        found = data.builder(config.data)
        features = found.info.features
        known = list(features["attributes"]) if "attributes" in features else []
        if config.attribute not in known:
            raise InputError(
                f"attribute={config.attribute!r}: must be one of {', '.join(known) or '(none)'}, "
                f"the attributes of {config.data.name!r}"
            )

        def plain(example: dict[str, Any]) -> tuple[Any, Any]:
            image = tf.cast(images.to_size(example["image"], config.image_size), tf.float32)
            return image, tf.one_hot(tf.cast(example["attributes"][config.attribute], tf.int32), 2)

        def prepare(example: dict[str, Any], seed: tf.Tensor) -> tuple[Any, Any]:
            image, label = plain(example)
            return (augment.flip(image, seed) if config.augment != "none" else image), label

        stream = data.image_stream(
            found,
            "train",
            map_fn=prepare,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        held = [
            data.eval_batches(data.split(found, s), batch_size=config.batch_size, map_fn=plain)
            for s in ("validation", "test")
        ]
        return data.Datasets(stream, *held, self._info(config, stream.steps_per_epoch))

    def _info(self, config: AttributeConfig, steps: int) -> dict[str, Any]:
        size = config.image_size
        found = {"steps_per_epoch": steps, "num_classes": 2, "shape": (size, size, 3)}
        return found | {"metric": config.metric.make()}
