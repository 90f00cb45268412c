"""Common configs of recipes for a black-box metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge

from tfzoo import metrics
from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Level,
    Must,
    Natural,
    OneOf,
    Positive,
    Spread,
    check,
    choices,
    key,
)
from tfzoo.data.config import PIXEL_MEAN, PIXEL_STD, DataConfig
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class MetricConfig(Config):
    """The group `metric`."""

    name: str = key(MISSING, "one of `tfzoo.metrics.names()`")
    precision: float | None = key(None, "option of `recall_at_precision`")
    k: int | None = key(None, "option of `recall_at_k`")

    def __post_init__(self) -> None:
        super().__post_init__()
        choices("name", self.name, metrics.names())
        for option, owner in (("precision", "recall_at_precision"), ("k", "recall_at_k")):
            value = getattr(self, option)
            fits = value is None or self.name == owner
            check(fits, option, value, f"null unless name is {owner}")

    def make(self) -> metrics.BlackBoxMetric:
        """The metric of that name, with its options."""
        options: dict[str, Any] = {"precision": self.precision, "k": self.k}
        return metrics.get(self.name, **{k: v for k, v in options.items() if v is not None})


@dataclass(frozen=True)
class RareConfig(Config):
    """The group `rare`: classes of the training split that keep only a few examples."""

    classes: Natural = key(
        0, "how many classes, drawn by the seed; with two classes, 1 means class 1", of_data=True
    )
    examples: Count = key(4, "examples that each keeps", of_data=True)
    ratio: Annotated[float, Ge(1)] = key(
        1.0, "ratio of the first class's examples to the last one's, in a long tail", of_data=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        one = self.classes == 0 or self.ratio == 1
        check(one, "ratio", self.ratio, "1 where classes is not 0")


@dataclass(frozen=True)
class MetricTaskConfig(RunConfig):
    """The keys common to all tasks."""

    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    metric: MetricConfig = key(MISSING, "see `MetricConfig`")


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The group `model` of classification."""

    builds = ("tfzoo.recipes.networks:mlp", "tfzoo.recipes.networks:resnet")

    kind: Annotated[str, OneOf("mlp", "resnet")] = key("mlp", "`mlp` or, for images, `resnet`")
    inputs: Count | None = key(None, "features of a table; null: the data's")
    hidden: list[Count] = key([32], "widths of `mlp`")
    depth: Annotated[
        int, Must(lambda n: 8 <= n < 1000 and n % 6 == 2, "6 n + 2 below 1000: 8, 14, 20, ...")
    ] = key(20, "depth of `resnet`, 6 n + 2")
    width: Count = key(16, "width of `resnet`'s first stage")
    pixel_mean: Level | None = key(
        None, f"{PIXEL_MEAN}; tables are standardised by their training split", of_data=True
    )
    pixel_std: Spread | None = key(
        None,
        f"{PIXEL_STD}, for `mlp` enlarged until an image's mean squared norm is at most 16",
        of_data=True,
    )


@dataclass(frozen=True)
class ClassificationConfig(MetricTaskConfig):
    """Examples to classes."""

    model: NetworkConfig = key(NetworkConfig(), "see `NetworkConfig`")
    rare: RareConfig = key(RareConfig(), "see `RareConfig`")
    augment: Annotated[str, OneOf("none", "flip_crop")] = key(
        "none", "`none` or, for images, `flip_crop`"
    )


@dataclass(frozen=True)
class EmbedderConfig(Config):
    """The group `model` of retrieval."""

    builds = ("tfzoo.recipes.networks:embedder",)

    backbone: Annotated[str, OneOf("small", "resnet50")] = key("small", "`small` or `resnet50`")
    weights: str | None = key(
        None, "initial weights of `resnet50`: `imagenet` (downloaded by Keras) or null"
    )
    dim: Count = key(32, "size of the embedding")
    image_size: Count = key(224, "side to which images are resized")
    channels: Count = key(3, "channels of the images")
    temperature: Positive = key(
        0.05, "temperature of the normalised softmax over training classes (arXiv:1811.12649)"
    )
    pixel_mean: Level | None = key(None, f"{PIXEL_MEAN}, for `small`", of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_STD, of_data=True)

    def __post_init__(self) -> None:
        super().__post_init__()

        allowed = (None, "imagenet") if self.backbone == "resnet50" else (None,)
        says = "imagenet or null" if self.backbone == "resnet50" else "null for this backbone"
        check(self.weights in allowed, "weights", self.weights, says)


@dataclass(frozen=True)
class RetrievalConfig(MetricTaskConfig):
    """Embeddings of images for retrieval among classes not seen in training.

    The first `train_classes` classes are for training, the metric is observed on the next
    `validation_classes`, and all others are for the test.
    """

    model: EmbedderConfig = key(EmbedderConfig(), "see `EmbedderConfig`")
    train_classes: Count = key(MISSING, "see above")
    validation_classes: Count = key(MISSING, "see above")
    label: str = key("label", "name of the data's feature with the class")
    report_k: list[Count] = key([1, 2, 4, 8], "the values of k for which recall@k is reported")

    def __post_init__(self) -> None:
        super().__post_init__()

        good = ("recall_at_k", "mean_average_precision")
        choices("metric.name", self.metric.name, good)
