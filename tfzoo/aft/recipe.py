"""AFT's tasks: image classification, byte language model, autoregressive image model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfzoo import data
from tfzoo.aft import signatures
from tfzoo.aft.autoregressive import AFTImageModel, AFTLanguageModel
from tfzoo.aft.classifier import AFTClassifier
from tfzoo.aft.config import ClassifierConfig, ImageModelConfig, TextConfig
from tfzoo.aft.metrics import BitsPerSymbol
from tfzoo.config import check
from tfzoo.data.images import augment, transforms
from tfzoo.errors import InputError
from tfzoo.optim import make_adamw
from tfzoo.recipe import Recipe
from tfzoo.recipes.image_signatures import classifier
from tfzoo.recipes.images import ImageClassification, builder_info, image_datasets, image_info
from tfzoo.registry import task
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

_TEXT_BYTES = {"enwik8": 100_000_000, "tfzoo_pydoc": 440_000}


@task("aft.classifier")
class Classification(ImageClassification[ClassifierConfig]):
    """Image classification with an `AFTClassifier`."""

    config_class = ClassifierConfig
    own_data = dict.fromkeys(ImageClassification.own_data, ("model.image_size",))

    def image_size(self, config: ClassifierConfig, info: data.Info) -> int:
        """`model.image_size`."""
        return config.model.image_size

    def augmented(
        self, image: tf.Tensor, seed: tf.Tensor, config: ClassifierConfig, info: data.Info
    ) -> tf.Tensor:
        """Selected by `augment`: none, a shift of up to one pixel in eight, or DeiT's."""
        size = config.model.image_size
        if config.augment == "deit":
            mean, std = info.by_channel(config.model).values()
            return transforms.deit(image, seed, size, mean, std)
        image = transforms.to_size(image, size)
        return (
            transforms.shift(image, seed, max(1, size // 8)) if config.augment == "shift" else image
        )

    def stream_options(self, config: ClassifierConfig) -> dict[str, Any]:
        """Mixup or cutmix with DeiT's augmentation; repeated augmentation."""
        mixing = augment.mixup_or_cutmix if config.augment == "deit" else None
        return {"batch_map_fn": mixing, "repeats": config.repeats}

    def build(self, config: ClassifierConfig, info: data.Info) -> keras.Model:
        """An `AFTClassifier`, compiled with AdamW and (smoothed) cross-entropy."""
        settings = asdict(config.model) | info.by_channel(config.model)
        model = AFTClassifier(num_classes=info.num_classes, channels=info.channels, **settings)
        smoothing = config.label_smoothing
        model.compile(
            make_adamw(config.optimizer, config.epochs * info.steps_per_epoch),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=config.jit_compile,
        )
        return model

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default(images)` and `bytes(encoded)`."""
        return classifier(model, model.image_size, model.channels, info)


@task("aft.language_model")
class LanguageModelling(Recipe[TextConfig, data.Datasets]):
    """Prediction of the next byte."""

    config_class = TextConfig
    own_data = {"enwik8": ()}

    def data_info(self, config: TextConfig) -> data.Info:
        """Steps per epoch; its bytes are 90 % of the text's usual size or the file's."""
        asked = config.data
        known: dict[str, Any] = {"guesses": ("steps_per_epoch", "examples")}
        usual = _TEXT_BYTES.get(asked.name, 1_000_000)
        if asked.path is not None:
            # refuses a missing file
            known = {"version": data.unprepared(asked).info.full_name}
            usual = Path(asked.path).stat().st_size
        length = (asked.prefix_bytes or usual) * 9 // 10
        return _text_info(config, length, **known)

    def datasets(self, config: TextConfig) -> data.Datasets:
        """Windows of `model.max_length` bytes and the bytes that follow each."""
        builder = data.builder(config.data)
        length = config.model.max_length
        text = {name: data.read_bytes(data.split(builder, name)) for name in data.SPLITS}
        stream = data.train_windows(
            text["train"],
            length=length,
            batch_size=config.batch_size,
            seed=config.seed,
            steps_per_epoch=config.steps_per_epoch,
        )
        validation, test = (
            data.eval_windows(text[name], length=length, batch_size=config.batch_size)
            for name in ("validation", "test")
        )
        info = _text_info(config, len(text["train"]), version=builder.info.full_name)
        return data.Datasets(stream, validation, test, info)

    def build(self, config: TextConfig, info: data.Info) -> keras.Model:
        """An `AFTLanguageModel`, compiled with AdamW and cross-entropy."""
        model = AFTLanguageModel(**asdict(config.model))
        _compile_bits(model, config, info, "bits_per_byte")
        return model

    def evaluate(
        self, model: keras.Model, datasets: data.Datasets, config: TextConfig
    ) -> dict[str, float]:
        """Bits per byte of the test text, evaluated in windows, and its length."""
        return _evaluate_bits(model, datasets.test, "bits_per_byte")

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default` and `score(tokens)`, `generate(prompt, ...)`."""
        return signatures.language_model(model)


@task("aft.image_model")
class ImageModelling(Recipe[ImageModelConfig, data.Datasets]):
    """Prediction of the next sub-pixel."""

    config_class = ImageModelConfig
    own_data = ImageClassification.own_data

    def data_info(self, config: ImageModelConfig) -> data.Info:
        """Image shape and steps of a known data set, or of the user's prepared data."""
        return image_info(config)

    def datasets(self, config: ImageModelConfig) -> data.Datasets:
        """Images as integers, which are their own targets."""
        builder = data.builder(config.data)
        info = builder_info(builder, config)

        def prepare(example: dict[str, Tensor], seed: tf.Tensor) -> tuple[Tensor, Tensor]:
            image = example["image"]
            if config.augment == "flip_shift":
                flip, shift = tf.unstack(tf.random.split(seed, 2))
                image = augment.shift_values(augment.flip(image, flip), shift)
            return _pair(image)

        return image_datasets(builder, config, info, prepare, lambda x: _pair(x["image"]))

    def build(self, config: ImageModelConfig, info: data.Info) -> keras.Model:
        """An `AFTImageModel`, compiled with AdamW and cross-entropy."""
        if None in info.shape:
            raise InputError(f"data.name={config.data.name!r}: images must all have one size")
        if info.high is not None:
            fits = config.levels > info.high
            check(
                fits, "levels", config.levels, f"at least {info.high + 1:g}, for pixels up to that"
            )
        model = AFTImageModel(info.sizes, config.levels, **asdict(config.model))
        _compile_bits(model, config, info, "bits_per_dim")
        return model

    def evaluate(
        self, model: keras.Model, datasets: data.Datasets, config: ImageModelConfig
    ) -> dict[str, float]:
        """Bits per dimension of the test images, and the number of dimensions."""
        return _evaluate_bits(model, datasets.test, "bits_per_dim")

    def signatures(self, model: keras.Model, info: data.Info | None = None) -> dict[str, Signature]:
        """`serving_default` and `bits_per_dim(images)`, `sample(seed)`."""
        return signatures.image_model(model)


def _pair(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image = tf.cast(image, tf.int32)
    return image, image


def _compile_bits(model: keras.Model, config: Any, info: data.Info, name: str) -> None:
    model.compile(
        make_adamw(config.optimizer, config.epochs * info.steps_per_epoch),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[BitsPerSymbol(name=name)],
        jit_compile=config.jit_compile,
    )


def _evaluate_bits(model: keras.Model, test: tf.data.Dataset, name: str) -> dict[str, float]:
    metric, count = BitsPerSymbol(), 0
    x, _ = test.element_spec
    score = tf.function(lambda x: model(x, training=False), input_signature=[x], autograph=False)
    for x, y in test:
        metric.update_state(y, score(x))
        count += int(tf.size(y))
    return {name: float(metric.result()), "count": count}


def _text_info(config: TextConfig, count: int, **known: Any) -> data.Info:
    """Properties of a training text of `count` bytes, whose examples are windows."""
    length = config.model.max_length
    windows = max(count // length - 1, 1)
    return data.Info(
        data.epoch_steps(windows, config.batch_size, config.steps_per_epoch),
        examples=windows,
        shape=(length,),
        dtype="int32",
        low=0.0,
        high=255.0,
        **known,
    )
