"""Classification of images or tables, evaluated by a black-box metric."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data import memory
from tfzoo.data.images import augment, transforms
from tfzoo.data.tables.imbalance import cut, long_tail
from tfzoo.errors import InputError
from tfzoo.metrics.black_box import MetricError
from tfzoo.metrics.held_out import answers
from tfzoo.recipe import Recipe
from tfzoo.recipes import networks
from tfzoo.recipes.config import ClassificationConfig
from tfzoo.recipes.image_signatures import class_answer, classifier
from tfzoo.recipes.images import image_info
from tfzoo.serving import Signature
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

C = TypeVar("C", bound=ClassificationConfig)

NORM = 16.0
"""Mean squared norm of the images that an `mlp` sees, unless `pixel_std` is given: about that of
the 8x8 digits. A gradient step changes the first layer's outputs in proportion to it: without the
limit, learning rates would depend on the number of pixels."""


class Classification(Recipe[C, data.Datasets]):
    """Classifies examples of one feature, held in memory.

    A method's recipe adds `build`, around `network`, and `train`.
    """

    config_class = ClassificationConfig
    feature: str

    def prepared(self, x: tf.Tensor) -> tf.Tensor:
        """Converts an example to a model input."""
        return tf.cast(x, tf.float32)

    def augmented(self, x: tf.Tensor, seed: tf.Tensor, config: C) -> tf.Tensor:
        """An augmented training example."""
        return self.prepared(x)

    def datasets(self, config: C) -> data.Datasets:
        """Training rows, with some classes reduced, and whole validation and test splits."""
        builder = data.builder(config.data)
        train, *others = _splits(builder)
        held = _in_memory(builder, train, self.feature)
        if config.rare.ratio > 1:
            rows = long_tail(held["label"], config.rare.ratio, config.seed)
        else:
            rows = cut(held["label"], config.rare.classes, config.rare.examples, config.seed)
        if len(rows) < len(held["label"]):
            held = {name: array[rows] for name, array in held.items()}
        values = held[self.feature]
        x, y = memory.tensor(values), memory.tensor(held["label"])
        classes, shape = builder.info.features["label"].num_classes, x.shape[1:]

        def example(index: tf.Tensor, epoch: tf.Tensor) -> tuple[Tensor, Tensor]:
            return x[index], y[index]

        def prepare(pair: tuple[Tensor, Tensor], seed: tf.Tensor) -> tuple[Tensor, Tensor]:
            return self.augmented(pair[0], seed, config), tf.one_hot(pair[1], classes)

        def plain(example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            x = tf.ensure_shape(example[self.feature], shape)
            return self.prepared(x), tf.one_hot(example["label"], classes)

        stream = data.train_stream(
            example,
            count=len(rows),
            batch_size=config.batch_size,
            seed=config.seed,
            map_fn=prepare,
            steps_per_epoch=config.steps_per_epoch,
        )
        validation, test = (
            data.eval_batches(data.split(builder, s), batch_size=config.batch_size, map_fn=plain)
            for s in others
        )
        for name in others:
            check_metric(config, _labels(builder, name, self.feature, shape), classes, name)
        info = data.Info(
            stream.steps_per_epoch,
            examples=len(rows),
            version=builder.info.full_name,
            shape=values.shape[1:],
            dtype=values.dtype.name,
            classes=tuple(builder.info.features["label"].names),
            **data.moments(values),
        )
        return data.Datasets(stream, validation, test, info)

    def network(self, config: C, info: data.Info) -> keras.Model:
        """A plain Keras model with logits as outputs, not compiled."""
        raise NotImplementedError

    def add_accuracy(self, model: keras.Model, run: Run[C]) -> None:
        """Recompiles a trained model, so that its `evaluate` also returns the accuracy."""
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        with run.scope():
            model.compile(
                model.optimizer, model.loss, metrics=[accuracy], jit_compile=model.jit_compile
            )

    def evaluate(self, model: keras.Model, datasets: data.Datasets, config: C) -> dict[str, float]:
        """Metric, accuracy and number of examples on the test split."""
        labels, logits = answers(model, datasets.test)
        labels, metric = labels.argmax(-1), config.metric.make()
        accuracy = float(np.mean(logits.argmax(-1) == labels))
        value = {str(metric.name): metric(labels, logits)}
        return value | {"accuracy": accuracy, "count": len(labels)}


class Images(Classification[C]):
    """Classifies small labelled images."""

    feature = "image"
    own_data = {"tfzoo_image_folder": (), "tfzoo_arrays": ()}

    def augmented(self, x: tf.Tensor, seed: tf.Tensor, config: C) -> tf.Tensor:
        """Flipped and cropped, or unchanged."""
        if config.augment == "none":
            return self.prepared(x)
        crop, mirror = tf.unstack(tf.random.split(seed, 2))
        x = self.prepared(x)
        return augment.flip(transforms.padded_crop(x, crop, max(1, x.shape[0] // 8)), mirror)

    def data_info(self, config: C) -> data.Info:
        """Shape and classes; an epoch's length is that of the full data."""
        return image_info(config)

    def network(self, config: C, info: data.Info) -> keras.Model:
        """A plain Keras model from raw pixels to logits."""
        settings = config.model
        if None in info.shape or info.shape[0] != info.shape[1]:
            raise InputError(
                f"data.name={config.data.name!r}: images {list(info.shape)}, must be square and of "
                "one size"
            )
        shape = info.sizes
        scale = tuple(info.by_channel(settings).values())
        if settings.kind == "mlp":
            if settings.pixel_std is None:
                scale = scale[0], np.multiply(scale[1], max(1.0, (math.prod(shape) / NORM) ** 0.5))
            return networks.mlp(shape, info.num_classes, settings.hidden, *scale)
        size = (settings.depth, settings.width)
        return networks.resnet(shape, info.num_classes, *size, *scale)

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`."""
        _, size, _, channels = model.input_shape
        return classifier(model, size, channels, info)


_GUESSED = ("steps_per_epoch", "examples", "mean", "std", "classes")
"""What is unknown if no table is given."""


class Table(Classification[C]):
    """Classifies rows of numbers."""

    feature = "features"
    own_data = {"tfzoo_table": ("model.inputs",)}

    def data_info(self, config: C) -> data.Info:
        """Shape and classes; without a file, `model.inputs` features and two classes."""
        if config.model.inputs and config.data.name == "tfzoo_table" and config.data.path is None:
            return data.Info(1, shape=(config.model.inputs,), classes=("0", "1"), guesses=_GUESSED)
        builder = data.builder(config.data)
        if "features" not in builder.info.features:
            raise InputError(f"data.name={config.data.name!r}: must have features and label")
        count = builder.info.splits["train"].num_examples
        return data.Info(
            data.epoch_steps(count, config.batch_size, config.steps_per_epoch),
            examples=count,
            version=builder.info.full_name,
            shape=builder.info.features["features"].shape,
            classes=tuple(builder.info.features["label"].names),
            guesses=("mean", "std"),
        )

    def network(self, config: C, info: data.Info) -> keras.Model:
        """A plain Keras model from features to logits."""
        if config.model.kind != "mlp":
            raise InputError(f"model.kind={config.model.kind!r}: must be mlp for a table")
        (width,) = info.sizes
        if config.model.inputs not in (None, width):
            raise InputError(f"model.inputs={config.model.inputs}: must be the data's {width}")
        mean = np.zeros(width) if info.mean is None else np.asarray(info.mean)
        std = np.ones(width) if info.std is None else np.maximum(info.std, 1e-9)
        return networks.mlp((width,), info.num_classes, config.model.hidden, mean, std)

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
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
                description="rows of features to class probabilities and the most likely class",
            )
        }


def check_metric(
    config: ClassificationConfig, labels: np.ndarray, classes: int, split: str
) -> None:
    """Evaluates the metric on a split's labels before training, with random predictions.

    Raises:
        InputError: the metric is not defined for this number of classes, or for these labels.
    """
    logits = np.random.default_rng(0).normal(size=(len(labels), classes)).astype("float32")
    try:
        config.metric.make()(labels, logits)
    except MetricError as error:
        raise InputError(
            f"metric.name={config.metric.name!r}: not defined on {split!r}, {len(labels)} examples "
            f"of {classes} classes: {error}"
        ) from None


def _splits(builder: Any) -> tuple[str, str, str]:
    """Train, validation and test; a tenth of the first replaces a missing validation split."""
    if "validation" in builder.info.splits:
        return data.three_splits(builder)
    return "train[:90%]", "train[90%:]", "test"


def _in_memory(builder: Any, split: str, feature: str) -> dict[str, np.ndarray]:
    """A whole split.

    Raises:
        InputError: it lacks the features, or its examples differ in shape.
    """
    features = builder.info.features
    if feature not in features or "label" not in features:
        raise InputError(
            f"data.name={builder.name!r}: must have {feature} and label, has {', '.join(features)}"
        )
    examples = data.split(builder, split).map(lambda x: {n: x[n] for n in (feature, "label")})
    try:
        return memory.arrays(examples)
    except InputError:
        raise
    except ValueError:
        raise InputError(f"data.name={builder.name!r}: {feature} must all have one shape") from None


def _labels(builder: Any, split: str, feature: str, shape: tf.TensorShape) -> np.ndarray:
    """Labels of a split whose examples have the shape of the training split's.

    Raises:
        InputError: they have another shape.
    """
    pairs = data.split(builder, split).map(lambda x: (x["label"], tf.shape(x[feature])))
    labels, shapes = zip(*pairs.as_numpy_iterator(), strict=True)
    for other in shapes:
        if other.tolist() != shape.as_list():
            raise InputError(
                f"data.name={builder.name!r}: {feature} of {split!r} has shape {other.tolist()}, "
                f"must be {shape.as_list()}, that of the training split"
            )
    return np.array(labels)
