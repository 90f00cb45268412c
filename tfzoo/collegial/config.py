"""The configs of Collegial Ensembles' two tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tfzoo.collegial.resnext import stage_blocks
from tfzoo.config import MISSING, Config, Count, Level, OneOf, Parts, Spread, key
from tfzoo.data.config import PIXEL_MEAN, PIXEL_STD, DataConfig, PixelMean, PixelStd
from tfzoo.errors import InputError
from tfzoo.optim import OptimizerConfig, StepsConfig
from tfzoo.training.config import RunConfig

AUGMENTATIONS = ("none", "shift", "flip_crop", "inception")


@dataclass(frozen=True)
class ImageConfig(RunConfig):
    """The keys common to both tasks."""

    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    augment: Annotated[str, OneOf(*AUGMENTATIONS)] = key(
        "none",
        "`none`, `shift` (by up to one pixel in eight), `flip_crop` (flip, random crop of the "
        "image padded by one pixel in eight), or `inception` (random resized crop, colour "
        "jitter 0.4, flip).",
    )


@dataclass(frozen=True)
class ResNeXtConfig(Config):
    """The group `model` of `collegial.resnext`."""

    builds = ("tfzoo.collegial.resnext:CollegialResNeXt",)

    cardinality: Count = key(MISSING, "number of members m per block")
    base_width: Count = key(MISSING, "width n of a member in the first stage")
    depth: Parts = key(29, "layers; 38 with 4 stages is the official code's ImageNet-64 network")
    family: str = key("cifar", "`cifar` or `imagenet`")
    stages: Parts = key(3, "stages of the `cifar` family")
    image_size: Count = key(32, "side of the images")
    pixel_mean: PixelMean = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: PixelStd = key(None, PIXEL_STD, of_data=True)

    def __post_init__(self) -> None:
        super().__post_init__()

        try:
            stage_blocks(self.family, self.depth, self.stages)
        except ValueError as error:
            raise InputError(str(error)) from None


@dataclass(frozen=True)
class ResNeXtTaskConfig(ImageConfig):
    """The config of `collegial.resnext`."""

    model: ResNeXtConfig = key(MISSING, "see `ResNeXtConfig`")
    optimizer: StepsConfig = key(StepsConfig(), "see `tfzoo.optim.StepsConfig`")


@dataclass(frozen=True)
class MLPConfig(Config):
    """The group `model` of `collegial.mlp`."""

    builds = ("tfzoo.collegial.mlp:CollegialMLP",)

    members: Count = key(MISSING, "number of members m")
    width: Count = key(MISSING, "width n of each hidden layer of a member")
    depth: Parts = key(2, "number of hidden layers")
    activation: Annotated[str, OneOf("relu", "tanh", "gelu")] = key(
        "relu", "activation of the hidden layers"
    )
    parametrization: Annotated[str, OneOf("standard", "ntk")] = key("ntk", "`ntk` or `standard`")
    use_bias: bool = key(False, "whether all layers have biases")
    pixel_mean: Level | None = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_STD, of_data=True)


@dataclass(frozen=True)
class MLPTaskConfig(ImageConfig):
    """The config of `collegial.mlp`."""

    model: MLPConfig = key(MISSING, "see `MLPConfig`")
    optimizer: OptimizerConfig = key(OptimizerConfig(), "see `tfzoo.optim.OptimizerConfig`")
