"""The network: from posed images and points to occupancy, for any number of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import keras
import numpy as np
from annotated_types import Gt, Lt
from keras import ops
from numpy.typing import ArrayLike
from typing_extensions import override

from tfzoo.config import Count, Natural, OneOf, Parts, Positive
from tfzoo.errors import InputError
from tfzoo.recon3d import geometry, inputs
from tfzoo.recon3d.decoder import INPUTS, Kind, OccupancyDecoder
from tfzoo.recon3d.encoders import ENCODERS
from tfzoo.recon3d.field import Field, Functions, probabilities
from tfzoo.recon3d.layers import AGGREGATES, POINTS, PointRepresentation, ViewAggregation
from tfzoo.recon3d.meshes import extract_mesh, logit
from tfzoo.registry import serializable
from tfzoo.training.zoo_model import ZooModel
from tfzoo.typing import Shape, Tensor

if TYPE_CHECKING:
    import trimesh

SHADED = 250 / 127.5 - 1
"""Pixels, in [-1, 1], that are darker in any channel belong to the object."""


@serializable("recon3d")
class OccupancyReconstructor(ZooModel):
    """Whether points of space are inside an object, from posed images (arXiv:2006.15427).

    F_v = encoder(I_v); phi_v(X) is F_v sampled where X is seen (or a global code); r_v = g([phi_v;
    rho_v]); c = aggregate over v; logit = decoder(c). The three biases tested in the paper are
    `encoder`, `points` and `aggregate`.

    `fit` takes a dict `images`, `cameras`, `points` and the occupancies [B, N] of 0 and 1. `call`
    returns logits, for the dict or for three arguments. A view whose camera is all zero is absent.
    Examples with weight 0 affect only BatchNormalization's running statistics.

    Args:
        image_size: side S of the images; a multiple of 16 for `global` and `unet`, even for
            `local`.
        encoder: `global`, `unet` or `local`: see `ENCODERS`.
        features: channels C of a view's map or code.
        encoder_width: see the encoders.
        silhouette: ours: the encoder gets each view's silhouette, that is, everything not nearly
            white, as a fourth channel.
        hull: ours: a point gets the values of `geometry.silhouette_maps` where each view sees it,
            and their minimum over views, the visual hull; not for `global`.
        points: see `PointRepresentation`.
        point_width: width of r.
        octaves: see `PointRepresentation`.
        distance: mean distance of the cameras from the objects, for `points=camera`.
        aggregate: see `ViewAggregation`.
        views: maximum number of views, only for the aggregate `concat`.
        visibility: whether to ignore views that do not have a point in their image.
        decoder: `cbn` or `plain`.
        decoder_width: see `OccupancyDecoder`.
        blocks: see `OccupancyDecoder`.
        decoder_input: `condition` or `world`.
        threshold: probability from which a point counts as inside; may be set after training.
        camera_ranges: ranges of the training data's cameras, by the names of `CameraRanges`;
            `occupancy` and `reconstruct` refuse others. None, also as an attribute: any cameras.
        **keywords: `name`, `dtype`, ...

    Input: images [B, V, S, S, 3] raw pixels from 0 to 255, cameras [B, V, 3, 7] (`pack_cameras`),
    points [B, N, 3]. Output: logits float32 [B, N].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        image_size: Count = 64,
        encoder: Annotated[str, OneOf(*ENCODERS)] = "unet",
        features: Count = 32,
        encoder_width: Count = 24,
        silhouette: bool = False,
        hull: bool = False,
        points: Annotated[str, OneOf(*POINTS)] = "facing",
        point_width: Count = 64,
        octaves: Natural = 0,
        distance: Positive = 1.6,
        aggregate: Annotated[str, OneOf(*AGGREGATES)] = "mean_var",
        views: Count | None = None,
        visibility: bool = False,
        decoder: Kind = "cbn",
        decoder_width: Count = 64,
        blocks: Parts = 3,
        decoder_input: Annotated[str, OneOf(*INPUTS)] = "condition",
        threshold: Annotated[float, Gt(0), Lt(1)] = 0.5,
        camera_ranges: Mapping[str, Sequence[float]] | None = None,
        **keywords: Any,
    ):
        super().__init__(autocast=False, **keywords)
        self.camera_ranges = None if camera_ranges is None else dict(camera_ranges)
        self.image_size, self.visibility, self.threshold = image_size, visibility, threshold
        policy = self.dtype_policy
        self.encoder = ENCODERS[encoder](
            image_size,
            features,
            encoder_width,
            4 if silhouette else 3,
            dtype=policy,
            name="encoder",
        )
        self.silhouette, self.hull = silhouette, hull
        if hull and self.encoder.stride is None:
            raise InputError(
                "hull=True: must be False for encoder='global', whose code has no position"
            )
        self.point = PointRepresentation(
            points, point_width, octaves, distance, dtype=policy, name="point"
        )
        self.aggregate = ViewAggregation(aggregate, views, dtype=policy, name="aggregate")
        self.decoder = OccupancyDecoder(
            decoder_width, blocks, decoder, decoder_input, dtype=policy, name="decoder"
        )
        xyz, cameras = (None, None, 3), (None, None, 3, 7)
        extra = 2 * geometry.SILHOUETTES if hull else 0
        self.point.build((None, None, None, features + extra), xyz, cameras)
        self.decoder.build((None, None, self.aggregate.width(point_width)), xyz)
        self.built = True
        self._functions = Functions(self)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the region that a point's features in a view depend on."""
        return self.encoder.receptive_field

    def prepare(self, images: Tensor) -> Tensor:
        """Raw pixels to [-1, 1], float32."""
        return ops.cast(images, "float32") / 127.5 - 1.0

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of a view's features from `encode`: [H, W, C], or [C] for a code."""
        *places, channels = self.encoder.compute_output_shape((None,))[1:]
        return (*places, channels + (geometry.SILHOUETTES if self.hull else 0))

    def encode(self, images: Tensor, training: bool | None = None) -> Tensor:
        """Features of views [B, V, S, S, 3]: [B, V, H, W, C], or codes [B, V, C].

        With `hull`, the last channels are those of `geometry.silhouette_maps`.
        """
        flat = ops.reshape(self.prepare(images), (-1, self.image_size, self.image_size, 3))
        shape = ops.cast(ops.any(flat < SHADED, axis=-1, keepdims=True), "float32")
        given = ops.concatenate([flat, 2 * shape - 1], -1) if self.silhouette else flat
        features = self.encoder(given, training=training)
        if self.hull and self.encoder.stride is not None:
            maps = geometry.silhouette_maps(shape, self.encoder.stride)
            features = ops.concatenate([features, ops.cast(maps, features.dtype)], -1)
        lead = ops.shape(images)[:2]
        return ops.reshape(features, (*lead, *features.shape[1:]))

    def decode(
        self, features: Tensor, cameras: Tensor, points: Tensor, training: bool | None = None
    ) -> Tensor:
        """Logits float32 [B, N] of points, from the features of `encode`."""
        cameras, points = ops.cast(cameras, "float32"), ops.cast(points, "float32")
        batch, views = ops.shape(cameras)[:2]
        count = ops.shape(points)[1]
        seen = geometry.camera_points(cameras, points)
        pixels = geometry.project(cameras, seen)
        if self.encoder.stride is None:
            phi = ops.repeat(ops.expand_dims(features, 2), count, axis=2)
        else:
            maps = ops.reshape(features, (-1, *features.shape[2:]))
            flat = ops.reshape(pixels, (-1, count, 2))
            phi = geometry.sample_features(maps, flat, self.encoder.stride)
            phi = ops.reshape(phi, (batch, views, count, phi.shape[-1]))
        weights = ops.cast(ops.expand_dims(geometry.present(cameras), -1), "float32")
        weights = weights * ops.ones_like(seen[..., 0])
        if self.visibility:
            inside = geometry.inside_image(pixels, seen[..., 2], self.image_size)
            weights = weights * ops.cast(inside, "float32")
        if self.hull:
            phi = ops.concatenate([phi, geometry.hull_of(phi, weights)], -1)
        r = self.point(phi, points, cameras)
        return self.decoder(self.aggregate(r, weights), points, training=training)

    def call(
        self,
        images: Tensor,
        cameras: Tensor | None = None,
        points: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Logits of points, also from a dict `images`, `cameras`, `points`: float32 [B, N]."""
        if isinstance(images, dict):
            images, cameras, points = (images[k] for k in ("images", "cameras", "points"))
        features = self.encode(images, training=training)
        return self.decode(features, cameras, points, training=training)

    def occupancy(self, images: ArrayLike, cameras: ArrayLike, points: ArrayLike) -> np.ndarray:
        """Probabilities of being inside, in chunks of points.

        Args:
            images: raw pixels [B, V, S, S, 3], or [V, S, S, 3] for one object.
            cameras: [B, V, 3, 7], or [V, 3, 7]; all zero where a view is absent.
            points: [B, N, 3], or [N, 3].

        Returns:
            float32 [B, N], or [N].

        Raises:
            InputError: wrong shapes, an object without views, non-finite values, or views that do
                not show an object in the unit cube, with the camera's number and the reason.
        """
        images, cameras, points, single = inputs.checked(self, images, cameras, points)
        occupied = probabilities(self.field(images, cameras)(points))
        return occupied[0] if single else occupied

    def field(self, images: np.ndarray, cameras: np.ndarray) -> Field:
        """Objects' logits as a function of points [B, N, 3]; features are computed once."""
        return Field(self._functions, images, cameras)

    def reconstruct(
        self,
        images: ArrayLike,
        cameras: ArrayLike,
        resolution: int = 64,
        threshold: float | None = None,
    ) -> trimesh.Trimesh:
        """The surface of one object as a watertight `trimesh.Trimesh` in world coordinates.

        Args:
            images: raw pixels [V, S, S, 3].
            cameras: [V, 3, 7].
            resolution: cells along a side of the cube from -0.55 to 0.55, a multiple of 4.
            threshold: probability on the surface; default: the model's.

        Raises:
            InputError: see `occupancy`; a wrong resolution; no surface at the threshold.
        """
        shape = np.shape(images)
        if len(shape) == 5:
            raise InputError(f"images{list(shape)}: must show one object, [V, S, S, 3]")
        images, cameras, _, _ = inputs.checked(self, images, cameras, np.zeros((1, 3)))
        field = self.field(images[:1], cameras[:1])
        limit = self.threshold if threshold is None else threshold
        return extract_mesh(lambda x: field(x[None])[0], resolution, logit(limit))

    def input_specs(self) -> list[keras.InputSpec]:
        """Images, cameras and points, in any numbers."""
        size = self.image_size
        shapes = (None, None, size, size, 3), (None, None, 3, 7), (None, None, 3)
        return [keras.InputSpec("float32", shape) for shape in shapes]

    @override
    def compute_output_shape(
        self,
        images_shape: Shape | dict[str, Shape],
        cameras_shape: Shape | None = None,
        points_shape: Any = None,
    ) -> Shape:
        if isinstance(images_shape, dict):
            points_shape = images_shape["points"]
        return tuple(points_shape[:2])

    def compute_output_spec(
        self,
        images: Tensor,
        cameras: Tensor | None = None,
        points: Tensor = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Float32 under any policy."""
        points = images["points"] if isinstance(images, dict) else points
        return keras.KerasTensor(points.shape[:2], "float32")

    def get_config(self) -> dict[str, Any]:
        """The config with the current threshold and camera ranges, which may have been set."""
        ranges = self.camera_ranges
        if ranges is not None:
            ranges = {name: [float(end) for end in ends] for name, ends in ranges.items()}
        return super().get_config() | {"threshold": float(self.threshold), "camera_ranges": ranges}
