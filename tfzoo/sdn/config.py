"""The configs of SDN's three tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tfzoo.config import MISSING, check, choices
from tfzoo.data import DataConfig
from tfzoo.errors import InputError
from tfzoo.sdn.networks import PRESETS, check_preset
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class ImagesConfig(RunConfig):
    """The keys that all three tasks have.

    Attributes:
        data: see `tfzoo.data.images.image_sets.image_sets`.
        image_size: side that images are brought to.
        channels: 1 or 3.
        set_size: images of a set in a step.
        pixel_mean: subtracted from raw pixels.
        pixel_std: then divided by.
    """

    data: DataConfig = MISSING
    image_size: int = 16
    channels: int = 1
    set_size: int = 8
    pixel_mean: float = 127.5
    pixel_std: float = 127.5

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        check(self.image_size >= 1, "image_size", self.image_size, "at least 1")
        check(self.channels in (1, 3), "channels", self.channels, "1 or 3")
        check(self.set_size >= 1, "set_size", self.set_size, "at least 1")
        check(self.pixel_std > 0, "pixel_std", self.pixel_std, "above 0")

    def pixels(self) -> dict[str, float]:
        """Keywords of the networks."""
        return {"mean": self.pixel_mean, "std": self.pixel_std}


@dataclass(frozen=True)
class SDNConfig:
    """The group `model` of `sdn.sets`; see `SetDistributionNetwork`.

    Attributes:
        code_dim: d, bits of a code.
        noise_dim: numbers of an image's noise.
        preset: `mlp`, `conv` or `sagan`.
        width: of the networks.
        bottleneck: of the energy's auto-encoder.
        prior_hidden: widths of the prior.
        margin: in the energy's units.
        prior_to_encoder: weight of -log p(z) in the encoder's gradient.
        use_code: false hides the code from the energy.
        stochastic: random codes while training.
        ema: of the averaged generator.
    """

    code_dim: int = 64
    noise_dim: int = 8
    preset: str = "mlp"
    width: int = 256
    bottleneck: int = 8
    prior_hidden: list[int] = field(default_factory=lambda: [128, 128])
    margin: float = 0.1
    prior_to_encoder: float = 0.0
    use_code: bool = True
    stochastic: bool = False
    ema: float = 0.99

    def __post_init__(self):
        """Checks the ranges."""
        choices("model.preset", self.preset, PRESETS)
        check(self.code_dim >= 2, "model.code_dim", self.code_dim, "at least 2")
        for name in ("noise_dim", "width", "bottleneck"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        hidden = list(self.prior_hidden)
        check(bool(hidden) and min(hidden) >= 1, "model.prior_hidden", hidden, "widths from 1 up")
        check(self.margin > 0, "model.margin", self.margin, "above 0")
        weight = self.prior_to_encoder
        check(weight >= 0, "model.prior_to_encoder", weight, "at least 0")
        check(0 <= self.ema < 1, "model.ema", self.ema, "from 0 to below 1")


@dataclass(frozen=True)
class TwoAdamConfig:
    """The group `optimizer` of `sdn.sets`: Adam for both sides.

    Attributes:
        rate: learning rate of encoder, energy and prior.
        g_rate: of the generator.
        beta_1: of both.
        beta_2: of both.
        decay: `none`, or `cosine` to 0 over the training.
    """

    rate: float = 2e-4
    g_rate: float = 2e-4
    beta_1: float = 0.0
    beta_2: float = 0.999
    decay: str = "none"

    def __post_init__(self):
        """Checks the ranges."""
        for name in ("rate", "g_rate"):
            check(getattr(self, name) > 0, f"optimizer.{name}", getattr(self, name), "above 0")
        for name in ("beta_1", "beta_2"):
            value = getattr(self, name)
            check(0 <= value < 1, f"optimizer.{name}", value, "from 0 to below 1")
        choices("optimizer.decay", self.decay, ("none", "cosine"))

    def schedule(self, rate: float, steps: int) -> Any:
        """The rate, or its schedule."""
        import keras

        if self.decay == "cosine":
            return keras.optimizers.schedules.CosineDecay(rate, steps)
        return rate


@dataclass(frozen=True)
class SetsConfig(ImagesConfig):
    """The config of `sdn.sets`.

    Attributes:
        model: see `SDNConfig`.
        optimizer: see `TwoAdamConfig`.
        voxel_net: a trained `sdn.voxels`, by the name of a package weight or a path, that judges
            the test sets; null for none. The data must have `voxels`.
        verifier: a trained `sdn.verifier`, likewise.
        test_size: images of one half of a test set; null is `set_size`.
        test_sets: sets that results are reported on, at most; null takes all.
        monitor_sets: training sets that are watched, see `CodeMonitor`.
        monitor_every: epochs between two looks.
    """

    model: SDNConfig = field(default_factory=SDNConfig)
    optimizer: TwoAdamConfig = field(default_factory=TwoAdamConfig)
    voxel_net: str | None = None
    verifier: str | None = None
    test_size: int | None = None
    test_sets: int | None = None
    monitor_sets: int = 64
    monitor_every: int = 1

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        try:
            check_preset(self.model.preset, self.image_size)
        except ValueError as error:
            raise InputError(str(error)) from None
        check(self.monitor_sets >= 1, "monitor_sets", self.monitor_sets, "at least 1")
        check(self.monitor_every >= 1, "monitor_every", self.monitor_every, "at least 1")
        size = self.test_size
        check(size is None or size >= 1, "test_size", size, "at least 1, or null")
        sets = self.test_sets
        check(sets is None or sets >= 2, "test_sets", sets, "at least 2, or null")

    @property
    def half(self) -> int:
        """Images of one half of a test set."""
        return self.test_size or self.set_size


@dataclass(frozen=True)
class JudgeConfig(ImagesConfig):
    """The config of `sdn.voxels` and `sdn.verifier`.

    Attributes:
        width: see `make_voxel_net`, `make_verifier`.
        dim: of a verifier's embedding.
        rate: Adam's.
        identities: training sets, for a dry run of a verifier whose data are not prepared.
    """

    width: int = 256
    dim: int = 32
    rate: float = 1e-3
    identities: int = 1000

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        for name in ("width", "dim", "identities"):
            check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        check(self.rate > 0, "rate", self.rate, "above 0")
