"""The configs of MetricOpt's three tasks; `epochs` refers to the base model's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from tfzoo.config import MISSING, Config, Count, NonNegative, OneOf, Positive, key
from tfzoo.metricopt.adapters import KINDS
from tfzoo.metricopt.callback import VALUES
from tfzoo.optim import OptimizerConfig
from tfzoo.recipes.config import ClassificationConfig, RetrievalConfig


@dataclass(frozen=True)
class FineTuneConfig(Config):
    """The group `finetune`: adapters, inner optimizer and MetricOpt's settings."""

    builds = (
        "tfzoo.metricopt.callback:MetricOpt",
        "tfzoo.metricopt.optimizer:MetricOptimizer",
        "tfzoo.metricopt.model:attach_adapters",
    )

    layers: list[str] = key(MISSING, "names or patterns of the layers that get adapters")
    kind: Annotated[str, OneOf(*KINDS)] = key(
        "film", "kind of the adapters, see `tfzoo.metricopt.attach_adapters`"
    )
    optimizer: Annotated[str, OneOf("sgd", "adam")] = key("sgd", "`sgd` (momentum 0.9) or `adam`")
    learning_rate: Positive = key(0.02, "learning rate of the inner optimizer")
    weight: NonNegative = key(0.3, "weight lambda of the value function's gradient")
    steps: Count = key(400, "fine-tuning steps after the trajectories")
    trajectories: Count = key(12, "see `tfzoo.metricopt.MetricOpt`, also for the next four")
    trajectory_steps: Count = key(60, "see `MetricOpt`")
    observe_every: Count = key(5, "see `MetricOpt`")
    refit_every: Count = key(4, "see `MetricOpt`")
    init_std: Positive = key(0.3, "see `MetricOpt`")
    value: Annotated[str, OneOf(*VALUES)] = key(
        "network",
        "`network`, the paper's, or `trust_region`, ours; see `tfzoo.metricopt.MetricOpt`",
    )

    @property
    def total(self) -> int:
        """Steps of the whole fine-tuning."""
        return self.trajectories * self.trajectory_steps + self.steps

    def callback_settings(self) -> dict[str, Any]:
        """Keyword arguments for `MetricOpt`."""
        names = (
            "trajectories",
            "trajectory_steps",
            "observe_every",
            "refit_every",
            "init_std",
            "value",
        )
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class TunedClassificationConfig(ClassificationConfig):
    """The config of `metricopt.images` and `metricopt.table`."""

    optimizer: OptimizerConfig = key(
        OptimizerConfig(),
        "optimizer of the base model's training, see `tfzoo.optim.OptimizerConfig`",
    )
    finetune: FineTuneConfig = key(MISSING, "see `FineTuneConfig`")


@dataclass(frozen=True)
class TunedRetrievalConfig(RetrievalConfig):
    """The config of `metricopt.retrieval`."""

    optimizer: OptimizerConfig = key(
        OptimizerConfig(),
        "optimizer of the base model's training, see `tfzoo.optim.OptimizerConfig`",
    )
    finetune: FineTuneConfig = key(MISSING, "see `FineTuneConfig`")
