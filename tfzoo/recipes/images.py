"""Common parts of recipes on labelled images: data, counts, evaluation."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import tensorflow as tf

from tfzoo import data
from tfzoo.data.images import transforms
from tfzoo.errors import InputError
from tfzoo.recipe import Recipe
from tfzoo.training.config import RunConfig
from tfzoo.typing import Tensor

C = TypeVar("C", bound=RunConfig)

_PUBLIC = {
    "tfzoo_digits": 1197,
    "mnist": 60_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "imagenet_resized/32x32": 1_281_167,
    "imagenet_resized/64x64": 1_281_167,
    "imagenet2012": 1_281_167,
}
"""Number of training examples of data that a dry run does not prepare."""

LARGE = 200_000
"""With more training images than this, statistics that the config already gives are not
computed."""


class ImageClassification(Recipe[C, data.Datasets]):
    """Image classification; a method defines `build` and `augmented`.

    The config has `data`, `batch_size`, `seed`, `steps_per_epoch`; models map raw pixels to logits;
    labels are one-hot.
    """

    own_data = {"tfzoo_image_folder": (), "tfzoo_arrays": ()}

    def image_size(self, config: Any, info: data.Info) -> int:
        """Side of the model's images: the data's, unless a method overrides it.

        Raises:
            InputError: the data's images are not square or not all of one size.
        """
        height, width, _ = info.shape
        if height is None or height != width:
            raise InputError(
                f"data.name={config.data.name!r}: images {height}x{width}, must be square, "
                "of one size"
            )
        return height

    def augmented(
        self, image: tf.Tensor, seed: tf.Tensor, config: Any, info: data.Info
    ) -> tf.Tensor:
        """A training image, float32 [size, size, C] of raw pixels, from an image of any size."""
        raise NotImplementedError

    def stream_options(self, config: Any) -> dict[str, Any]:
        """Further arguments for `tfzoo.data.image_stream`."""
        return {}

    def data_info(self, config: Any) -> data.Info:
        """Classes, channels and steps of a known data set, or of the user's prepared one."""
        return image_info(config)

    def datasets(self, config: Any) -> data.Datasets:
        """Images resized (and augmented for training), labels one-hot."""
        builder = data.builder(config.data)
        info = builder_info(builder, config)
        classes, size = info.num_classes, self.image_size(config, info)

        def prepare(example: dict[str, Tensor], seed: tf.Tensor) -> tuple[Tensor, Tensor]:
            image = self.augmented(example["image"], seed, config, info)
            return image, tf.one_hot(example["label"], classes)

        def plain(example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            return transforms.to_size(example["image"], size), tf.one_hot(example["label"], classes)

        options = self.stream_options(config)
        return image_datasets(builder, config, info, prepare, plain, **options)

    def evaluate(self, model: keras.Model, datasets: data.Datasets, config: C) -> dict[str, float]:
        """Accuracy, cross-entropy and number of test images."""
        accuracy = keras.metrics.CategoricalAccuracy()
        loss, count = keras.metrics.CategoricalCrossentropy(from_logits=True), 0
        x, _ = datasets.test.element_spec
        predict = tf.function(
            lambda x: model(x, training=False), input_signature=[x], autograph=False
        )
        for x, labels in datasets.test:
            logits = predict(x)
            accuracy.update_state(labels, logits)
            loss.update_state(labels, logits)
            count += len(x)
        return {"accuracy": float(accuracy.result()), "loss": float(loss.result()), "count": count}


def image_datasets(
    builder: Any, config: Any, info: data.Info, prepare: Any, plain: Any, **options: Any
) -> data.Datasets:
    """Training stream and evaluation batches of a builder's three splits.

    Args:
        builder: a TFDS builder.
        config: the recipe's config.
        info: from `builder_info`.
        prepare: `(example, seed) -> element` for training.
        plain: `example -> element` for evaluation.
        **options: for `tfzoo.data.image_stream`.
    """
    train, *others = data.three_splits(builder)
    stream = data.image_stream(
        builder,
        train,
        map_fn=prepare,
        batch_size=config.batch_size,
        seed=config.seed,
        steps_per_epoch=info.steps_per_epoch,
        **options,
    )
    validation, test = (
        data.eval_batches(data.split(builder, s), batch_size=config.batch_size, map_fn=plain)
        for s in others
    )
    return data.Datasets(stream, validation, test, info)


def image_info(config: Any) -> data.Info:
    """Properties of labelled images; known public data need not be prepared."""
    count = _PUBLIC.get(config.data.name)
    if count is None:
        return builder_info(data.builder(config.data), config)
    builder = data.unprepared(config.data)
    return _info(builder, count, config, guesses=("low", "high", "mean", "std"))


def builder_info(builder: Any, config: Any) -> data.Info:
    """Properties of a prepared builder's labelled images.

    Raises:
        InputError: its examples are not labelled images.
    """
    train = data.three_splits(builder)[0]
    _check_features(builder, config)
    count, told = builder.info.splits[train].num_examples, _told_scale(config)
    if told and count > LARGE:
        dtype = tf.as_dtype(builder.info.features["image"].np_dtype)
        return _info(builder, count, config, low=float(dtype.min), high=float(dtype.max))
    return _info(builder, count, config, **data.statistics(builder, train))


def _told_scale(config: Any) -> bool:
    """Whether the config gives the scaling of pixels, or does not scale them."""
    return getattr(config.model, "pixel_mean", 0.0) is not None


def _check_features(builder: Any, config: Any) -> None:
    features = builder.info.features
    if "image" not in features or "label" not in features:
        raise InputError(
            f"data.name={config.data.name!r}: must have image and label, has {', '.join(features)}"
        )
    shape = features["image"].shape
    if len(shape) != 3 or shape[-1] is None:
        raise InputError(f"data.name={config.data.name!r}: images {shape}, must be [H, W, C]")


def _info(builder: Any, examples: int, config: Any, **known: Any) -> data.Info:
    features = builder.info.features
    return data.Info(
        data.epoch_steps(examples, config.batch_size, config.steps_per_epoch),
        examples=examples,
        version=builder.info.full_name,
        dtype=tf.as_dtype(features["image"].np_dtype).name,
        classes=tuple(features["label"].names),
        **{"shape": tuple(features["image"].shape), **known},
    )
