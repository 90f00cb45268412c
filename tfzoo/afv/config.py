"""The config of AFV's task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from tfzoo.afv.networks import SIZES
from tfzoo.afv.objectives import Head, Objective, check_head
from tfzoo.afv.readout import ROUTES
from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Factor,
    Fraction,
    Level,
    NonNegative,
    OneOf,
    Positive,
    Rising,
    Spread,
    key,
)
from tfzoo.data.config import PIXEL_HALF, PIXEL_MIDDLE, DataConfig
from tfzoo.training.config import RunConfig

AUGMENTATIONS = ("none", "flip_crop", "official")
METHODS = ("ridge", "hinge")


@dataclass(frozen=True)
class GANConfig(Config):
    """The group `model` of `afv.classifier`; see `EnergyGAN`."""

    builds = ("tfzoo.afv.model:EnergyGAN",)

    image_size: Annotated[int, OneOf(*SIZES)] = key(32, "side of the networks' images")
    width: Count = key(256, "width of D's convolutions")
    generator_width: Count | None = key(None, "width of G's convolutions; null: `width`")
    latent: Count = key(256, "length of z")
    objective: Objective = key("lsgan", "`lsgan`, `hinge` or `vgan`")
    head: Head | None = key(None, "`sigmoid`, `logit` or `experts`; null: the objective's default")
    mcmc_weight: NonNegative = key(0.0, "gamma of the MCMC-inspired term")
    mcmc_noise: NonNegative = key(0.0, "standard deviation of the term's noise")
    ema: Fraction = key(0.9, "decay rate of the averaged generator")
    pixel_mean: Level | None = key(None, PIXEL_MIDDLE, of_data=True)
    pixel_std: Spread | None = key(None, PIXEL_HALF, of_data=True)

    def __post_init__(self) -> None:
        super().__post_init__()

        if self.head is not None:
            check_head(self.objective, self.head)


@dataclass(frozen=True)
class AdamConfig(Config):
    """The group `optimizer`: Adam with beta_1 = 0 and beta_2 = 0.999 for both networks."""

    d_rate: Positive = key(4e-4, "learning rate of D")
    g_rate: Positive = key(2e-4, "learning rate of G")
    drop_epochs: Rising = key(
        [],
        "epochs after which both rates drop by `drop_factor`; the official code's schedules are "
        "commented out in it.",
    )
    drop_factor: Factor = key(0.5, "factor of the drop")


@dataclass(frozen=True)
class ReadoutConfig(Config):
    """The group `readout`: the linear classifier on Fisher vectors."""

    builds = ("tfzoo.afv.classifier:AFVClassifier", "tfzoo.afv.fisher:FisherVectorizer")

    method: Annotated[str, OneOf(*METHODS)] = key(
        "ridge",
        "`ridge`, by the Gram matrix, with the penalty chosen on validation; or `hinge`, the "
        "paper's: one-vs-all squared hinge by Adam, with dropout, and without bias.",
    )
    samples: Annotated[int, Ge(16)] = key(1024, "number of generated images for the statistics")
    examples: Count | None = key(
        None,
        "labelled training images, drawn by the seed; null: all. A ridge holds the "
        "square of their number in memory.",
    )
    stride: Count = key(1, "keeps every k-th parameter")
    route: Annotated[str, OneOf(*ROUTES)] = key(
        "layers", "route of inference: `layers`, `jvp` or `features`, with equal results"
    )
    served_features: Count = key(1024, "length of the signature `features`")
    epochs: Count = key(200, "epochs of `hinge`, to which the following keys apply, too")
    batch_size: Count = key(100, "images per step")
    rate: Positive = key(1e-6, "learning rate")
    drop_epochs: Rising = key([50, 100, 150], "epochs after which the rate drops by `drop_factor`")
    drop_factor: Factor = key(0.5, "factor of the drop")
    dropout: Fraction = key(0.5, "dropout of the features")
    augment: Annotated[str, OneOf(*AUGMENTATIONS)] = key(
        "flip_crop", "`none`, `flip_crop` or `official`"
    )


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """The config of `afv.classifier`."""

    data: DataConfig = key(MISSING, "see `tfzoo.data.DataConfig`")
    model: GANConfig = key(GANConfig(), "see `GANConfig`")
    optimizer: AdamConfig = key(AdamConfig(), "see `AdamConfig`")
    readout: ReadoutConfig = key(ReadoutConfig(), "see `ReadoutConfig`")
    augment: Annotated[str, OneOf(*AUGMENTATIONS)] = key(
        "none",
        "augmentation of the GAN's images: `none`, `flip_crop` (crop after padding by one pixel in "
        "eight, flip), or `official` (that, then upside down or not, turned by -90, 0, 90, "
        "180).",
    )
    monitor_every: Count = key(1, "epochs between evaluations of images and Fisher similarity")
