"""The tasks that train SDN's evaluation networks, on real images of the training sets."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data, zoo
from tfzoo.config import check
from tfzoo.data import memory
from tfzoo.data.images.image_sets import ImageSets
from tfzoo.errors import InputError
from tfzoo.recipes.image_signatures import image_signatures
from tfzoo.registry import task
from tfzoo.sdn import judges
from tfzoo.sdn.config import JudgeConfig
from tfzoo.sdn.corruptions import corrupted
from tfzoo.sdn.recipe import SetsRecipe, info_of
from tfzoo.serving import Signature
from tfzoo.training.run import Run
from tfzoo.typing import Tensor


@task("sdn.voxels")
class VoxelJudge(SetsRecipe[JudgeConfig, data.Datasets]):
    """Predicts the occupancy of shapes from views."""

    config_class = JudgeConfig
    own_data = {}

    def datasets(self, config: JudgeConfig) -> data.Datasets:
        """`set_size` random views of a shape, and its occupancy [8, 8, 8]."""
        sets = self.sets(config)
        self.check(config, sets)
        if "voxels" not in sets["train"].truth:
            raise InputError(f"data.name={config.data.name!r}: must have voxels")
        stream = _views(sets["train"], config)
        held, test = (_pairs(sets[name], config) for name in ("validation", "test"))
        info = info_of(config, sets["train"])
        return data.Datasets(stream, held, test, info)

    def build(self, config: JudgeConfig, info: data.Info) -> keras.Model:
        """The network, compiled for binary cross-entropy."""
        net = judges.make_voxel_net(
            config.image_size, info.channels, config.width, *info.to_unit(config).values()
        )
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(config.rate), loss, jit_compile=config.jit_compile)
        return net

    def evaluate(
        self, model: keras.Model, datasets: data.Datasets, config: JudgeConfig
    ) -> dict[str, float]:
        """Intersection over union on the test shapes, and with the truth of another shape."""
        seen, truth = memory.joined(
            (judges.occupancy(model, images), voxels > 0.5)
            for images, voxels in datasets.test.as_numpy_iterator()
        )
        other = judges.iou(seen, np.roll(truth, 1, 0)).mean()
        mean = judges.iou(seen, truth).mean()
        metrics = {"iou": mean, "iou_shuffled": other, "count": len(truth)}
        return {name: float(value) for name, value in metrics.items()}

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` to `occupancy`, probabilities [B, 8, 8, 8]."""
        size, limits = model.input_shape[2:], (0.0, 255.0) if info is None else info.limits
        images = np.random.default_rng(0).uniform(*limits, (4, 3, *size)).astype(np.float32)

        def answer(images: Tensor) -> dict[str, Tensor]:
            return {"occupancy": tf.sigmoid(model(images, training=False))}

        return {
            "serving_default": Signature(
                answer,
                {"images": tf.TensorSpec([None, None, *size], tf.float32)},
                {"images": images},
                description="views of a shape, raw pixels, to its occupancy",
                ranges={"images": limits},
            )
        }


@task("sdn.verifier")
class Verifier(SetsRecipe[JudgeConfig, data.Datasets]):
    """Embeds images so that images of one set are recognised."""

    config_class = JudgeConfig

    def data_info(self, config: JudgeConfig) -> data.Info:
        """Steps, and identities from the config if the data are unknown."""
        info = super().data_info(config)
        return replace(info, examples=config.identities) if "examples" in info.guesses else info

    def datasets(self, config: JudgeConfig) -> data.Datasets:
        """A random image from each of `batch_size` training sets per step, and the set's index."""
        sets = self.sets(config)
        self.check(config, sets)
        train = sets["train"]
        views = train.stream(
            1,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
            with_index=True,
        )
        make = lambda step: views.from_step(step).map(  # noqa: E731
            lambda x, i: (x["images"][:, 0], i)
        )
        stream = data.TrainStream(views.steps_per_epoch, make)
        if config.corrupted:
            stream = _with_corrupted(stream, train, config)
        size = config.set_size
        held, test = (
            sets[name].batches(2 * size, config.batch_size) for name in ("validation", "test")
        )
        info = info_of(config, train)
        return data.Datasets(stream, held, test, info)

    def build(self, config: JudgeConfig, info: data.Info) -> keras.Model:
        """The embedding; `train` adds a classifier of the training sets."""
        embed, self._classifier = judges.make_verifier(
            config.image_size,
            info.channels,
            info.examples + bool(config.corrupted),  # a class for what belongs to no set
            config.width,
            config.dim,
            *info.to_unit(config).values(),
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._classifier.compile(
            keras.optimizers.Adam(config.rate), loss, jit_compile=config.jit_compile
        )
        return embed

    def train(
        self, model: keras.Model, datasets: data.Datasets, run: Run[JudgeConfig]
    ) -> dict[str, float]:
        """Trains the classifier with one `fit`; held-out sets have no class and so no loss."""
        run.fit(self._classifier, datasets, validate=False)
        return {}

    def evaluate(
        self, model: keras.Model, datasets: data.Datasets, config: JudgeConfig
    ) -> dict[str, float]:
        """Area under ROC for pairs of halves of the test sets, same versus different."""
        images = memory.joined(
            b["images"][b["mask"].all(1)] for b in datasets.test.as_numpy_iterator()
        )
        a, b = judges.halves(images, images.shape[1] // 2)
        first, second = (judges.set_embeddings(model, x) for x in (a, b))
        one = [judges.set_embeddings(model, x[:, :1]) for x in (a, b)]
        return {
            "auc": judges.verification(first, second)[0],
            "auc_of_one_image": judges.verification(*one)[0],
            "count": len(images),
        }

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)` to `embedding`."""
        _, size, _, channels = model.input_shape
        answer = lambda images: {"embedding": model(images, training=False)}  # noqa: E731
        return image_signatures(answer, size, channels, "an embedding of unit length", info)


BANK = 8192
"""Number of corrupted images that a verifier is trained with."""


def _with_corrupted(
    stream: data.TrainStream, train: ImageSets, config: JudgeConfig
) -> data.TrainStream:
    """A stream of images and sets, of which the last rows are corrupted and have the class M."""
    bank = tf.constant(_bank(train, config))
    extra = round(config.batch_size * config.corrupted)
    keep, reach = config.batch_size - extra, train.limits[1] - train.limits[0]
    check(0 < extra < config.batch_size, "corrupted", config.corrupted, "a part of a batch")

    def mixed(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        images, owner = batch[0][:keep], batch[1][:keep]
        seed = tf.stack([config.seed, tf.cast(step, tf.int32)])
        soft, rough = tf.unstack(tf.random.stateless_uniform([2, keep, 1, 1, 1], seed))
        images += soft * (tf.nn.avg_pool2d(images, 3, 1, "SAME") - images)
        images += 0.08 * reach * rough * tf.random.stateless_normal(tf.shape(images), seed)
        images = tf.clip_by_value(images, *train.limits)
        rows = tf.random.stateless_uniform([extra], seed, 0, len(bank), tf.int32)
        none = tf.fill([extra], tf.cast(len(train), owner.dtype))
        return tf.concat([images, tf.gather(bank, rows)], 0), tf.concat([owner, none], 0)

    make = lambda step: stream.from_step(step).enumerate(step).map(mixed)  # noqa: E731
    return data.TrainStream(stream.steps_per_epoch, make)


def _bank(train: ImageSets, config: JudgeConfig) -> np.ndarray:
    """Corrupted training images, and reconstructions by `generated_by`: at most `BANK`."""
    images, mask = train.arrays(config.set_size)
    rng = np.random.default_rng(config.seed)
    given = images[mask]
    bank = corrupted(given[rng.permutation(len(given))[:BANK]], config.seed, limits=train.limits)
    if config.generated_by:
        rebuilt = zoo.load(config.generated_by).reconstruct(images, None, mask, config.seed)[mask]
        rows = np.arange(0, len(bank), 4)
        bank[rows] = rebuilt[rng.integers(len(rebuilt), size=len(rows))]
    return bank


def _views(sets: ImageSets, config: JudgeConfig) -> data.TrainStream:
    voxels = tf.constant(judges.coarse(sets.truth["voxels"]).astype("float32"))
    views = sets.stream(
        config.set_size,
        batch_size=config.batch_size,
        seed=config.seed,
        steps_per_epoch=config.steps_per_epoch,
        with_index=True,
    )
    make = lambda step: views.from_step(step).map(  # noqa: E731
        lambda x, i: (x["images"], tf.gather(voxels, i))
    )
    return data.TrainStream(views.steps_per_epoch, make)


def _pairs(sets: ImageSets, config: JudgeConfig) -> tf.data.Dataset:
    images, _ = sets.arrays(config.set_size)
    voxels = judges.coarse(sets.truth["voxels"]).astype("float32")
    return tf.data.Dataset.from_tensor_slices((images, voxels)).batch(config.batch_size)
