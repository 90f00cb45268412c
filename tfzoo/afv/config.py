"""The config of AFV's task."""

from __future__ import annotations

from dataclasses import dataclass, field

from tfzoo.afv.networks import SIZES
from tfzoo.afv.objectives import DEFAULT_HEAD, check_settings
from tfzoo.afv.readout import ROUTES
from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.errors import InputError
from tfzoo.training.config import RunConfig

AUGMENTATIONS = ("none", "flip_crop", "official")
METHODS = ("ridge", "hinge")


@dataclass(frozen=True)
class GANConfig:
    """The group `model` of `afv.classifier`; see `EnergyGAN`.

    Attributes:
        image_size: side of the networks' images.
        width: of D's convolutions.
        generator_width: of G's; null is `width`.
        latent: length of z.
        objective: `lsgan`, `hinge` or `vgan`.
        head: `sigmoid`, `logit` or `experts`; null is the objective's own.
        mcmc_weight: gamma of the MCMC-inspired term.
        mcmc_noise: deviation of its noise.
        ema: of the averaged generator.
        pixel_mean: subtracted from raw pixels.
        pixel_std: then divided by.
    """

    image_size: int = 32
    width: int = 256
    generator_width: int | None = None
    latent: int = 256
    objective: str = "lsgan"
    head: str | None = None
    mcmc_weight: float = 0.0
    mcmc_noise: float = 0.0
    ema: float = 0.9
    pixel_mean: float = 127.5
    pixel_std: float = 127.5

    def __post_init__(self):
        """Checks the ranges."""
        sizes = ", ".join(map(str, SIZES))
        check(self.image_size in SIZES, "model.image_size", self.image_size, f"one of {sizes}")
        for name in ("width", "generator_width", "latent"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"model.{name}", value, "at least 1")
        check(self.pixel_std > 0, "model.pixel_std", self.pixel_std, "above 0")
        head = self.head or DEFAULT_HEAD.get(self.objective, "sigmoid")
        try:
            check_settings(self.objective, head, self.mcmc_weight, self.mcmc_noise, self.ema)
        except ValueError as error:
            raise InputError(f"model.{error}") from None


@dataclass(frozen=True)
class AdamConfig:
    """The group `optimizer`: Adam with beta 0 and 0.999 for both networks.

    Attributes:
        d_rate: learning rate of D.
        g_rate: of G.
        drop_epochs: epochs after which both fall by `drop_factor`; the official code's own
            schedules are commented out in it.
        drop_factor: see there.
    """

    d_rate: float = 4e-4
    g_rate: float = 2e-4
    drop_epochs: list[int] = field(default_factory=list)
    drop_factor: float = 0.5

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("d_rate", "g_rate"):
            check(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "above 0")
        _check_drops("optimizer", self.drop_epochs, self.drop_factor)


@dataclass(frozen=True)
class ReadoutConfig:
    """The group `readout`: the linear classifier on Fisher vectors.

    Attributes:
        method: `ridge`, by the Gram matrix, its penalty chosen on validation; or `hinge`, the
            paper's: one-vs-all squared hinge by Adam, with dropout, and without bias.
        samples: generated images for the statistics.
        examples: labelled training images, drawn by the seed; null takes all. A ridge holds the
            square of their number.
        stride: keeps every k-th parameter.
        route: of inference: `layers`, `jvp` or `features`; the same numbers.
        served_features: length of the signature `features`.
        epochs: of `hinge`, as are the following.
        batch_size: images a step.
        rate: learning rate.
        drop_epochs: epochs after which it falls by `drop_factor`.
        drop_factor: see there.
        dropout: of the features.
        augment: `none`, `flip_crop` or `official`.
    """

    method: str = "ridge"
    samples: int = 1024
    examples: int | None = None
    stride: int = 1
    route: str = "layers"
    served_features: int = 1024
    epochs: int = 200
    batch_size: int = 100
    rate: float = 1e-6
    drop_epochs: list[int] = field(default_factory=lambda: [50, 100, 150])
    drop_factor: float = 0.5
    dropout: float = 0.5
    augment: str = "flip_crop"

    def __post_init__(self):
        """Checks the ranges."""
        choices("readout.method", self.method, METHODS)
        choices("readout.route", self.route, ROUTES)
        choices("readout.augment", self.augment, AUGMENTATIONS)
        check(self.samples >= 16, "readout.samples", self.samples, "at least 16")
        for name in ("examples", "stride", "served_features", "epochs", "batch_size"):
            value = getattr(self, name)
            check(value is None or value >= 1, f"readout.{name}", value, "at least 1")
        check(self.rate > 0, "readout.rate", self.rate, "above 0")
        check(0 <= self.dropout < 1, "readout.dropout", self.dropout, "from 0 to below 1")
        _check_drops("readout", self.drop_epochs, self.drop_factor)


@dataclass(frozen=True)
class ClassifierConfig(RunConfig):
    """The config of `afv.classifier`.

    Attributes:
        data: see `tfzoo.data.DataConfig`.
        model: see `GANConfig`.
        optimizer: see `AdamConfig`.
        readout: see `ReadoutConfig`.
        augment: of the GAN's images: `none`, `flip_crop` (crop of the image padded by one pixel in
            eight, flip), or `official` (that, then upside down or not, turned by -90, 0, 90, 180).
        monitor_every: epochs between two looks at images and Fisher similarity.
    """

    data: DataConfig = MISSING
    model: GANConfig = field(default_factory=GANConfig)
    optimizer: AdamConfig = field(default_factory=AdamConfig)
    readout: ReadoutConfig = field(default_factory=ReadoutConfig)
    augment: str = "none"
    monitor_every: int = 1

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        choices("augment", self.augment, AUGMENTATIONS)
        check(self.monitor_every >= 1, "monitor_every", self.monitor_every, "at least 1")


def _check_drops(group: str, epochs: list[int], factor: float) -> None:
    good = list(epochs) == sorted(set(epochs)) and all(e >= 1 for e in epochs)
    check(good, f"{group}.drop_epochs", list(epochs), "rising numbers from 1 up")
    check(0 < factor <= 1, f"{group}.drop_factor", factor, "above 0 and up to 1")
