"""The config of occupancy reconstruction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from annotated_types import Gt, Len, Lt

from tfzoo.config import (
    MISSING,
    Config,
    Count,
    Counts,
    Must,
    Natural,
    OneOf,
    Parts,
    Positive,
    check,
    key,
)
from tfzoo.data.shapes.posed import ShapesConfig
from tfzoo.recon3d.decoder import INPUTS, Kind
from tfzoo.recon3d.encoders import ENCODERS
from tfzoo.recon3d.layers import AGGREGATES, POINTS
from tfzoo.training.config import RunConfig


@dataclass(frozen=True)
class ReconstructorConfig(Config):
    """The group `model`; see `OccupancyReconstructor`."""

    builds = ("tfzoo.recon3d.model:OccupancyReconstructor",)

    encoder: Annotated[str, OneOf(*ENCODERS)] = key(
        "unet", "`global`, `unet` or `local`: see `ENCODERS`"
    )
    features: Count = key(32, "channels C of a view's map or code")
    encoder_width: Count = key(24, "see the encoders")
    silhouette: bool = key(False, "ours: adds the views' silhouettes as a fourth image channel")
    hull: bool = key(
        False, "ours: adds each point's depth behind the silhouettes; not for `global`"
    )
    points: Annotated[str, OneOf(*POINTS)] = key("facing", "see `PointRepresentation`")
    point_width: Count = key(64, "width of r")
    octaves: Natural = key(0, "see `PointRepresentation`")
    distance: Positive = key(1.6, "mean distance of the cameras from the objects")
    aggregate: Annotated[str, OneOf(*AGGREGATES)] = key("mean_var", "see `ViewAggregation`")
    views: Count | None = key(None, "maximum number of views, only for the aggregate `concat`")
    visibility: bool = key(False, "whether to ignore views that do not have a point in their image")
    decoder: Kind = key("cbn", "`cbn` or `plain`")
    decoder_width: Count = key(64, "see `OccupancyDecoder`")
    blocks: Parts = key(3, "see `OccupancyDecoder`")
    decoder_input: Annotated[str, OneOf(*INPUTS)] = key("condition", "`condition` or `world`")

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = (self.aggregate == "concat") == (self.views is not None)
        check(fits, "views", self.views, "at least 1 for aggregate=concat, otherwise null")
        check(not (self.hull and self.encoder == "global"), "hull", True, "false for `global`")


@dataclass(frozen=True)
class ReconstructionConfig(RunConfig):
    """The config of `recon3d.occupancy`."""

    data: ShapesConfig = key(MISSING, "see `posed_shapes`")
    model: ReconstructorConfig = key(ReconstructorConfig(), "see `ReconstructorConfig`")
    image_size: Count = key(64, "side of the images")
    min_views: Count = key(1, "minimum number of views of a training batch")
    max_views: Count = key(5, "maximum number of views, drawn for each batch")
    points: Count = key(512, "points of a shape in a training step")
    rate: Positive = key(1e-3, "Adam's learning rate")
    decay: Annotated[str, OneOf("none", "cosine")] = key(
        "cosine", "`none`, or `cosine` to 0 over the training"
    )
    test_views: Counts = key(
        [1, 2, 5, 3], "numbers of views for reported results; the last is the headline's"
    )
    thresholds: Annotated[list[Annotated[float, Gt(0), Lt(1)]], Len(1)] = key(
        [0.2, 0.3, 0.4, 0.5], "probabilities from which validation chooses the threshold"
    )
    mesh_shapes: Natural = key(
        0, "number of shapes of each test split whose meshes are evaluated; 0: none"
    )
    resolution: Annotated[int, Must(lambda n: n >= 8 and n % 4 == 0, "a multiple of 4 from 8")] = (
        key(48, "resolution of those meshes")
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        multiple = 2 if self.model.encoder == "local" else 16
        fits = self.image_size >= 2 * multiple and self.image_size % multiple == 0
        check(fits, "image_size", self.image_size, f"a multiple of {multiple} from {2 * multiple}")
        low, high = self.min_views, self.max_views
        check(high >= low, "max_views", high, f"at least min_views, {low}")
        single = low == 1 or min(self.test_views) == 1
        check(
            not (self.model.aggregate == "var" and single),
            "model.aggregate",
            "var",
            "another for single views: min_views and test_views must be at least 2",
        )

    def keywords(self) -> dict[str, Any]:
        """The model's constructor arguments."""
        return {"image_size": self.image_size, **asdict(self.model)}
