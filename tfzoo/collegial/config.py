"""The configs of Collegial Ensembles' two tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfzoo.collegial.resnext import stage_blocks
from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.errors import InputError
from tfzoo.optim import OptimizerConfig, StepsConfig
from tfzoo.training.config import RunConfig

AUGMENTATIONS = ("none", "shift", "flip_crop", "inception")


@dataclass(frozen=True)
class ImageConfig(RunConfig):
    """The keys that both tasks have.

    Attributes:
        data: see `tfzoo.data.DataConfig`.
        augment: `none`, `shift` (by up to one pixel in eight), `flip_crop` (flip, random crop of
            the image padded by one pixel in eight), or `inception` (random resized crop, colour
            jitter 0.4, flip).
    """

    data: DataConfig = MISSING
    augment: str = "none"

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        choices("augment", self.augment, AUGMENTATIONS)


@dataclass(frozen=True)
class ResNeXtConfig:
    """The group `model` of `collegial.resnext`.

    Attributes:
        cardinality: members m of each block.
        base_width: width n of a member in the first stage.
        depth: layers.
        family: `cifar` or `imagenet`.
        stages: of the `cifar` family.
        image_size: side of the images.
        pixel_mean: subtracted from raw pixels, one number or one a channel.
        pixel_std: then divided by.
    """

    cardinality: int = MISSING
    base_width: int = MISSING
    depth: int = 29
    family: str = "cifar"
    stages: int = 3
    image_size: int = 32
    pixel_mean: list[float] = field(default_factory=lambda: [127.5])
    pixel_std: list[float] = field(default_factory=lambda: [127.5])

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("cardinality", "base_width", "stages", "image_size"):
            value = getattr(self, name)
            check(value >= 1, f"model.{name}", value, "at least 1")
        check(all(s > 0 for s in self.pixel_std), "model.pixel_std", self.pixel_std, "above 0")
        try:
            stage_blocks(self.family, self.depth, self.stages)
        except ValueError as error:
            raise InputError(f"model.{error}") from None


@dataclass(frozen=True)
class ResNeXtTaskConfig(ImageConfig):
    """The config of `collegial.resnext`.

    Attributes:
        model: see `ResNeXtConfig`.
        optimizer: see `tfzoo.optim.StepsConfig`.
    """

    model: ResNeXtConfig = MISSING
    optimizer: StepsConfig = field(default_factory=StepsConfig)


@dataclass(frozen=True)
class MLPConfig:
    """The group `model` of `collegial.mlp`.

    Attributes:
        members: m.
        width: n of each hidden layer of a member.
        depth: hidden layers.
        activation: of the hidden layers.
        parametrization: `ntk` or `standard`.
        use_bias: biases in all layers.
        pixel_mean: subtracted from raw pixels.
        pixel_std: then divided by.
    """

    members: int = MISSING
    width: int = MISSING
    depth: int = 2
    activation: str = "relu"
    parametrization: str = "standard"
    use_bias: bool = True
    pixel_mean: float = 127.5
    pixel_std: float = 127.5

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("members", "width", "depth"):
            value = getattr(self, name)
            check(value >= 1, f"model.{name}", value, "at least 1")
        choices("model.activation", self.activation, ("relu", "tanh", "gelu"))
        choices("model.parametrization", self.parametrization, ("standard", "ntk"))
        check(self.pixel_std > 0, "model.pixel_std", self.pixel_std, "above 0")


@dataclass(frozen=True)
class MLPTaskConfig(ImageConfig):
    """The config of `collegial.mlp`.

    Attributes:
        model: see `MLPConfig`.
        optimizer: see `tfzoo.optim.OptimizerConfig`.
    """

    model: MLPConfig = MISSING
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
