"""The config of the bottleneck's task."""

from __future__ import annotations

from dataclasses import dataclass

from tfzoo.bottleneck.kernels import ACTIVATIONS
from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.training.config import RunConfig

LOSSES = ("squared_error", "cross_entropy")
GIB = 2**30


@dataclass(frozen=True)
class NetworkConfig:
    """The group `model` of `bottleneck.network`; see `BottleneckNetwork`.

    Attributes:
        bottleneck_dim: d.
        depth: hidden layers of g.
        activation: of g.
        head_activation: of f.
        draws: independent draws, whose mean and spread are the answer.
        width: units that realise g_0 and f_0.
        centred: outputs start at 0.
        freeze_features: an ablation.
        rate: c in learning rate = c N / (curvature x lambda_max(Theta_F)).
        limit: the sharpness above which the learning rate is lowered.
        pixel_mean: subtracted from raw pixels.
        pixel_std: then divided by.
        unit_rows: then scaled to length sqrt(n).
    """

    bottleneck_dim: int = MISSING
    depth: int = 2
    activation: str = "relu"
    head_activation: str = "relu"
    draws: int = 4
    width: int = 2048
    centred: bool = True
    freeze_features: bool = False
    rate: float = 0.1
    limit: float = 1.0
    pixel_mean: float = 127.5
    pixel_std: float = 127.5
    unit_rows: bool = True

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("bottleneck_dim", "depth", "draws", "width"):
            value = getattr(self, name)
            check(value >= 1, f"model.{name}", value, "at least 1")
        for name in ("activation", "head_activation"):
            choices(f"model.{name}", getattr(self, name), ACTIVATIONS)
        for name in ("rate", "limit"):
            value = getattr(self, name)
            check(0 < value < 2, f"model.{name}", value, "above 0 and below 2")
        check(self.pixel_std > 0, "model.pixel_std", self.pixel_std, "above 0")


@dataclass(frozen=True)
class NetworkTaskConfig(RunConfig):
    """The config of `bottleneck.network`.

    The training set is one batch, drawn by the seed: `batch_size` N says how many examples it has.
    An epoch is `steps_per_epoch` steps of gradient descent on all of them.

    The size rule: a step needs about 4 N^2 bytes for the kernel and 40 N x draws x width for the
    halves; both together must be within `memory_gib`.

    Attributes:
        data: see `tfzoo.data.DataConfig`.
        model: see `NetworkConfig`.
        loss: `squared_error`, regression on one-hot rows, or `cross_entropy`.
        memory_gib: see the size rule.
    """

    data: DataConfig = MISSING
    model: NetworkConfig = MISSING
    loss: str = "squared_error"
    memory_gib: float = 4.0
    steps_per_epoch: int | None = 20

    def __post_init__(self):
        """Checks the ranges and the size rule."""
        super().__post_init__()
        choices("loss", self.loss, LOSSES)
        check(self.memory_gib > 0, "memory_gib", self.memory_gib, "above 0")
        check(self.steps_per_epoch is not None, "steps_per_epoch", None, "a number of steps")
        check(self.precision == "float32", "precision", self.precision, "float32, for kernels")
        check(self.distribute == "none", "distribute", self.distribute, "none")
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
