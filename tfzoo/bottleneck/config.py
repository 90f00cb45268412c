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

    bottleneck_dim: Count = key(MISSING, "number of units d in the bottleneck")
    depth: Parts = key(2, "number of hidden layers of g")
    activation: Annotated[str, OneOf(*ACTIVATIONS)] = key("relu", "activation of g")
    head_activation: Annotated[str, OneOf(*ACTIVATIONS)] = key("relu", "activation of f")
    draws: Count = key(1, "independent draws, of which mean and spread are returned")
    width: Count = key(2048, "units per layer with which g_0 and f_0 are realised")
    centred: bool = key(True, "outputs start at 0")
    freeze_features: bool = key(False, "keep the features fixed (an ablation)")
    rate: Stable = key(0.1, "c in learning rate = c N / (curvature x lambda_max(Theta_F))")
    limit: Stable = key(1.0, "sharpness above which the learning rate is reduced")
    pixel_mean: Level | None = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_STD, of_data=True)
    unit_rows: bool = key(False, "scale inputs to length sqrt(n)")


@dataclass(frozen=True)
class NetworkTaskConfig(RunConfig):
    """The config of `bottleneck.network`.

    The training set is one batch of `batch_size` N examples, drawn by the seed. An epoch has
    `steps_per_epoch` steps of gradient descent on all of them.

    The size rule: a step needs about 4 N^2 bytes for the kernel and 40 N x draws x width for the
    halves; their sum must fit into `memory_gib`.
    """

    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    model: NetworkConfig = key(MISSING, "see `NetworkConfig`")
    loss: Annotated[str, OneOf(*LOSSES)] = key(
        "squared_error", "`squared_error`, regression on one-hot rows, or `cross_entropy`"
    )
    memory_gib: Positive = key(4.0, "memory for the size rule")
    steps_per_epoch: Count = key(20, "steps of gradient descent per epoch")

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
        """The maximum number of training examples that the size rule allows."""
        linear, budget = 10.0 * self.model.draws * self.model.width, self.memory_gib * GIB / 4
        # N^2 + linear N = budget
        return max(int((linear**2 / 4 + budget) ** 0.5 - linear / 2), 1)
