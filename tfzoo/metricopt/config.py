"""The configs of MetricOpt's three tasks; `epochs` are of the base model's own training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tfzoo.config import MISSING, check, choices
from tfzoo.metricopt.adapters import KINDS
from tfzoo.optim import OptimizerConfig
from tfzoo.recipes.config import ClassificationConfig, RetrievalConfig


@dataclass(frozen=True)
class FineTuneConfig:
    """The group `finetune`: adapters, inner optimizer and MetricOpt's settings.

    Attributes:
        layers: names or patterns of layers that get adapters.
        kind: of the adapters, see `tfzoo.metricopt.attach_adapters`.
        optimizer: `sgd` (momentum 0.9) or `adam`.
        learning_rate: of it.
        weight: lambda, of the value function's gradient.
        steps: after the trajectories.
        trajectories: see `tfzoo.metricopt.MetricOpt`, as the next four.
        trajectory_steps: see there.
        observe_every: see there.
        refit_every: see there.
        init_std: see there.
    """

    layers: list[str] = MISSING
    kind: str = "film"
    optimizer: str = "sgd"
    learning_rate: float = 0.02
    weight: float = 0.3
    steps: int = 400
    trajectories: int = 12
    trajectory_steps: int = 60
    observe_every: int = 5
    refit_every: int = 4
    init_std: float = 0.3

    def __post_init__(self):
        """Checks the ranges."""
        choices("finetune.kind", self.kind, KINDS)
        choices("finetune.optimizer", self.optimizer, ("sgd", "adam"))
        for name in ("steps", "trajectories", "trajectory_steps", "observe_every", "refit_every"):
            check(getattr(self, name) >= 1, f"finetune.{name}", getattr(self, name), "at least 1")
        for name in ("learning_rate", "init_std"):
            check(getattr(self, name) > 0, f"finetune.{name}", getattr(self, name), "above 0")
        check(self.weight >= 0, "finetune.weight", self.weight, "at least 0")

    @property
    def total(self) -> int:
        """Steps of the whole fine-tuning."""
        return self.trajectories * self.trajectory_steps + self.steps

    def callback_settings(self) -> dict[str, Any]:
        """Keywords of `MetricOpt`."""
        names = ("trajectories", "trajectory_steps", "observe_every", "refit_every", "init_std")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class TunedClassificationConfig(ClassificationConfig):
    """The config of `metricopt.images` and `metricopt.table`.

    Attributes:
        optimizer: of the base model's training, see `tfzoo.optim.OptimizerConfig`.
        finetune: see `FineTuneConfig`.
    """

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    finetune: FineTuneConfig = MISSING


@dataclass(frozen=True)
class TunedRetrievalConfig(RetrievalConfig):
    """The config of `metricopt.retrieval`.

    Attributes:
        optimizer: of the base model's training, see `tfzoo.optim.OptimizerConfig`.
        finetune: see `FineTuneConfig`.
    """

    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    finetune: FineTuneConfig = MISSING
