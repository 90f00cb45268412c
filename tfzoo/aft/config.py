"""The configs of AFT's three tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfzoo.aft.block import VARIANTS
from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.optim import OptimizerConfig
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class MixerConfig:
    """The keys of `model` that all three tasks have.

    Attributes:
        dim: width d.
        depth: blocks.
        variant: `full`, `simple`, `local`, `conv`, or `attention` for the baseline.
        window: s of `local`.
        bias_dim: d' of `full` and `local`.
        num_heads: of `conv` and `attention`.
        kernel_size: of `conv`.
        dropout: in the blocks.
    """

    dim: int = MISSING
    depth: int = MISSING
    variant: str = "local"
    window: int = 32
    bias_dim: int = 64
    num_heads: int = 4
    kernel_size: int = 11
    dropout: float = 0.0

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("dim", "depth", "bias_dim", "num_heads"):
            value = getattr(self, name)
            check(value >= 1, f"model.{name}", value, "at least 1")
        choices("model.variant", self.variant, VARIANTS)
        check(self.window >= 0, "model.window", self.window, "at least 0")
        size = self.kernel_size
        check(size >= 1 and size % 2 == 1, "model.kernel_size", size, "odd and at least 1")
        check(0 <= self.dropout < 1, "model.dropout", self.dropout, "from 0 to below 1")
        if self.variant in ("conv", "attention"):
            heads = self.num_heads
            check(self.dim % heads == 0, "model.num_heads", heads, f"a divisor of dim={self.dim}")


@dataclass(frozen=True)
class ClassifierModelConfig(MixerConfig):
    """The group `model` of `aft.classifier`.

    Attributes:
        image_size: side that images are resized to.
        patch_size: side of a patch.
        mlp_ratio: width of the feed-forward layers over `dim`.
        drop_path: stochastic depth in the last block.
        pixel_mean: subtracted from raw pixels, one number or one a channel.
        pixel_std: then divided by.
    """

    image_size: int = MISSING
    patch_size: int = MISSING
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    pixel_mean: list[float] = field(default_factory=lambda: [127.5])
    pixel_std: list[float] = field(default_factory=lambda: [127.5])

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        size, patch = self.image_size, self.patch_size
        check(size >= 1, "model.image_size", size, "at least 1")
        good = 1 <= patch <= size and size % patch == 0
        check(good, "model.patch_size", patch, f"a divisor of image_size={size}")
        check(self.mlp_ratio > 0, "model.mlp_ratio", self.mlp_ratio, "above 0")
        check(0 <= self.drop_path < 1, "model.drop_path", self.drop_path, "from 0 to below 1")
        check(all(s > 0 for s in self.pixel_std), "model.pixel_std", self.pixel_std, "above 0")


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """The config of `aft.classifier`.

    Attributes:
        model: see `ClassifierModelConfig`.
        optimizer: see `tfzoo.optim.OptimizerConfig`.
        data: see `tfzoo.data.DataConfig`.
        augment: `none`, `shift` (by up to one pixel in eight), or `deit` (crop, flip, RandAugment,
            erasing, mixup or cutmix).
        repeats: repeated augmentation: so many differently augmented copies follow each other.
        label_smoothing: of the targets.
    """

    model: ClassifierModelConfig = MISSING
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = MISSING
    augment: str = "none"
    repeats: int = 1
    label_smoothing: float = 0.0

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        choices("augment", self.augment, ("none", "shift", "deit"))
        smoothing = self.label_smoothing
        check(0 <= smoothing < 1, "label_smoothing", smoothing, "from 0 to below 1")
        good = 1 <= self.repeats <= self.batch_size
        check(good, "repeats", self.repeats, "from 1 to batch_size")


@dataclass(frozen=True)
class LanguageModelConfig(MixerConfig):
    """The group `model` of `aft.language_model`.

    Attributes:
        max_length: longest sequence T.
        factorized: False keeps the position bias whole.
        hidden_dim: width of the feed-forward layers; null is 4 `dim`.
    """

    max_length: int = MISSING
    factorized: bool = True
    hidden_dim: int | None = None

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        check(self.max_length >= 2, "model.max_length", self.max_length, "at least 2")
        if self.hidden_dim is not None:
            check(self.hidden_dim >= 1, "model.hidden_dim", self.hidden_dim, "at least 1, or null")


@dataclass(frozen=True)
class TextConfig(RunConfig):
    """The config of `aft.language_model`.

    Attributes:
        model: see `LanguageModelConfig`.
        optimizer: see `tfzoo.optim.OptimizerConfig`.
        data: see `tfzoo.data.DataConfig`; a data set of byte text.
    """

    model: LanguageModelConfig = MISSING
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = MISSING


@dataclass(frozen=True)
class ImageModelConfig(RunConfig):
    """The config of `aft.image_model`.

    Attributes:
        model: see `MixerConfig`.
        optimizer: see `tfzoo.optim.OptimizerConfig`.
        data: see `tfzoo.data.DataConfig`; a data set of images of one size.
        levels: values of a sub-pixel.
        augment: `none`, or `flip_shift`: mirrored, then one value of -10 to 10 added (sec. 5.1).
    """

    model: MixerConfig = MISSING
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    data: DataConfig = MISSING
    levels: int = 256
    augment: str = "none"

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        check(2 <= self.levels <= 256, "levels", self.levels, "from 2 to 256")
        choices("augment", self.augment, ("none", "flip_shift"))
