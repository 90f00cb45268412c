"""The config of the bottleneck's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tfzoo.bottleneck.kernels import ACTIVATIONS
from tfzoo.bottleneck.model import Stable
from tfzoo.config import MISSING, Config, Count, Level, OneOf, Parts, Positive, Spread, check, key
from tfzoo.data.config import PIXEL_MEAN, PIXEL_STD, DataConfig
from tfzoo.training.config import RunConfig

LOSSES = ("squared_error", "cross_entropy")
GIB = 2**30


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The group `model` of `bottleneck.network`; see `BottleneckNetwork`."""

    builds = ("tfzoo.bottleneck.model:BottleneckNetwork",)

    bottleneck_dim: Count = key(MISSING, "d")
    depth: Parts = key(2, "hidden layers of g")
    activation: Annotated[str, OneOf(*ACTIVATIONS)] = key("relu", "of g")
    head_activation: Annotated[str, OneOf(*ACTIVATIONS)] = key("relu", "of f")
    draws: Count = key(1, "independent draws, whose mean and spread are the answer")
    width: Count = key(2048, "units that realise g_0 and f_0")
    centred: bool = key(True, "outputs start at 0")
    freeze_features: bool = key(False, "an ablation")
    rate: Stable = key(0.1, "c in learning rate = c N / (curvature x lambda_max(Theta_F))")
    limit: Stable = key(1.0, "the sharpness above which the learning rate is lowered")
    pixel_mean: Level | None = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_STD, of_data=True)
    unit_rows: bool = key(False, "then scaled to length sqrt(n)")


@dataclass(frozen=True)
class NetworkTaskConfig(RunConfig):
    """The config of `bottleneck.network`.

    The training set is one batch, drawn by the seed: `batch_size` N says how many examples it has.
    An epoch is `steps_per_epoch` steps of gradient descent on all of them.

    The size rule: a step needs about 4 N^2 bytes for the kernel and 40 N x draws x width for the
    halves; both together must be within `memory_gib`.
    """

    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    model: NetworkConfig = key(MISSING, "see `NetworkConfig`")
    loss: Annotated[str, OneOf(*LOSSES)] = key(
        "squared_error", "`squared_error`, regression on one-hot rows, or `cross_entropy`"
    )
    memory_gib: Positive = key(4.0, "see the size rule")
    steps_per_epoch: Count = key(20, "steps of gradient descent in an epoch")

    def __post_init__(self) -> None:
        super().__post_init__()

        check(self.precision == "float32", "precision", self.precision, "float32, for kernels")
        largest = self.largest()
        check(
            self.batch_size <= largest,
            "batch_size",
            self.batch_size,
            f"at most {largest:,} for {self.memory_gib:g} GiB (memory_gib): the kernel grows with "
            "the square of the training examples",
        )

    def largest(self) -> int:
        """The most training examples that the size rule allows."""
        linear, budget = 10.0 * self.model.draws * self.model.width, self.memory_gib * GIB / 4
        # N^2 + linear N = budget
        return max(int((linear**2 / 4 + budget) ** 0.5 - linear / 2), 1)
