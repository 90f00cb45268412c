"""Image embeddings, evaluated by retrieval among classes not seen in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data import memory
from tfzoo.data.images import augment, transforms
from tfzoo.errors import InputError
from tfzoo.metrics import recall_at_k
from tfzoo.metrics.held_out import answers
from tfzoo.recipe import Recipe
from tfzoo.recipes import networks
from tfzoo.recipes.config import RetrievalConfig
from tfzoo.recipes.image_signatures import image_signatures
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

C = TypeVar("C", bound=RetrievalConfig)


class Retrieval(Recipe[C, data.Datasets]):
    """Merges all splits of a data set and splits them by class.

    A method's recipe adds `stream`, `build`, around `network`, and `train`.
    """

    config_class = RetrievalConfig
    own_data = {
        "tfzoo_image_folder": ("label", "train_classes", "validation_classes", "model.image_size")
    }

    def data_info(self, config: C) -> data.Info:
        """Properties the model depends on; an epoch's length is unknown without the data."""
        size = config.model.image_size
        shape = (size, size, config.model.channels)
        guesses = ("steps_per_epoch", "examples", "mean", "std")
        return data.Info(config.steps_per_epoch or 1, shape=shape, guesses=guesses)

    def datasets(self, config: C) -> data.Datasets:
        """All splits, merged and split by class."""
        builder = data.builder(config.data)
        features = builder.info.features
        for name in ("image", config.label):
            if name not in features:
                raise InputError(
                    f"data.name={config.data.name!r}: has no feature {name!r}; must be one of "
                    f"{', '.join(features)}"
                )
        names = [s for s in ("train", "validation", "test") if s in builder.info.splits]
        joined = data.split(builder, "+".join(names), encoded=True)
        decode, size = features["image"].decode_example, config.model.image_size
        first, second = config.train_classes, config.train_classes + config.validation_classes

        def part(low: int, high: int) -> tf.data.Dataset:
            inside = lambda x: (x[config.label] >= low) & (x[config.label] < high)  # noqa: E731
            return joined.filter(inside)

        def plain(example: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            return _whole(decode(example["image"]), size), example[config.label]

        everything = 2**31
        parts = [part(0, first), part(first, second), part(second, everything)]
        counts = [int(p.reduce(np.int64(0), lambda n, _: n + 1)) for p in parts]
        for name, count in zip(("train", "validation", "test"), counts, strict=True):
            if not count:
                raise InputError(
                    f"train_classes={first}, validation_classes={second - first}: leave no "
                    f"{name} images of {config.data.name!r}"
                )
        stored = memory.stored_bytes(builder, names[0])
        stream = self.stream(config, parts[0], counts[0], stored, decode)
        validation, test = (
            data.eval_batches(p, batch_size=config.batch_size, map_fn=plain) for p in parts[1:]
        )
        channels = features["image"].shape[-1]
        if channels != config.model.channels:
            raise InputError(
                f"model.channels={config.model.channels}: must be the data's {channels}"
            )
        dtype = tf.as_dtype(features["image"].np_dtype)
        known: dict[str, Any] = {"low": float(dtype.min), "high": float(dtype.max)}
        settings = config.model
        if settings.backbone == "small" and None in (settings.pixel_mean, settings.pixel_std):
            known = data.streamed_moments(parts[0].map(lambda x: decode(x["image"])), channels)
        info = data.Info(
            stream.steps_per_epoch,
            examples=counts[0],
            version=builder.info.full_name,
            dtype=dtype.name,
            **known | {"shape": (size, size, channels)},
        )
        return data.Datasets(stream, validation, test, info)

    def stream(
        self,
        config: C,
        encoded: tf.data.Dataset,
        count: int,
        stored: float,
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> data.TrainStream:
        """The training stream of `count` encoded examples of a given mean size in bytes."""
        raise NotImplementedError

    def network(self, config: C, info: data.Info) -> keras.Model:
        """A plain Keras model that maps raw pixels to embeddings of unit length."""
        settings = config.model
        scale = tuple(info.by_channel(settings).values())
        return networks.embedder(info.sizes, settings.backbone, settings.dim, *scale)

    def evaluate(self, model: keras.Model, datasets: data.Datasets, config: C) -> dict[str, float]:
        """recall@k on the test classes, and the number of their images."""
        labels, embeddings = answers(model, datasets.test)
        metrics = {
            f"recall_at_{k}": recall_at_k(labels, embeddings, k)
            for k in config.report_k
            if k < len(labels)
        }
        return metrics | {"count": len(labels)}

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`, to `embedding`."""
        _, size, _, channels = model.input_shape
        answer = lambda images: {"embedding": model(images, training=False)}  # noqa: E731
        return image_signatures(answer, size, channels, "an embedding of unit length", info)


def training_view(image: tf.Tensor, seed: tf.Tensor, size: int) -> tf.Tensor:
    """A random crop, mirrored with probability 1/2; small images unchanged."""
    if image.shape[0] == size and image.shape[1] == size:
        return tf.cast(image, tf.float32)
    crop, mirror = tf.unstack(tf.random.split(seed, 2))
    view = augment.flip(augment.random_resized_crop(image, crop, size), mirror)
    return tf.ensure_shape(tf.cast(view, tf.float32), [size, size, image.shape[-1]])


def _whole(image: tf.Tensor, size: int) -> tf.Tensor:
    """The centre of an image."""
    return transforms.to_size(image, size)
