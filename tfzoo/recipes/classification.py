"""Labelled examples, images or tables, to classes, judged by a black-box metric."""

from __future__ import annotations

from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data.images import augment, transforms
from tfzoo.data.tables.imbalance import cut
from tfzoo.errors import InputError
from tfzoo.metrics.held_out import answers
from tfzoo.recipe import Recipe
from tfzoo.recipes import networks
from tfzoo.recipes.config import ClassificationConfig
from tfzoo.recipes.image_signatures import class_answer, classifier
from tfzoo.recipes.images import image_info
from tfzoo.serving import Signature

C = TypeVar("C", bound=ClassificationConfig)


class Classification(Recipe[C]):
    """Examples of one feature, held in memory, to classes.

    A method's recipe adds `build`, around `network`, and `train`.
    """

    config_class = ClassificationConfig
    feature: str

    def prepared(self, x: tf.Tensor) -> tf.Tensor:
        """An example as the model takes it."""
        return tf.cast(x, tf.float32)

    def augmented(self, x: tf.Tensor, seed: tf.Tensor, config: C) -> tf.Tensor:
        """A training example."""
        return self.prepared(x)

    def datasets(self, config: C) -> data.Datasets:
        """Training rows, some classes cut, and whole validation and test splits."""
        found = data.builder(config.data)
        train, *others = _splits(found)
        held = _in_memory(found, train, self.feature)
        rows = cut(held["label"], config.rare.classes, config.rare.examples, config.seed)
        x, y = (tf.constant(held[name][rows]) for name in (self.feature, "label"))
        classes = found.info.features["label"].num_classes

        def example(index: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
            return x[index], y[index]

        def prepare(pair: tuple[Any, Any], seed: tf.Tensor) -> tuple[Any, Any]:
            return self.augmented(pair[0], seed, config), tf.one_hot(pair[1], classes)

        def plain(example: dict[str, Any]) -> tuple[Any, Any]:
            return self.prepared(example[self.feature]), tf.one_hot(example["label"], classes)

        stream = data.train_stream(
            example,
            count=len(rows),
            batch_size=config.batch_size,
            seed=config.seed,
            map_fn=prepare,
            steps_per_epoch=config.steps_per_epoch,
        )
        validation, test = (
            data.eval_batches(data.split(found, s), batch_size=config.batch_size, map_fn=plain)
            for s in others
        )
        steps = stream.steps_per_epoch
        mean, std = held[self.feature][rows].mean(0), held[self.feature][rows].std(0)
        info = {"steps_per_epoch": steps, "num_classes": classes, "mean": mean, "std": std}
        info |= {"shape": tuple(x.shape[1:]), "metric": config.metric.make()}
        return data.Datasets(stream, validation, test, info)

    def network(self, config: C, info: dict[str, Any]) -> keras.Model:
        """A plain Keras model to logits, not compiled."""
        raise NotImplementedError

    def evaluate(self, model: keras.Model, datasets: data.Datasets) -> dict[str, float]:
        """The metric, accuracy and number of examples on the test split."""
        labels, logits = answers(model, datasets.test)
        labels, metric = labels.argmax(-1), datasets.info["metric"]
        accuracy = float(np.mean(logits.argmax(-1) == labels))
        found = {metric.name: metric(labels, logits), "accuracy": accuracy}
        return found | {"count": len(labels)}


class Images(Classification[C]):
    """Small labelled images."""

    feature = "image"

    def augmented(self, x: tf.Tensor, seed: tf.Tensor, config: C) -> tf.Tensor:
        """Flipped and cropped, or as it is."""
        if config.augment == "none":
            return self.prepared(x)
        crop, mirror = tf.unstack(tf.random.split(seed, 2))
        x = self.prepared(x)
        return augment.flip(transforms.padded_crop(x, crop, max(1, x.shape[0] // 8)), mirror)

    def data_info(self, config: C) -> dict[str, Any]:
        """Shape and classes; an epoch's length is that of the uncut data."""
        found = image_info(config)
        return found | {"shape": found["image_shape"]}

    def network(self, config: C, info: dict[str, Any]) -> keras.Model:
        """A plain Keras model from raw pixels to logits."""
        shape, settings = info["shape"], config.model
        if None in shape or shape[0] != shape[1]:
            raise InputError(
                f"data.name={config.data.name!r}: images {list(shape)}, must be square, of one size"
            )
        scale = (settings.pixel_mean, settings.pixel_std)
        if settings.kind == "mlp":
            return networks.mlp(shape, info["num_classes"], settings.hidden, *scale)
        size = (settings.depth, settings.width)
        return networks.resnet(shape, info["num_classes"], *size, *scale)

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`."""
        _, size, _, channels = model.input_shape
        return classifier(model, size, channels)


class Table(Classification[C]):
    """Rows of numbers."""

    feature = "features"

    def data_info(self, config: C) -> dict[str, Any]:
        """Shape and classes: by `model.inputs`, of two classes, where no file is given."""
        if config.model.inputs and config.data.name == "tfzoo_table" and config.data.path is None:
            return _table_info(config.model.inputs, 2, 1)
        found = data.builder(config.data)
        if "features" not in found.info.features:
            raise InputError(f"data.name={config.data.name!r}: must have features and label")
        (width,) = found.info.features["features"].shape
        count = found.info.splits["train"].num_examples
        steps = min(max(count // config.batch_size, 1), config.steps_per_epoch or count)
        classes = found.info.features["label"].num_classes
        return _table_info(width, classes, steps)

    def network(self, config: C, info: dict[str, Any]) -> keras.Model:
        """A plain Keras model from features to logits."""
        if config.model.kind != "mlp":
            raise InputError(f"model.kind={config.model.kind!r}: must be mlp for a table")
        (width,) = info["shape"]
        if config.model.inputs not in (None, width):
            raise InputError(f"model.inputs={config.model.inputs}: must be the data's {width}")
        std = np.maximum(info["std"], 1e-9)
        hidden = config.model.hidden
        return networks.mlp(info["shape"], info["num_classes"], hidden, info["mean"], std)

    def signatures(self, model: keras.Model) -> dict[str, Signature]:
        """`serving_default(features)` to probabilities and classes."""
        width = model.input_shape[-1]
        norm = next(la for la in model.layers if isinstance(la, keras.layers.Normalization))
        rng = np.random.default_rng(0)
        mean, std = np.array(norm.mean).reshape(-1), np.array(norm.variance).reshape(-1) ** 0.5
        examples = (mean + std * rng.normal(size=(4, width))).astype("float32")
        return {
            "serving_default": Signature(
                lambda features: class_answer(model(features, training=False)),
                {"features": tf.TensorSpec([None, width], tf.float32)},
                {"features": examples},
                description="rows of features to class probabilities and the likeliest class",
            )
        }


def _table_info(width: int, classes: int, steps: int) -> dict[str, Any]:
    plain = {"mean": np.zeros(width), "std": np.ones(width)}
    return plain | {"steps_per_epoch": steps, "num_classes": classes, "shape": (width,)}


def _splits(found: Any) -> tuple[str, str, str]:
    """Train, validation and test; a tenth of the training split where there is no validation."""
    if "validation" in found.info.splits:
        return data.three_splits(found)
    return "train[:90%]", "train[90%:]", "test"


def _in_memory(found: Any, split: str, feature: str) -> dict[str, np.ndarray]:
    """A whole split.

    Raises:
        InputError: it lacks the features, or its examples are not of one shape.
    """
    features = found.info.features
    if feature not in features or "label" not in features:
        raise InputError(
            f"data.name={found.name!r}: must have {feature} and label, has {', '.join(features)}"
        )
    if None in features[feature].shape:
        raise InputError(f"data.name={found.name!r}: {feature} must be of one shape")
    whole = data.split(found, split).batch(2**31 - 1).get_single_element()
    return {name: whole[name].numpy() for name in (feature, "label")}
