"""The configs of ALA's tasks."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from typing import Annotated, Any

import keras
from annotated_types import Ge

from tfzoo.ala.children import MODES
from tfzoo.ala.controller import CREDITS, LossController
from tfzoo.ala.losses import LINKS, ClassWeightLoss, CorrelationLoss
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Fraction,
    Natural,
    NonNegative,
    OneOf,
    Positive,
    Share,
    check,
    choices,
    key,
)
from tfzoo.optim import MomentumSGD
from tfzoo.recipes.config import ClassificationConfig, RetrievalConfig

CLASS_LOSSES = ("class_weights", "correlation")
PAIR_LOSSES = ("distance_mixture", "focal_pairs")


@dataclass(frozen=True)
class TrainingConfig(Config):
    """The group `optimizer`: the model's optimizer, with a cosine schedule down to `final`."""

    builds = ("tfzoo.optim:MomentumSGD",)

    kind: Annotated[str, OneOf("sgd", "adam")] = key("sgd", "`sgd` or `adam`")
    learning_rate: Positive = key(0.1, "initial learning rate")
    momentum: Fraction = key(0.9, "momentum of `sgd`")
    weight_decay: NonNegative = key(0.0, "coupled decay of all weights; only with `sgd`")
    final: Share = key(0.0, "final learning rate as a fraction of the first")

    def __post_init__(self) -> None:
        super().__post_init__()

        plain = self.kind == "sgd" or self.weight_decay == 0
        check(plain, "weight_decay", self.weight_decay, "0 unless kind is sgd")

    def make(self, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer for a given number of training steps."""
        rate: float | keras.optimizers.schedules.LearningRateSchedule = self.learning_rate
        if self.final < 1:
            rate = keras.optimizers.schedules.CosineDecay(rate, max(steps, 1), alpha=self.final)
        if self.kind == "adam":
            return keras.optimizers.Adam(rate)
        return MomentumSGD(rate, self.momentum, self.weight_decay)


@dataclass(frozen=True)
class AlignmentConfig(Config):
    """The group `ala`: the loss, the controller and when it acts."""

    builds = ("tfzoo.ala.controller:LossController",)

    loss: Annotated[str, OneOf(*CLASS_LOSSES, *PAIR_LOSSES)] = key(
        "class_weights",
        "`class_weights`, `correlation`; for embeddings `distance_mixture`, `focal_pairs`.",
    )
    link: Annotated[str, OneOf(*LINKS)] = key("sigmoid", "link of `correlation`")
    limit: Positive | None = key(None, "limit of the loss's parameters; null: its default")
    scale: Positive = key(1.0, "scale of the loss's steps")
    beta: NonNegative = key(0.1, "see `tfzoo.ala.LossController`, also for the next thirteen keys")
    controller_rate: NonNegative = key(3e-3, "its argument `learning_rate`")
    memory: Count = key(10_000, "see `LossController`")
    batch: Count = key(120, "see `LossController`")
    updates: Count = key(1, "see `LossController`")
    entropy: NonNegative = key(0.0, "see `LossController`")
    gamma: Share = key(0.9, "see `LossController`")
    uniform: bool = key(True, "see `LossController`")
    centred: bool = key(True, "see `LossController`")
    credit: Annotated[str, OneOf(*CREDITS)] = key(
        "level", "`level`, or the paper's `window`; `tfzoo.ala.PAPER` has the matching settings"
    )
    trace: Share = key(1.0, "see `LossController`")
    standardised: bool = key(True, "see `LossController`")
    exploration: NonNegative = key(0.0, "see `LossController`")
    hold: Count = key(20, "see `LossController`")
    effective: Fraction = key(
        0.0,
        "beta of the class-balanced loss (arXiv:1901.05555), from which `class_weights` start "
        "instead of cross-entropy; 0 is cross-entropy",
    )
    controller: str | None = key(None, "a saved `controller.keras` to start with, or null")
    learn: bool = key(True, "whether the controller learns")
    steps_per_action: Count = key(200, "window length K, steps per action")
    evaluations: Count = key(1, "evaluations of the metric in a window")
    warmup_steps: Natural = key(0, "steps with the fixed loss")
    children: Count = key(1, "number of children P; 1 trains the model by `fit` with the callback")
    common: bool = key(
        True,
        "whether several children start from the same weights and see the same batches (common "
        "random numbers), so that only their losses make them differ",
    )
    anchor: bool = key(
        True,
        "whether the first of several children keeps the fixed loss, so that the best child is no "
        "worse than it on validation",
    )
    mode: Annotated[str, OneOf(*MODES)] = key(
        "vectorised", "how several children are computed, see `tfzoo.ala.Children`"
    )

    def make_loss(self, num_classes: int) -> ParametricLoss:
        """The loss; classification losses take logits."""
        settings: dict[str, Any] = {"scale": self.scale}
        if self.limit is not None:
            settings["limit"] = self.limit
        if self.loss == "class_weights":
            return ClassWeightLoss(num_classes, True, **settings)
        if self.loss == "correlation":
            return CorrelationLoss(num_classes, True, self.link, **settings)
        pairs = DistanceMixtureLoss if self.loss == "distance_mixture" else FocalPairLoss
        return pairs(**settings)

    def make_controller(self, seed: int) -> LossController:
        """A new controller, or the saved one."""
        if self.controller is not None:
            from tfzoo import zoo

            saved = zoo.load(self.controller)
            right = isinstance(saved, LossController)
            check(right, "ala.controller", self.controller, "a LossController's file")
            return saved
        names = set(inspect.signature(LossController).parameters)
        settings = {f.name: getattr(self, f.name) for f in fields(self) if f.name in names}
        return LossController(learning_rate=self.controller_rate, seed=seed, **settings)


@dataclass(frozen=True)
class AlignedClassificationConfig(ClassificationConfig):
    """The config of `ala.images`."""

    optimizer: TrainingConfig = key(TrainingConfig(), "see `TrainingConfig`")
    ala: AlignmentConfig = key(AlignmentConfig(), "see `AlignmentConfig`")

    def __post_init__(self) -> None:
        super().__post_init__()

        choices("ala.loss", self.ala.loss, CLASS_LOSSES)
        fits = self.ala.effective == 0 or self.ala.loss == "class_weights"
        check(fits, "ala.effective", self.ala.effective, "0 unless ala.loss is class_weights")
        _check_precision(self)


@dataclass(frozen=True)
class AttributeConfig(AlignedClassificationConfig):
    """The config of `ala.attribute`."""

    attribute: str = key(MISSING, "the attribute to predict, from the data's feature `attributes`")
    image_size: Annotated[int, Ge(8)] = key(64, "side to which images are resized")

    def __post_init__(self) -> None:
        super().__post_init__()

        check(self.rare.classes == 0, "rare.classes", self.rare.classes, "0 for attributes")
        check(self.rare.ratio == 1, "rare.ratio", self.rare.ratio, "1 for attributes")


@dataclass(frozen=True)
class AlignedRetrievalConfig(RetrievalConfig):
    """The config of `ala.retrieval`."""

    optimizer: TrainingConfig = key(TrainingConfig(), "see `TrainingConfig`")
    ala: AlignmentConfig = key(AlignmentConfig("distance_mixture"), "see `AlignmentConfig`")
    per_class: Annotated[int, Ge(2)] = key(4, "training images per class in a batch")

    def __post_init__(self) -> None:
        super().__post_init__()

        choices("ala.loss", self.ala.loss, PAIR_LOSSES)
        _check_precision(self)
        whole = self.batch_size % self.per_class == 0
        says = f"divisible by per_class, {self.per_class}"
        check(whole, "batch_size", self.batch_size, says)


def _check_precision(config: AlignedClassificationConfig | AlignedRetrievalConfig) -> None:
    count = config.ala.children
    says = f"float32 or mixed_bfloat16, since ala.children={count} would share one loss scale"
    fits = config.precision != "mixed_float16" or count == 1
    check(fits, "precision", config.precision, says)
