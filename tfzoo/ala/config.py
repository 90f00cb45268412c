"""The configs of ALA's tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from tfzoo.ala.children import MODES
from tfzoo.ala.controller import LossController
from tfzoo.ala.losses import LINKS, ClassWeightLoss, CorrelationLoss
from tfzoo.ala.metric_losses import DistanceMixtureLoss, FocalPairLoss
from tfzoo.ala.parametric import ParametricLoss
from tfzoo.config import MISSING, check, choices
from tfzoo.optim import MomentumSGD
from tfzoo.recipes.config import ClassificationConfig, RetrievalConfig

CLASS_LOSSES = ("class_weights", "correlation")
PAIR_LOSSES = ("distance_mixture", "focal_pairs")


@dataclass(frozen=True)
class TrainingConfig:
    """The group `optimizer`: of the model, with a cosine to `final`.

    Attributes:
        kind: `sgd` or `adam`.
        momentum: of `sgd`.
        learning_rate: the first.
        weight_decay: of all weights, coupled; of `sgd` only.
        final: last learning rate as a share of the first.
    """

    kind: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    final: float = 0.0

    def __post_init__(self):
        """Checks the ranges."""
        choices("optimizer.kind", self.kind, ("sgd", "adam"))
        check(self.learning_rate > 0, "optimizer.learning_rate", self.learning_rate, "above 0")
        check(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "from 0 to below 1")
        check(self.weight_decay >= 0, "optimizer.weight_decay", self.weight_decay, "at least 0")
        plain = self.kind == "sgd" or self.weight_decay == 0
        check(plain, "optimizer.weight_decay", self.weight_decay, "0 unless optimizer.kind is sgd")
        check(0 <= self.final <= 1, "optimizer.final", self.final, "from 0 to 1")

    def make(self, steps: int) -> keras.optimizers.Optimizer:
        """The optimizer of a training of so many steps."""
        rate: Any = self.learning_rate
        if self.final < 1:
            rate = keras.optimizers.schedules.CosineDecay(rate, max(steps, 1), alpha=self.final)
        if self.kind == "adam":
            return keras.optimizers.Adam(rate)
        return MomentumSGD(rate, self.momentum, self.weight_decay)


@dataclass(frozen=True)
class AlignmentConfig:
    """The group `ala`: the loss, the controller and when it acts.

    Attributes:
        loss: `class_weights`, `correlation`; of embeddings `distance_mixture`, `focal_pairs`.
        link: of `correlation`.
        limit: of the loss; null is its own.
        scale: of the loss's steps.
        beta: see `tfzoo.ala.LossController`, as the next six.
        controller_rate: its `learning_rate`.
        memory: see there.
        batch: see there.
        updates: see there.
        entropy: see there.
        gamma: see there.
        controller: a saved `controller.keras` to begin with, or null.
        learn: whether the controller learns.
        steps_per_action: K.
        evaluations: of the metric in a window.
        warmup_steps: of the fixed loss.
        children: P; 1 trains the model by `fit` with the callback.
        mode: of several children, see `tfzoo.ala.Children`.
    """

    loss: str = "class_weights"
    link: str = "sigmoid"
    limit: float | None = None
    scale: float = 1.0
    beta: float = 0.1
    controller_rate: float = 1e-3
    memory: int = 4000
    batch: int = 8
    updates: int = 1
    entropy: float = 0.01
    gamma: float = 0.9
    controller: str | None = None
    learn: bool = True
    steps_per_action: int = 200
    evaluations: int = 3
    warmup_steps: int = 0
    children: int = 1
    mode: str = "vectorised"

    def __post_init__(self):
        """Checks what the objects made of it do not."""
        choices("ala.loss", self.loss, (*CLASS_LOSSES, *PAIR_LOSSES))
        choices("ala.link", self.link, LINKS)
        choices("ala.mode", self.mode, MODES)
        check(self.children >= 1, "ala.children", self.children, "at least 1")

    def make_loss(self, num_classes: int) -> ParametricLoss:
        """The loss, of logits where it is of classes."""
        settings: dict[str, Any] = {"scale": self.scale}
        if self.limit is not None:
            settings["limit"] = self.limit
        if self.loss == "class_weights":
            return ClassWeightLoss(num_classes, True, **settings)
        if self.loss == "correlation":
            return CorrelationLoss(num_classes, True, self.link, **settings)
        made = DistanceMixtureLoss if self.loss == "distance_mixture" else FocalPairLoss
        return made(**settings)

    def make_controller(self, seed: int) -> LossController:
        """A new controller, or the saved one."""
        if self.controller is not None:
            from tfzoo import zoo

            found = zoo.load(self.controller)
            right = isinstance(found, LossController)
            check(right, "ala.controller", self.controller, "the file of a LossController")
            return found
        names = ("beta", "memory", "batch", "updates", "entropy", "gamma")
        settings = {name: getattr(self, name) for name in names}
        return LossController(learning_rate=self.controller_rate, seed=seed, **settings)


@dataclass(frozen=True)
class AlignedClassificationConfig(ClassificationConfig):
    """The config of `ala.images`.

    Attributes:
        optimizer: see `TrainingConfig`.
        ala: see `AlignmentConfig`.
    """

    optimizer: TrainingConfig = field(default_factory=TrainingConfig)
    ala: AlignmentConfig = field(default_factory=AlignmentConfig)

    def __post_init__(self):
        """Checks that the loss is one of classes."""
        super().__post_init__()
        choices("ala.loss", self.ala.loss, CLASS_LOSSES)


@dataclass(frozen=True)
class AttributeConfig(AlignedClassificationConfig):
    """The config of `ala.attribute`.

    Attributes:
        attribute: the one that is told, of the data's feature `attributes`.
        image_size: side that images are brought to.
    """

    attribute: str = MISSING
    image_size: int = 64

    def __post_init__(self):
        """Checks that nothing is asked that this task has not."""
        super().__post_init__()
        check(self.image_size >= 8, "image_size", self.image_size, "at least 8")
        check(self.rare.classes == 0, "rare.classes", self.rare.classes, "0 for attributes")


@dataclass(frozen=True)
class AlignedRetrievalConfig(RetrievalConfig):
    """The config of `ala.retrieval`.

    Attributes:
        optimizer: see `TrainingConfig`.
        ala: see `AlignmentConfig`.
        per_class: training images of each class in a batch.
    """

    optimizer: TrainingConfig = field(default_factory=TrainingConfig)
    ala: AlignmentConfig = field(default_factory=lambda: AlignmentConfig("distance_mixture"))
    per_class: int = 4

    def __post_init__(self):
        """Checks that the loss is one of embeddings, and that batches hold whole classes."""
        super().__post_init__()
        choices("ala.loss", self.ala.loss, PAIR_LOSSES)
        check(self.per_class >= 2, "per_class", self.per_class, "at least 2")
        whole = self.batch_size % self.per_class == 0
        says = f"divisible by per_class, {self.per_class}"
        check(whole, "batch_size", self.batch_size, says)
