"""Collegial Ensembles' tasks: ResNeXt and fully connected ensembles on labelled images."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import tensorflow as tf

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


class _Images(ImageClassification):
    def augmented(self, image: tf.Tensor, seed: tf.Tensor, config: ImageConfig) -> tf.Tensor:
        """By `augment`."""
        return augmented(image, seed, config.augment, self.image_size(config))


def _compile(model: keras.Model, optimizer: Any, config: ImageConfig) -> keras.Model:
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=config.jit_compile,
    )
    return model


@task("collegial.resnext")
class ResNeXtClassification(_Images):
    """Ensembles within the blocks of a ResNeXt."""

    config_class = ResNeXtTaskConfig

    def image_size(self, config: ResNeXtTaskConfig) -> int:
        """`model.image_size`."""
        return config.model.image_size

    def build(self, config: ResNeXtTaskConfig, info: dict[str, Any]) -> keras.Model:
        """A `CollegialResNeXt`, compiled with momentum SGD."""
        settings = asdict(config.model)
        for name in ("pixel_mean", "pixel_std"):
            values = settings[name]
            settings[name] = values[0] if len(values) == 1 else values
        model = CollegialResNeXt(info["num_classes"], channels=info["image_shape"][-1], **settings)
        optimizer = make_momentum_sgd(config.optimizer, info["steps_per_epoch"])
        return _compile(model, optimizer, config)

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`; members are not final here."""
        return classifier(model, model.image_size, model.channels)


@task("collegial.mlp")
class MLPClassification(_Images):
    """A fully connected ensemble whose members reach up to the output."""

    config_class = MLPTaskConfig

    def build(self, config: MLPTaskConfig, info: dict[str, Any]) -> keras.Model:
        """A `CollegialMLP`, compiled with AdamW."""
        self.image_size(config)
        settings = asdict(config.model)
        model = CollegialMLP(info["image_shape"], info["num_classes"], **settings)
        steps = config.epochs * info["steps_per_epoch"]
        return _compile(model, make_adamw(config.optimizer, steps), config)

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """`serving_default`, `bytes` with the members' disagreement; `members(images)`."""
        size, _, channels = model.example_shape

        def answer(images: Any) -> dict[str, Any]:
            members = model.member_logits(images)
            found = class_answer(keras.ops.mean(members, 1))
            return {**found, "disagreement": predictive.disagreement(members)}

        says = "class probabilities, the likeliest class, and the members' disagreement in nats"
        found = image_signatures(answer, size, channels, says)
        default = found["serving_default"]
        found["members"] = Signature(
            lambda images: {
                "probabilities": predictive.member_probabilities(model.member_logits(images))
            },
            default.inputs,
            default.examples,
            description="raw pixels to each member's class probabilities [B, members, classes]",
        )
        return found
