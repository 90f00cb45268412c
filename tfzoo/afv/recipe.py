"""AFV's task: train a GAN on images, then a linear classifier on its discriminator's gradients."""

from __future__ import annotations

from dataclasses import asdict, replace

import keras
import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.afv.classifier import AFVClassifier, OneVsAllSquaredHinge
from tfzoo.afv.config import ClassifierConfig
from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.model import EnergyGAN, make_adam
from tfzoo.afv.monitor import GANMonitor
from tfzoo.afv.signatures import signatures
from tfzoo.data import memory
from tfzoo.data.images import augment, transforms
from tfzoo.files import replacing
from tfzoo.recipes.images import ImageClassification
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.training.distribute import check_share
from tfzoo.training.run import Run

WATCHED = 512
"""Images of each split that the monitor evaluates, as in the official code."""


def augmented(image: tf.Tensor, seed: tf.Tensor, kind: str, size: int) -> tf.Tensor:
    """A training image, float32 [size, size, C] of raw pixels."""
    image = transforms.to_size(image, size)
    if kind == "none":
        return image
    crop, mirror, upside, turn = tf.unstack(tf.random.split(seed, 4))
    image = augment.flip(transforms.padded_crop(image, crop, max(1, size // 8)), mirror)
    if kind == "official":
        image = tf.image.stateless_random_flip_up_down(image, upside)
        times = tf.random.stateless_uniform([], turn, 0, 4, tf.int32)
        image = tf.ensure_shape(tf.image.rot90(image, times), [size, size, image.shape[-1]])
    return image


def make_gan(config: ClassifierConfig, info: data.Info) -> EnergyGAN:
    """The GAN of a config, compiled."""
    settings = asdict(config.model) | info.to_unit(config.model)
    gan = EnergyGAN(channels=info.channels, seed=config.seed, **settings)
    rates = config.optimizer
    drops = [epoch * info.steps_per_epoch for epoch in rates.drop_epochs]
    gan.compile(
        make_adam(rates.d_rate, drops, rates.drop_factor),
        make_adam(rates.g_rate, drops, rates.drop_factor),
        jit_compile=config.jit_compile,
    )
    return gan


@task("afv.classifier")
class FisherClassification(ImageClassification[ClassifierConfig]):
    """Image classification with Adversarial Fisher Vectors."""

    config_class = ClassifierConfig
    own_data = dict.fromkeys(ImageClassification.own_data, ("model.image_size",))

    def augmented(
        self, image: tf.Tensor, seed: tf.Tensor, config: ClassifierConfig, info: data.Info
    ) -> tf.Tensor:
        """A training image, augmented according to the key `augment`."""
        return augmented(image, seed, config.augment, self.image_size(config, info))

    def build(self, config: ClassifierConfig, info: data.Info) -> keras.Model:
        """An `AFVClassifier` around untrained networks; `train` builds and trains the GAN."""
        self.image_size(config, info)
        gan, readout = make_gan(config, info), config.readout
        hinge = readout.method == "hinge"
        return AFVClassifier(
            FisherVectorizer(gan.discriminator, stride=readout.stride),
            gan.average,
            info.num_classes,
            info.sizes,
            **info.to_unit(config.model),
            dropout=readout.dropout,
            use_bias=not hinge,
            route=readout.route,
            served_features=readout.served_features,
        )

    def train(
        self, model: AFVClassifier, datasets: data.Datasets, run: Run[ClassifierConfig]
    ) -> dict[str, float]:
        """Trains the GAN with one `fit`, then fits the statistics and the read-out.

        Writes `gan.keras` and `samples/` to the run directory, and for `hinge` a separate run
        directory `readout/`.
        """
        config = run.config
        if config.readout.method == "hinge":  # fails before the GAN's training, not after
            check_share(run.strategy, config.readout.batch_size, "readout.batch_size")
        x, y = labelled(config)
        held_x, held_y = _whole(datasets.validation)
        with run.scope():
            gan = make_gan(config, datasets.info)
        watched = {"train": x[:WATCHED], "val": held_x[:WATCHED]}
        folder = run.directory / "samples" if run.chief else None
        monitor = GANMonitor(watched, folder, every=config.monitor_every, seed=config.seed)
        run.fit(gan, datasets, [monitor])
        if run.chief:
            with replacing(run.directory / "gan.keras") as aside:
                gan.save(aside)
        model.adopt(gan, config.readout.samples, seed=config.seed)
        if config.readout.method == "ridge":
            ridge = model.fit_ridge(x, y, held_x, held_y)
            self._compile(model, run)  # so that a user's `fit` continues in the paper's way
            numbers = "  ".join(f"{name} {value:.4g}" for name, value in ridge.items())
            print(f"ridge on {len(x):,} images: {numbers}", flush=True)
        else:
            self._train_hinge(model, run)
            model.sharpen(model.predict_scores(held_x), held_y)
        return {}

    def _train_hinge(self, model: AFVClassifier, run: Run[ClassifierConfig]) -> None:
        """Trains the paper's classifier, as a separate run inside the run's directory."""
        readout = run.config.readout
        config = replace(
            run.config,
            epochs=readout.epochs,
            batch_size=readout.batch_size,
            augment=readout.augment,
        )
        datasets = self.datasets(config)
        self._compile(model, run, datasets.info.steps_per_epoch)
        Run(run.directory / "readout", config, run.strategy, run.stop).fit(model, datasets)

    def _compile(self, model: AFVClassifier, run: Run[ClassifierConfig], steps: int = 0) -> None:
        """Compiles as in the paper; the rate drops only if the `steps` per epoch are known."""
        readout = run.config.readout
        drops = [epoch * steps for epoch in readout.drop_epochs] if steps else []
        with run.scope():
            adam = make_adam(readout.rate, drops, readout.drop_factor)
            adam.beta_1 = 0.9  # PyTorch's default
            model.compile(
                adam,
                OneVsAllSquaredHinge(),
                metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
                jit_compile=run.config.jit_compile,
            )

    def evaluate(
        self, model: AFVClassifier, datasets: data.Datasets, config: ClassifierConfig
    ) -> dict[str, float]:
        """Accuracy, cross-entropy, count; Fisher similarity and distance of the test images."""
        x, y = _whole(datasets.test)
        scores = model.predict_scores(x)
        p = np.asarray(keras.ops.softmax(float(model.sharpness.numpy()) * scores))
        likelihood = np.maximum(p[np.arange(len(y)), y], 1e-12)
        near = model.vectorizer.similarity(np.asarray(model.prepare(x)))
        return {
            "accuracy": float(np.mean(scores.argmax(1) == y)),
            "loss": float(-np.mean(np.log(likelihood))),
            "count": len(y),
            "fisher_similarity": near.similarity,
            "fisher_distance": near.distance,
            "distance_floor": near.floor,
            "dead_coordinates": model.vectorizer.dead,
        }

    def signatures(
        self, model: AFVClassifier, info: data.Info | None = None
    ) -> dict[str, Signature]:
        """`serving_default`, `features` and `score` with bytes forms, `sample`."""
        return signatures(model, info)


def labelled(config: ClassifierConfig) -> tuple[np.ndarray, np.ndarray]:
    """Raw training images [N, S, S, C] and class indices [N], drawn by the seed."""
    builder = data.builder(config.data)
    train, *_ = data.three_splits(builder)
    x, y = memory.arrays(data.split(builder, train).map(lambda e: (e["image"], e["label"])))
    order = np.random.default_rng(config.seed).permutation(len(x))[: config.readout.examples]
    return x[order].astype(np.float32), y[order]


def _whole(batches: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All images and class indices of evaluation batches."""
    x, y = memory.joined(batches.as_numpy_iterator())
    return x, y.argmax(-1)
