"""The configs that recipes for a black-box metric share."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfzoo import metrics
from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class MetricConfig:
    """The group `metric`.

    Attributes:
        name: of `tfzoo.metrics.names()`.
        precision: of `recall_at_precision`.
        k: of `recall_at_k`.
    """

    name: str = MISSING
    precision: float | None = None
    k: int | None = None

    def __post_init__(self):
        """Checks the name and the options."""
        choices("metric.name", self.name, metrics.names())
        for key, owner in (("precision", "recall_at_precision"), ("k", "recall_at_k")):
            value = getattr(self, key)
            fits = value is None or self.name == owner
            check(fits, f"metric.{key}", value, f"null unless metric.name is {owner}")

    def make(self) -> metrics.BlackBoxMetric:
        """The metric."""
        options = {"precision": self.precision, "k": self.k}
        return metrics.get(self.name, **{k: v for k, v in options.items() if v is not None})


@dataclass(frozen=True)
class RareConfig:
    """The group `rare`: classes of the training split that keep only a few examples.

    Attributes:
        classes: how many; which, the seed draws. Of two classes, one means class 1.
        examples: that each keeps.
    """

    classes: int = 0
    examples: int = 4

    def __post_init__(self):
        """Checks the ranges."""
        check(self.classes >= 0, "rare.classes", self.classes, "at least 0")
        check(self.examples >= 1, "rare.examples", self.examples, "at least 1")


@dataclass(frozen=True)
class MetricTaskConfig(RunConfig):
    """The keys that all tasks have.

    Attributes:
        data: see `tfzoo.data.DataConfig`.
        metric: see `MetricConfig`.
    """

    data: DataConfig = MISSING
    metric: MetricConfig = MISSING


@dataclass(frozen=True)
class NetworkConfig:
    """The group `model` of classification.

    Attributes:
        kind: `mlp` or, for images, `resnet`.
        inputs: features of a table; null takes the data's.
        hidden: widths of `mlp`.
        depth: of `resnet`, 6 n + 2.
        width: of `resnet`'s first stage.
        pixel_mean: subtracted from raw pixels; tables are standardised by their training split.
        pixel_std: then divided by.
    """

    kind: str = "mlp"
    inputs: int | None = None
    hidden: list[int] = field(default_factory=lambda: [32])
    depth: int = 20
    width: int = 16
    pixel_mean: float = 127.5
    pixel_std: float = 127.5

    def __post_init__(self):
        """Checks the ranges."""
        choices("model.kind", self.kind, ("mlp", "resnet"))
        check(all(n >= 1 for n in self.hidden), "model.hidden", list(self.hidden), "at least 1")
        deep = self.depth >= 8 and self.depth % 6 == 2
        check(deep, "model.depth", self.depth, "6 n + 2: 8, 14, 20, 32, ...")
        check(self.width >= 1, "model.width", self.width, "at least 1")
        check(self.pixel_std > 0, "model.pixel_std", self.pixel_std, "above 0")


@dataclass(frozen=True)
class ClassificationConfig(MetricTaskConfig):
    """Examples to classes.

    Attributes:
        model: see `NetworkConfig`.
        rare: see `RareConfig`.
        augment: `none` or, for images, `flip_crop`.
    """

    model: NetworkConfig = field(default_factory=NetworkConfig)
    rare: RareConfig = field(default_factory=RareConfig)
    augment: str = "none"

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        choices("augment", self.augment, ("none", "flip_crop"))


@dataclass(frozen=True)
class EmbedderConfig:
    """The group `model` of retrieval.

    Attributes:
        backbone: `small` or `resnet50`.
        weights: that `resnet50` starts from: `imagenet` (downloaded by Keras) or null.
        dim: of the embedding.
        image_size: side that images are brought to.
        channels: of the images.
        temperature: of the normalised softmax over training classes (arXiv:1811.12649).
        pixel_mean: subtracted from raw pixels, for `small`.
        pixel_std: then divided by.
    """

    backbone: str = "small"
    weights: str | None = None
    dim: int = 32
    image_size: int = 224
    channels: int = 3
    temperature: float = 0.05
    pixel_mean: float = 127.5
    pixel_std: float = 127.5

    def __post_init__(self):
        """Checks the ranges."""
        choices("model.backbone", self.backbone, ("small", "resnet50"))
        allowed = (None, "imagenet") if self.backbone == "resnet50" else (None,)
        says = "imagenet or null" if self.backbone == "resnet50" else "null for this backbone"
        check(self.weights in allowed, "model.weights", self.weights, says)
        for name in ("dim", "image_size", "channels"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        for name in ("temperature", "pixel_std"):
            check(getattr(self, name) > 0, f"model.{name}", getattr(self, name), "above 0")


@dataclass(frozen=True)
class RetrievalConfig(MetricTaskConfig):
    """Images to embeddings of classes that were not trained on.

    Classes up to `train_classes` train, the next `validation_classes` are what the metric is
    observed on, all others are the test.

    Attributes:
        model: see `EmbedderConfig`.
        train_classes: see above.
        validation_classes: see above.
        label: the data's feature that holds the class.
        report_k: recall@k that are reported.
    """

    model: EmbedderConfig = field(default_factory=EmbedderConfig)
    train_classes: int = MISSING
    validation_classes: int = MISSING
    label: str = "label"
    report_k: list[int] = field(default_factory=lambda: [1, 2, 4, 8])

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        for name in ("train_classes", "validation_classes"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        good = ("recall_at_k", "mean_average_precision")
        choices("metric.name", self.metric.name, good)
        check(all(k >= 1 for k in self.report_k), "report_k", list(self.report_k), "at least 1")
