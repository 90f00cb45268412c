"""Collegial Ensembles' tasks: ResNeXt and fully connected ensembles on labelled images."""

from __future__ import annotations

from dataclasses import asdict
from typing import TypeVar

import keras
import tensorflow as tf

from tfzoo import data
from tfzoo.collegial import predictive
from tfzoo.collegial.config import ImageConfig, MLPTaskConfig, ResNeXtTaskConfig
from tfzoo.collegial.mlp import CollegialMLP
from tfzoo.collegial.resnext import CollegialResNeXt
from tfzoo.data.images import augment, transforms
from tfzoo.optim import make_adamw, make_momentum_sgd
from tfzoo.recipes.image_signatures import class_answer, classifier, image_signatures
from tfzoo.recipes.images import ImageClassification
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

Config = TypeVar("Config", bound=ImageConfig)


def augmented(image: tf.Tensor, seed: tf.Tensor, kind: str, size: int) -> tf.Tensor:
    """A training image, float32 [size, size, C] of raw pixels."""
    if kind == "inception":
        crop, jitter, mirror = tf.unstack(tf.random.split(seed, 3))
        image = tf.cast(augment.random_resized_crop(image, crop, size), tf.float32)
        return augment.flip(transforms.color_jitter(image, jitter, 0.4), mirror)
    image = transforms.to_size(image, size)
    if kind == "flip_crop":
        crop, mirror = tf.unstack(tf.random.split(seed, 2))
        return augment.flip(transforms.padded_crop(image, crop, max(1, size // 8)), mirror)
    return transforms.shift(image, seed, max(1, size // 8)) if kind == "shift" else image


class _Images(ImageClassification[Config]):
    def augmented(
        self, image: tf.Tensor, seed: tf.Tensor, config: ImageConfig, info: data.Info
    ) -> tf.Tensor:
        """A training image, augmented according to the key `augment`."""
        return augmented(image, seed, config.augment, self.image_size(config, info))


def _compile(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, config: ImageConfig
) -> keras.Model:
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit_compile,
    )
    return model


@task("collegial.resnext")
class ResNeXtClassification(_Images[ResNeXtTaskConfig]):
    """Ensembles inside the blocks of a ResNeXt."""

    config_class = ResNeXtTaskConfig
    own_data = dict.fromkeys(ImageClassification.own_data, ("model.image_size",))

    def image_size(self, config: ResNeXtTaskConfig, info: data.Info) -> int:
        """`model.image_size`."""
        return config.model.image_size

    def build(self, config: ResNeXtTaskConfig, info: data.Info) -> keras.Model:
        """A `CollegialResNeXt`, compiled with momentum SGD."""
        settings = asdict(config.model) | info.by_channel(config.model)
        model = CollegialResNeXt(info.num_classes, channels=info.channels, **settings)
        optimizer = make_momentum_sgd(config.optimizer, info.steps_per_epoch)
        return _compile(model, optimizer, config)

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`; members do not reach the output here."""
        return classifier(model, model.image_size, model.channels, info)


@task("collegial.mlp")
class MLPClassification(_Images[MLPTaskConfig]):
    """A fully connected ensemble whose members extend to the output."""

    config_class = MLPTaskConfig

    def build(self, config: MLPTaskConfig, info: data.Info) -> keras.Model:
        """A `CollegialMLP`, compiled with AdamW."""
        self.image_size(config, info)
        settings = asdict(config.model) | info.over_all(config.model)
        model = CollegialMLP(info.sizes, info.num_classes, **settings)
        steps = config.epochs * info.steps_per_epoch
        return _compile(model, make_adamw(config.optimizer, steps), config)

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default`, `bytes` with the members' disagreement; `members(images)`."""
        size, _, channels = model.example_shape

        def answer(images: Tensor) -> dict[str, Tensor]:
            members = model.member_logits(images)
            outputs = class_answer(keras.ops.mean(members, 1))
            return {**outputs, "disagreement": predictive.disagreement(members)}

        says = "class probabilities, the most likely class, and the members' disagreement in nats"
        outputs = image_signatures(answer, size, channels, says, info)
        default = outputs["serving_default"]
        outputs["members"] = Signature(
            lambda images: {
                "probabilities": predictive.member_probabilities(model.member_logits(images))
            },
            default.inputs,
            default.examples,
            description="raw pixels to each member's class probabilities [B, members, classes]",
            ranges=default.ranges,
        )
        return outputs
