"""The configs of AFT's three tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from tfzoo.aft.block import Variant
from tfzoo.aft.classifier import Ratio
from tfzoo.aft.layers import Odd
from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Fraction,
    Natural,
    OneOf,
    Parts,
    check,
    key,
)
from tfzoo.data.config import PIXEL_MEAN, PIXEL_STD, DataConfig, PixelMean, PixelStd
from tfzoo.optim import OptimizerConfig
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class MixerConfig(Config):
    """The keys of `model` common to all three tasks."""

    builds = ("tfzoo.aft.autoregressive:AFTImageModel",)

    dim: Count = key(MISSING, "width d")
    depth: Parts = key(MISSING, "number of blocks")
    variant: Variant = key(
        "local", "`full`, `simple`, `local`, `conv`, or `attention` for the baseline"
    )
    window: Natural = key(32, "window s of `local`")
    bias_dim: Count = key(64, "d' of `full` and `local`")
    num_heads: Count = key(4, "heads of `conv` and `attention`")
    kernel_size: Odd = key(11, "kernel size of `conv`")
    dropout: Fraction = key(0.0, "dropout rate in the blocks")

    def __post_init__(self) -> None:
        super().__post_init__()

        if self.variant in ("conv", "attention"):
            heads = self.num_heads
            check(self.dim % heads == 0, "num_heads", heads, f"a divisor of dim={self.dim}")


@dataclass(frozen=True)
class ClassifierModelConfig(MixerConfig):
    """The group `model` of `aft.classifier`."""

    builds = ("tfzoo.aft.classifier:AFTClassifier",)

    image_size: Count = key(MISSING, "side that images are resized to")
    patch_size: Count = key(MISSING, "side of a patch")
    variant: Variant = key("full", "see `MixerConfig`")
    bias_dim: Count = key(128, "d' of `full` and `local`")
    mlp_ratio: Ratio = key(4.0, "width of the feed-forward layers as a multiple of `dim`")
    drop_path: Fraction = key(0.0, "stochastic depth in the last block")
    pixel_mean: PixelMean = key(None, PIXEL_MEAN, of_data=True)
    pixel_std: PixelStd = key(None, PIXEL_STD, of_data=True)

    def __post_init__(self) -> None:
        super().__post_init__()

        size, patch = self.image_size, self.patch_size
        check(size % patch == 0, "patch_size", patch, f"a divisor of image_size={size}")


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """The config of `aft.classifier`."""

    model: ClassifierModelConfig = key(MISSING, "see `ClassifierModelConfig`")
    optimizer: OptimizerConfig = key(OptimizerConfig(), "see `tfzoo.optim.OptimizerConfig`")
    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    augment: Annotated[str, OneOf("none", "shift", "deit")] = key(
        "none",
        "`none`, `shift` (by up to one pixel in eight), or `deit` (crop, flip, RandAugment, "
        "erasing, mixup or cutmix).",
    )
    repeats: Count = key(1, "augmented copies per image (repeated augmentation)")
    label_smoothing: Fraction = key(0.0, "smoothing of the targets")

    def __post_init__(self) -> None:
        super().__post_init__()

        check(self.repeats <= self.batch_size, "repeats", self.repeats, "from 1 to batch_size")


@dataclass(frozen=True)
class LanguageModelConfig(MixerConfig):
    """The group `model` of `aft.language_model`."""

    builds = ("tfzoo.aft.autoregressive:AFTLanguageModel",)

    max_length: Annotated[int, Ge(2)] = key(MISSING, "longest sequence T")
    factorized: bool = key(True, "false keeps the full position bias")
    hidden_dim: Count | None = key(None, "width of the feed-forward layers; null: 4 `dim`")


@dataclass(frozen=True)
class TextConfig(RunConfig):
    """The config of `aft.language_model`."""

    model: LanguageModelConfig = key(MISSING, "see `LanguageModelConfig`")
    optimizer: OptimizerConfig = key(OptimizerConfig(), "see `tfzoo.optim.OptimizerConfig`")
    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`; a data set of byte text")


@dataclass(frozen=True)
class ImageModelConfig(RunConfig):
    """The config of `aft.image_model`."""

    model: MixerConfig = key(MISSING, "see `MixerConfig`")
    optimizer: OptimizerConfig = key(OptimizerConfig(), "see `tfzoo.optim.OptimizerConfig`")
    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`; images must have equal size")
    levels: Annotated[int, Ge(2), Le(256)] = key(256, "values of a sub-pixel", of_data=True)
    augment: Annotated[str, OneOf("none", "flip_shift")] = key(
        "none", "`none`, or `flip_shift`: mirrored, then one value of -10 to 10 added (sec. 5.1)"
    )
