"""The study's tasks: data, a converged base model, a metric, and the adapted layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfzoo import metrics
from tfzoo.data.jpegs import read_jpegs
from tfzoo.data.tables.imbalance import cut
from tfzoo.errors import InputError
from tfzoo.layers import Conv2D
from tfzoo.metricopt.experiments.contrastive import SupervisedContrastive
from tfzoo.optim import MomentumSGD
from tfzoo.recipes import networks
from tfzoo.typing import Tensor

Part = tuple[np.ndarray, np.ndarray]

MNIST_ROWS = (12_000, 2_000)
CIFAR_ROWS = (10_000, 2_000)

SIZE_HELD, SIZE_RARE, SIZE_BATCH, SIZE_EPOCHS = 2_500, 250, 128, 15
"""The task at size: validation rows, examples of a rare class, and the base model's training."""

AT_SIZE = "cifar10_jpeg_resnet20_f1"
"""The task whose base model takes half an hour or more; it runs only if it is requested."""


@dataclass(frozen=True)
class Problem:
    """One task with one seed.

    Attributes:
        base: the converged model; for image tasks, its last layers on precomputed features.
        layers: the layers with adapters.
        loss: loss of training and fine-tuning.
        metric: name of the metric.
        options: options of the metric.
        train: inputs and labels.
        validation: data on which the metric is observed.
        test: data for the reported results.
        arms: the arms to run; empty: all.
    """

    base: keras.Model
    layers: Sequence[str]
    loss: keras.losses.Loss
    metric: str
    options: dict[str, Any]
    train: Part
    validation: Part
    test: Part
    arms: tuple[str, ...] = field(default=(), kw_only=True)

    def black_box(self) -> metrics.BlackBoxMetric:
        """The metric, with a separate count of calls."""
        return metrics.get(self.metric, **self.options)

    @property
    def classes(self) -> int:
        """Number of columns of the logits; 0 for embeddings."""
        return 0 if self.metric == "recall_at_k" else self.base.output_shape[-1]


def digits_mcr(seed: int) -> Problem:
    """Digits with five classes reduced to four training examples; misclassification rate."""
    train, *held = _digits(seed)
    rows = cut(train[1], 5, 4, seed)
    train = train[0][rows], train[1][rows]
    base = converged(mlp(64, (32,), 10), _softmax(), train, 800)
    layers = ("hidden_0", "outputs")
    return Problem(base, layers, _softmax(), "misclassification_rate", {}, train, *held)


def digits_recall(seed: int) -> Problem:
    """Digits with an embedding trained on six classes; recall@1 among the other four."""
    parts = _digits(seed)
    seen = np.random.RandomState(seed).permutation(10)[:6]
    x, y = parts[0]
    train = x[np.isin(y, seen)], y[np.isin(y, seen)]
    held = [(x[~np.isin(y, seen)], y[~np.isin(y, seen)]) for x, y in parts[1:]]
    base = converged(mlp(64, (32,), 16), SupervisedContrastive(), train, 400)
    layers = ("hidden_0", "outputs")
    return Problem(base, layers, SupervisedContrastive(), "recall_at_k", {"k": 1}, train, *held)


def _cancer(metric: str, options: dict[str, Any]) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        from sklearn.datasets import load_breast_cancer

        source = load_breast_cancer()
        x, y = source.data, 1 - source.target  # class 1 is malignant
        train, *held = _standardised(_thirds(x, y, seed))
        rows = cut(train[1], 1, round(0.1 * (train[1] == 0).sum() / 0.9), seed)
        train = train[0][rows], train[1][rows]
        return _binary(30, train, held, metric, options)

    return make


def _mammography(path: str, metric: str, options: dict[str, Any]) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        from tfzoo.data.tables import csv

        x, labels, _ = csv.read(path)  # class 1 is the rarer
        train, *held = _standardised(_thirds(x, labels, seed))
        return _binary(x.shape[1], train, held, metric, options)

    return make


def _mnist(path: str) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        with np.load(path, allow_pickle=False) as file:
            x = file["x_train"][..., None].astype("float32") / 255
            y = file["y_train"].astype("int64")
            test = file["x_test"][..., None].astype("float32") / 255, file["y_test"].astype("int64")
        return _images(x, y, test, MNIST_ROWS, "misclassification_rate", seed, rare=20, epochs=8)

    return make


def _cifar(path: str, metric: str) -> Callable[[int], Problem]:
    def make(seed: int) -> Problem:
        with np.load(path, allow_pickle=False) as file:
            parts = [
                read_jpegs(file, *part) for part in (("train", sum(CIFAR_ROWS)), ("test", 2_000))
            ]
        (x, y), test = ((a.astype("float32") / 255, b) for a, b in parts)
        rare = 100 if metric == "f1" else None
        return _images(x, y, test, CIFAR_ROWS, metric, seed, rare=rare, epochs=6)

    return make


def _at_size(path: str) -> Callable[[int], Problem]:
    """ResNet-20 on all images, five classes of which are rare; its last block is adapted.

    The outputs of the blocks before are computed once, without augmentation.
    """

    def make(seed: int) -> Problem:
        with np.load(path, allow_pickle=False) as file:
            (x, y), (xt, yt) = read_jpegs(file, "train"), read_jpegs(file, "test")
        order = np.random.RandomState(seed).permutation(len(x))
        held, train = order[:SIZE_HELD], np.sort(order[SIZE_HELD:])
        train = train[cut(y[train], 5, SIZE_RARE, seed)]
        mean, std = x[train].mean((0, 1, 2)), x[train].std((0, 1, 2))
        whole = networks.resnet(x.shape[1:], 10, 20, 16, mean, std)
        _train_resnet(whole, (x[train], y[train]), seed)
        *_, last = (layer for layer in whole.layers if layer.name.endswith("_norm"))
        start = _inputs_of_block(whole, last)
        trunk, head = keras.Model(whole.input, start), keras.Model(start, whole.output)
        parts = [(x[train], y[train]), (x[held], y[held]), (xt, yt)]
        cached = [
            (trunk.predict(a.astype("float32"), batch_size=500, verbose=0), b) for a, b in parts
        ]
        arms = ("base", "loss only", "MetricOpt", "CMA-ES", "thresholds", "logit adjustment")
        layers = (last.name, "logits")
        return Problem(head, layers, _softmax(), "f1", {}, *cached, arms=arms)

    return make


def _inputs_of_block(model: keras.Model, norm: keras.layers.Layer) -> Tensor:
    """The input of the residual block whose second branch ends in `norm`: its shortcut."""
    add = next(la for la in model.layers if isinstance(la, keras.layers.Add) and _feeds(norm, la))
    return next(t for t in add.input if t is not norm.output)


def _feeds(source: keras.layers.Layer, target: keras.layers.Layer) -> bool:
    return any(t is source.output for t in target.input)


def _train_resnet(model: keras.Model, train: Part, seed: int) -> None:
    """SGD with a warm-up and a cosine, images flipped and cropped."""
    import tensorflow as tf

    from tfzoo.data.images import augment, transforms

    x, y = (tf.constant(a) for a in train)
    steps = len(train[1]) // SIZE_BATCH * SIZE_EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(
        0.01, steps, warmup_target=0.2, warmup_steps=steps // 5
    )

    def drawn(number: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        place, mirror = tf.unstack(tf.random.split(tf.stack([seed, tf.cast(number, tf.int32)]), 2))
        image = tf.cast(transforms.padded_crop(x[row], place, 4), tf.float32)
        return augment.flip(image, mirror), y[row]

    rows = tf.data.Dataset.range(len(y)).shuffle(len(y), seed=seed).repeat()
    batches = rows.enumerate().map(drawn).batch(SIZE_BATCH).prefetch(2)
    model.compile(MomentumSGD(rate, 0.9, 5e-4), _softmax())
    model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)


def embedded() -> dict[str, Callable[[int], Problem]]:
    """Tasks on data shipped with scikit-learn."""
    return {
        "digits_mcr": digits_mcr,
        "digits_recall_at_1": digits_recall,
        "cancer_recall_at_precision": _cancer("recall_at_precision", {"precision": 0.95}),
        "cancer_average_precision": _cancer("average_precision", {}),
    }


def by_path(mammography: str, mnist: str, cifar: str) -> dict[str, Callable[[int], Problem]]:
    """Tasks on the user's files, for paths that are not empty.

    Raises:
        InputError: a file is missing.
    """
    tasks: dict[str, Callable[[int], Problem]] = {}
    for name, path in (("mammography", mammography), ("mnist", mnist), ("cifar", cifar)):
        if path and not Path(path).is_file():
            raise InputError(f"--{name}={path!r}: no such file")
    if mammography:
        tasks["mammography_f1"] = _mammography(mammography, "f1", {"threshold": 0.0})
        tasks["mammography_average_precision"] = _mammography(mammography, "average_precision", {})
    if mnist:
        tasks["mnist_mcr"] = _mnist(mnist)
    if cifar:
        tasks["cifar10_jpeg_mcr"] = _cifar(cifar, "misclassification_rate")
        tasks["cifar10_jpeg_imbalanced_f1"] = _cifar(cifar, "f1")
        tasks[AT_SIZE] = _at_size(cifar)
    return tasks


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> keras.Model:
    """A fully connected network with named layers."""
    model = keras.Sequential([keras.Input((inputs,))])
    for i, n in enumerate(hidden):
        model.add(keras.layers.Dense(n, "relu", name=f"hidden_{i}"))
    model.add(keras.layers.Dense(outputs, name="outputs"))
    return model


def converged(
    model: keras.Model, loss: keras.losses.Loss, train: Part, steps: int, batch_size: int = 1024
) -> keras.Model:
    """The model trained by Adam at 3e-3, on the whole split at once if it is small."""
    import tensorflow as tf  # shuffling it orders the rows

    model.compile(keras.optimizers.Adam(3e-3), loss)
    rows = tf.data.Dataset.from_tensor_slices(train)
    if len(train[0]) > batch_size:
        rows = rows.shuffle(len(train[0]), seed=0)
    stream = rows.batch(min(len(train[0]), batch_size), drop_remainder=True).repeat()
    model.fit(stream, steps_per_epoch=steps, shuffle=False, verbose=0)
    return model


def _softmax() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _binary(inputs: int, train: Part, held: list[Part], metric: str, options: dict) -> Problem:
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    parts = [(x, y.astype("float32")[:, None]) for x, y in (train, *held)]
    base = converged(mlp(inputs, (16, 16), 1), loss, parts[0], 600)
    layers = ("hidden_0", "hidden_1", "outputs")
    return Problem(base, layers, loss, metric, options, *parts)


def _images(
    x: np.ndarray,
    y: np.ndarray,
    test: Part,
    counts: tuple[int, int],
    metric: str,
    seed: int,
    rare: int | None,
    epochs: int,
) -> Problem:
    """A small convolutional network, whose last two layers on cached features are the base."""
    order = np.random.RandomState(seed).permutation(len(x))[: sum(counts)]
    train, held = order[: counts[0]], order[counts[0] :]
    if rare:
        train = train[cut(y[train], 5, rare, seed)]
    inputs = keras.Input(x.shape[1:])
    h = inputs
    for width in (16, 32, 64):
        h = Conv2D(width, 3, padding="same", activation="relu")(h)
        h = keras.layers.MaxPooling2D()(h)
    trunk = keras.Model(inputs, keras.layers.Flatten()(h))
    head = mlp(trunk.output_shape[-1], (32,), 10)
    whole = keras.Sequential([trunk, head])
    whole.compile(keras.optimizers.Adam(1e-3), _softmax())
    whole.fit(x[train], y[train], batch_size=64, epochs=epochs, verbose=0)
    parts = [(x[train], y[train]), (x[held], y[held]), test]
    parts = [(trunk.predict(a, batch_size=500, verbose=0), b) for a, b in parts]
    return Problem(head, ("hidden_0", "outputs"), _softmax(), metric, {}, *parts)


def _digits(seed: int) -> list[Part]:
    from sklearn.datasets import load_digits

    source = load_digits()
    return _thirds((source.data / 16).astype("float32"), source.target.astype("int64"), seed)


def _thirds(x: np.ndarray, y: np.ndarray, seed: int) -> list[Part]:
    """Half for training, a quarter each for validation and test, stratified."""
    from sklearn.model_selection import train_test_split

    split = {"random_state": seed, "shuffle": True}
    x, a, y, b = train_test_split(x, y, test_size=0.5, stratify=y, **split)
    xv, xt, yv, yt = train_test_split(a, b, test_size=0.5, stratify=b, **split)
    return [(x, y), (xv, yv), (xt, yt)]


def _standardised(parts: list[Part]) -> list[Part]:
    """Standardised by the training split's means and deviations."""
    x = parts[0][0]
    mean, std = x.mean(0), np.maximum(x.std(0), 1e-9)
    return [(((x - mean) / std).astype("float32"), y) for x, y in parts]
