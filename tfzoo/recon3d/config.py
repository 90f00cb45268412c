"""The config of occupancy reconstruction."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tfzoo.config import MISSING, check, choices
from tfzoo.data.shapes.posed import ShapesConfig
from tfzoo.recon3d.decoder import INPUTS, KINDS
from tfzoo.recon3d.encoders import ENCODERS
from tfzoo.recon3d.layers import AGGREGATES, POINTS
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class ReconstructorConfig:
    """The group `model`; see `OccupancyReconstructor`."""

    encoder: str = "unet"
    features: int = 32
    encoder_width: int = 24
    points: str = "camera"
    point_width: int = 64
    octaves: int = 0
    distance: float = 1.75
    aggregate: str = "mean_var"
    views: int | None = None
    visibility: bool = False
    decoder: str = "cbn"
    decoder_width: int = 64
    blocks: int = 3
    decoder_input: str = "condition"

    def __post_init__(self):
        """Checks the ranges."""
        choices("model.encoder", self.encoder, tuple(ENCODERS))
        choices("model.points", self.points, POINTS)
        choices("model.aggregate", self.aggregate, AGGREGATES)
        choices("model.decoder", self.decoder, KINDS)
        choices("model.decoder_input", self.decoder_input, INPUTS)
        for name in ("features", "encoder_width", "point_width", "decoder_width", "blocks"):
            check(getattr(self, name) >= 1, f"model.{name}", getattr(self, name), "at least 1")
        check(self.octaves >= 0, "model.octaves", self.octaves, "at least 0")
        check(self.distance > 0, "model.distance", self.distance, "above 0")
        given = self.views is not None and self.views >= 1
        fits = given if self.aggregate == "concat" else self.views is None
        check(fits, "model.views", self.views, "from 1 up for concat, else null")


@dataclass(frozen=True)
class ReconstructionConfig(RunConfig):
    """The config of `recon3d.occupancy`.

    Attributes:
        data: see `posed_shapes`.
        model: see `ReconstructorConfig`.
        image_size: side of the images.
        min_views: views of a training batch, at least.
        max_views: at most; drawn for each batch.
        points: of a shape in a training step.
        rate: Adam's learning rate.
        decay: `none`, or `cosine` to 0 over the training.
        test_views: numbers of views that results are reported with; the last is the headline's.
        thresholds: probabilities that validation chooses one of.
        mesh_shapes: of each test split, whose meshes are made and measured; 0 for none.
        resolution: of those meshes.
    """

    data: ShapesConfig = MISSING
    model: ReconstructorConfig = field(default_factory=ReconstructorConfig)
    image_size: int = 64
    min_views: int = 1
    max_views: int = 5
    points: int = 512
    rate: float = 1e-3
    decay: str = "cosine"
    test_views: list[int] = field(default_factory=lambda: [1, 2, 5, 3])
    thresholds: list[float] = field(default_factory=lambda: [0.2, 0.3, 0.4, 0.5])
    mesh_shapes: int = 0
    resolution: int = 48

    def __post_init__(self):
        """Checks the ranges."""
        super().__post_init__()
        multiple = 2 if self.model.encoder == "local" else 16
        fits = self.image_size >= 2 * multiple and self.image_size % multiple == 0
        check(fits, "image_size", self.image_size, f"a multiple of {multiple} from {2 * multiple}")
        low, high = self.min_views, self.max_views
        check(low >= 1, "min_views", low, "at least 1")
        check(high >= low, "max_views", high, f"at least min_views, {low}")
        single = low == 1 or min(self.test_views, default=0) == 1
        check(
            not (self.model.aggregate == "var" and single),
            "model.aggregate",
            "var",
            "another for single views: min_views and test_views from 2 up",
        )
        check(self.points >= 1, "points", self.points, "at least 1")
        check(self.rate > 0, "rate", self.rate, "above 0")
        choices("decay", self.decay, ("none", "cosine"))
        views = list(self.test_views)
        check(bool(views) and min(views) >= 1, "test_views", views, "numbers from 1 up")
        bars = list(self.thresholds)
        check(bool(bars) and 0 < min(bars) <= max(bars) < 1, "thresholds", bars, "between 0 and 1")
        check(self.mesh_shapes >= 0, "mesh_shapes", self.mesh_shapes, "at least 0")
        fits = self.resolution >= 8 and self.resolution % 4 == 0
        check(fits, "resolution", self.resolution, "a multiple of 4 from 8")
        check(self.distribute == "none", "distribute", self.distribute, "none")

    def keywords(self) -> dict[str, Any]:
        """The model's arguments."""
        return {"image_size": self.image_size, **asdict(self.model)}
