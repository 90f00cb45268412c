"""The configs of SDN's three tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge

from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Counts,
    Fraction,
    Level,
    NonNegative,
    OneOf,
    Positive,
    Spread,
    key,
)
from tfzoo.data.config import PIXEL_HALF, PIXEL_MIDDLE, DataConfig
from tfzoo.errors import InputError
from tfzoo.sdn.networks import PRESETS, check_preset
from tfzoo.training.config import RunConfig

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ImagesConfig(RunConfig):
    """The keys common to all three tasks."""

    data: DataConfig = key(MISSING, "see `tfzoo.data.images.image_sets.image_sets`")
    image_size: Count = key(16, "side to which images are resized")
    channels: Annotated[int, OneOf(1, 3)] | None = key(
        None, "1 or 3; null: depending on whether the data are grey or colour", of_data=True
    )
    set_size: Count = key(8, "images per set in a step")
    pixel_mean: Level | None = key(None, PIXEL_MIDDLE, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_HALF, of_data=True)


@dataclass(frozen=True)
class SDNConfig(Config):
    """The group `model` of `sdn.sets`; see `SetDistributionNetwork`."""

    builds = ("tfzoo.sdn.model:SetDistributionNetwork",)

    code_dim: Annotated[int, Ge(2)] = key(64, "number of bits d of a code")
    noise_dim: Count = key(8, "size of an image's noise")
    preset: Annotated[str, OneOf(*PRESETS)] = key("mlp", "`mlp`, `conv` or `sagan`")
    width: Count = key(256, "width of the networks")
    bottleneck: Count = key(8, "bottleneck of the energy's auto-encoder")
    prior_hidden: Counts = key([128, 128], "widths of the prior's hidden layers")
    margin: Positive = key(0.1, "margin in the energy's units")
    prior_to_encoder: NonNegative = key(0.0, "weight of -log p(z) in the encoder's gradient")
    use_code: bool = key(True, "whether the energy sees the code")
    stochastic: bool = key(False, "whether codes are random in training")
    ema: Fraction = key(0.99, "decay rate of the averaged generator")
    adversarial: NonNegative = key(1.0, "weight of the energy in the generator's loss")
    rebuilding: NonNegative = key(0.0, "weight of rebuilding images by the generator (ours)")
    noise_cost: NonNegative = key(0.5, "weight, in rebuilding, of what the noise says of an image")
    balanced: bool = key(False, "whether a code's means are normalised over sets (ours)")
    turned: bool = key(False, "whether sets are turned and mirrored in training (ours)")


@dataclass(frozen=True)
class TwoAdamConfig(Config):
    """The group `optimizer` of `sdn.sets`: Adam for both parts."""

    rate: Positive = key(2e-4, "learning rate of encoder, energy and prior")
    g_rate: Positive = key(2e-4, "learning rate of the generator")
    beta_1: Fraction = key(0.0, "beta_1 of both")
    beta_2: Fraction = key(0.999, "beta_2 of both")
    decay: Annotated[str, OneOf("none", "cosine")] = key(
        "none", "`none`, or `cosine` to 0 over the training"
    )

    def schedule(
        self, rate: float, steps: int
    ) -> float | keras.optimizers.schedules.LearningRateSchedule:
        """The learning rate or its schedule."""
        import keras

        if self.decay == "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, steps)
        return rate


@dataclass(frozen=True)
class SetsConfig(ImagesConfig):
    """The config of `sdn.sets`."""

    model: SDNConfig = key(SDNConfig(), "see `SDNConfig`")
    optimizer: TwoAdamConfig = key(TwoAdamConfig(), "see `TwoAdamConfig`")
    voxel_net: str | None = key(
        None,
        "a trained `sdn.voxels`, as the name of a package weight or a path, that evaluates the "
        "test sets; null: none. The data must have `voxels`.",
        of_data=True,
    )
    verifier: str | None = key(None, "a trained `sdn.verifier`, likewise", of_data=True)
    drawings_judge: str | None = key(
        None,
        "a `sdn.verifier` trained with `corrupted`, likewise, for bright drawings on a dark ground",
        of_data=True,
    )
    test_size: Count | None = key(None, "images per half of a test set; null: `set_size`")
    test_sets: Annotated[int, Ge(2)] | None = key(
        None, "maximum number of test sets for results; null: all"
    )
    monitor_sets: Count = key(64, "number of training sets that are monitored, see `CodeMonitor`")
    monitor_every: Count = key(1, "epochs between evaluations")

    def __post_init__(self) -> None:
        super().__post_init__()

        try:
            check_preset(self.model.preset, self.image_size)
        except ValueError as error:
            raise InputError(str(error)) from None

    @property
    def half(self) -> int:
        """Number of images per half of a test set."""
        return self.test_size or self.set_size


@dataclass(frozen=True)
class JudgeConfig(ImagesConfig):
    """The config of `sdn.voxels` and `sdn.verifier`."""

    width: Count = key(256, "see `make_voxel_net`, `make_verifier`")
    dim: Count = key(32, "size of a verifier's embedding")
    rate: Positive = key(1e-3, "Adam's learning rate")
    corrupted: Fraction = key(
        0.0,
        "share of a verifier's images that are corrupted and belong to no set; with any, the "
        "others are slightly blurred and noisy, as a person still recognises those",
    )
    generated_by: str | None = key(
        None, "a trained `sdn.sets`, whose reconstructions are among the corrupted images"
    )
    identities: Count = key(
        1000, "number of training sets, for a dry run of a verifier whose data are not prepared"
    )
