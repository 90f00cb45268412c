"""ALA's tasks: labelled images, attributes, retrieval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.ala import training
from tfzoo.ala.config import AlignedClassificationConfig, AlignedRetrievalConfig, AttributeConfig
from tfzoo.ala.controller import LossController
from tfzoo.data import memory
from tfzoo.data.images import augment, transforms
from tfzoo.errors import InputError
from tfzoo.recipes import networks
from tfzoo.recipes.classification import Classification, Images
from tfzoo.recipes.retrieval import Retrieval, training_view
from tfzoo.registry import task
from tfzoo.training.run import Run
from tfzoo.typing import Tensor

_CELEB_A = 162_770
"""Training images of `celeb_a`."""

C = TypeVar("C", bound=AlignedClassificationConfig)


class _Aligned(Classification[C]):
    """A plain Keras model whose loss is adapted in training."""

    def one_device(self, config: C) -> str:
        """Why several children cannot be distributed."""
        return training.one_device(config)

    def build(self, config: C, info: data.Info) -> keras.Model:
        """The network, compiled with its parametric loss."""
        loss = config.ala.make_loss(info.num_classes)
        return training.compiled(self.network(config, info), loss, config, info)

    def train(self, model: keras.Model, datasets: data.Datasets, run: Run[C]) -> dict[str, float]:
        """One model with the callback, or several children."""
        training.train(model, datasets, run, run.config.metric.make())
        self.add_accuracy(model, run)
        return {}

    def evaluate(self, model: keras.Model, datasets: data.Datasets, config: C) -> dict[str, float]:
        """As for any classifier.

        Raises:
            InputError: the model is a controller, e.g. `ala/controller`.
        """
        if isinstance(model, LossController):
            raise InputError(
                "model=LossController: must be a classifier; a controller is for "
                "tfzoo.ala.AdaptiveLossAlignment"
            )
        return super().evaluate(model, datasets, config)


@task("ala.images")
class AlignedImages(_Aligned[AlignedClassificationConfig], Images[AlignedClassificationConfig]):
    """Small labelled images, held in memory."""

    config_class = AlignedClassificationConfig


@task("ala.attribute")
class AlignedAttribute(_Aligned[AttributeConfig], Images[AttributeConfig]):
    """Whether an image has an attribute (`celeb_a`), reading images from disk."""

    config_class = AttributeConfig
    own_data = {}

    def data_info(self, config: AttributeConfig) -> data.Info:
        """Two classes; an epoch is that of `celeb_a` unless known otherwise."""
        guesses = ("steps_per_epoch", "examples", "mean", "std")
        return _attribute_info(config, _CELEB_A, guesses=guesses)

    def datasets(self, config: AttributeConfig) -> data.Datasets:
        """Images resized to one size, with one-hot labels."""
        builder = data.builder(config.data)
        features = builder.info.features
        known = list(features["attributes"]) if "attributes" in features else []
        if config.attribute not in known:
            raise InputError(
                f"attribute={config.attribute!r}: must be one of {', '.join(known) or '(none)'}, "
                f"the attributes of {config.data.name!r}"
            )

        def plain(example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            image = tf.cast(transforms.to_size(example["image"], config.image_size), tf.float32)
            return image, tf.one_hot(tf.cast(example["attributes"][config.attribute], tf.int32), 2)

        def prepare(example: dict[str, Tensor], seed: tf.Tensor) -> tuple[Tensor, Tensor]:
            image, label = plain(example)
            return (augment.flip(image, seed) if config.augment != "none" else image), label

        stream = data.image_stream(
            builder,
            "train",
            map_fn=prepare,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        validation, test = (
            data.eval_batches(data.split(builder, s), batch_size=config.batch_size, map_fn=plain)
            for s in ("validation", "test")
        )
        count = builder.info.splits["train"].num_examples
        measured: dict[str, Any] = {"low": 0.0, "high": 255.0}
        if None in (config.model.pixel_mean, config.model.pixel_std):
            measured = data.statistics(builder, "train")
        info = _attribute_info(config, count, version=builder.info.full_name, **measured)
        return data.Datasets(stream, validation, test, info)


def _attribute_info(config: AttributeConfig, count: int, **known: Any) -> data.Info:
    size = config.image_size
    return data.Info(
        data.epoch_steps(count, config.batch_size, config.steps_per_epoch),
        examples=count,
        shape=(size, size, 3),
        dtype="uint8",
        classes=(f"not {config.attribute}", config.attribute),
        **known,
    )


@task("ala.retrieval")
class AlignedRetrieval(Retrieval[AlignedRetrievalConfig]):
    """Image embeddings, trained on pairs or triplets from batches with several images per class."""

    config_class = AlignedRetrievalConfig

    def one_device(self, config: AlignedRetrievalConfig) -> str:
        """The reason, which applies to every config."""
        return "since the loss pairs all images of a batch, which devices would split"

    def stream(
        self,
        config: AlignedRetrievalConfig,
        encoded: tf.data.Dataset,
        count: int,
        stored: float,
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> data.TrainStream:
        """Batches of `per_class` images from each of several classes; files are held in memory."""
        whole = encoded.map(lambda x: (x["image"], x[config.label]))
        files, labels = memory.arrays(whole, count)
        by_class = [r for r in _by_class(labels) if len(r) >= config.per_class]
        classes = config.batch_size // config.per_class
        if len(by_class) < classes:
            raise InputError(
                f"batch_size={config.batch_size}: needs {classes} classes of {config.per_class} "
                f"images or more, the training split has {len(by_class)}"
            )
        rows = tf.ragged.constant([r.tolist() for r in by_class], tf.int64)
        lengths = rows.row_lengths()
        steps = data.epoch_steps(count, config.batch_size, config.steps_per_epoch)
        size = config.model.image_size

        def batch(step: tf.Tensor) -> tuple[Tensor, Tensor]:
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
            # as Python bytes the files are in memory once; a tensor would be a copy
            read = tf.numpy_function(lambda rows: files[rows], [chosen], tf.string, stateful=False)

            def view(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
                return training_view(decode(pair[0]), pair[1], size)

            shape = tf.TensorSpec([size, size, config.model.channels], tf.float32)
            pairs = (
                tf.ensure_shape(read, [config.batch_size]),
                tf.random.split(views, config.batch_size),
            )
            return tf.map_fn(view, pairs, fn_output_signature=shape), tf.gather(labels, chosen)

        def make(step: int) -> tf.data.Dataset:
            numbers = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            options = tf.data.Options()
            options.deterministic = True
            batches = numbers.map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
            return batches.apply(endless).with_options(options)

        return data.TrainStream(steps, make)

    def build(self, config: AlignedRetrievalConfig, info: data.Info) -> keras.Model:
        """The network with unit-length embeddings, compiled with its parametric loss."""
        network = self.network(config, info)
        return training.compiled(network, config.ala.make_loss(config.train_classes), config, info)

    def train(
        self, model: keras.Model, datasets: data.Datasets, run: Run[AlignedRetrievalConfig]
    ) -> dict[str, float]:
        """One model with the callback, or several children."""
        if run.config.model.weights == "imagenet":
            networks.load_imagenet(model)  # a resumed run overwrites them with its own
        training.train(model, datasets, run, run.config.metric.make())
        return {}


def _by_class(labels: np.ndarray) -> list[np.ndarray]:
    """Row indices of each class."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
