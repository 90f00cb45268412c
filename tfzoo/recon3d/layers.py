"""The method's own layers: points in camera coordinates, and the variance over views."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from keras import ops
from typing_extensions import override

from tfzoo.config import Count, Natural, OneOf, Positive
from tfzoo.layers import size_within
from tfzoo.recon3d import geometry
from tfzoo.registry import serializable
from tfzoo.typing import Shape, Tensor

POINTS = ("none", "world", "camera", "camera+origin", "facing")
AGGREGATES = ("mean", "max", "var", "mean_var", "concat")


@serializable("recon3d")
class PointRepresentation(keras.layers.Layer):
    """r_v(X) = g([phi_v(X); rho_v(X)]): a point's features in a view, with its position.

    rho is nothing, the world coordinates X, the camera coordinates R_v X + t_v, or these and the
    vector o_v - X from the point to the camera. `facing`, which is ours, is R_v X in axes facing
    the world's origin: it is equal for a longer lens from farther away, which sees the same image.
    `none`, `camera` and `facing` are invariant to rotations of the world; the others are not. g is
    two dense layers, shared by views and points. The paper's form is unknown to us; `camera` is our
    reading, `facing` our default.

    Args:
        points: one of `POINTS`.
        width: width of g's two layers.
        octaves: octaves of a positional encoding of rho; 0: none.
        distance: the cameras' mean distance, subtracted from the depth for `camera` and
            `camera+origin`.
        scale: factor of rho.
        **keywords: `name`, `dtype`, ...

    Input: phi [B, V, N, C], points [B, N, 3], cameras [B, V, 3, 7]. Output: [B, V, N, width].

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        points: Annotated[str, OneOf(*POINTS)] = "facing",
        width: Count = 64,
        octaves: Natural = 0,
        distance: Positive = 1.6,
        scale: float = 1.0,
        **keywords: Any,
    ):
        super().__init__(autocast=False, **keywords)
        self.points, self.width, self.octaves = points, width, octaves
        self.distance, self.scale = distance, scale
        make = lambda name: keras.layers.Dense(  # noqa: E731
            width, name=name, dtype=self.dtype_policy
        )
        self.first, self.second = make("first"), make("second")

    @property
    def extra(self) -> int:
        """Size of rho, including the encoding."""
        size = {"none": 0, "world": 3, "camera": 3, "camera+origin": 6, "facing": 3}[self.points]
        return size * (1 + 2 * self.octaves)

    @override
    def build(self, phi_shape: Shape, points_shape: Shape, cameras_shape: Shape) -> None:
        self.first.build((*phi_shape[:-1], phi_shape[-1] + self.extra))
        self.second.build((*phi_shape[:-1], self.width))

    def place(self, points: Tensor, cameras: Tensor) -> Tensor:
        """rho, float32 [B, V, N, extra]; None for `none`."""
        if self.points == "none":
            return None
        seen = geometry.camera_points(cameras, points)
        if self.points == "world":
            coordinates = ops.expand_dims(points, 1) + ops.zeros_like(seen)
        elif self.points == "facing":
            coordinates = geometry.facing_coordinates(cameras, seen)
        else:
            coordinates = geometry.normalised_coordinates(seen, self.distance)
        if self.points == "camera+origin":
            way = geometry.camera_centres(cameras)[:, :, None] - ops.expand_dims(points, 1)
            coordinates = ops.concatenate([coordinates, way], -1)
        coordinates = coordinates * self.scale
        waves = [f(2.0**i * 3.14159265 * coordinates) for i in range(self.octaves) for f in _WAVES]
        return ops.concatenate([coordinates, *waves], -1)

    def call(self, phi: Tensor, points: Tensor, cameras: Tensor) -> Tensor:
        """Geometry in float32, g in the layer's own precision."""
        place = self.place(ops.cast(points, "float32"), ops.cast(cameras, "float32"))
        x = ops.cast(phi, self.compute_dtype)
        if place is not None:
            x = ops.concatenate([x, ops.cast(place, self.compute_dtype)], -1)
        return self.second(ops.relu(self.first(x)))

    @override
    def compute_output_shape(
        self, phi_shape: Shape, points_shape: Shape, cameras_shape: Shape
    ) -> Shape:
        return (*phi_shape[:-1], self.width)


_WAVES = (ops.sin, ops.cos)


@serializable("recon3d")
class ViewAggregation(keras.layers.Layer):
    """Aggregates a point's representations over views, independent of their order.

    `var` is the variance cost, sum over v of w_v (r_v - mean)^2 / sum of w_v, element by element,
    as in multi-view stereo: 0 where the views agree. With one view it is 0 everywhere and
        uninformative. `mean_var` is [relu(mean); var]. `concat`, which depends on the order, is for
        comparison. Without views all are 0.

    Args:
        mode: one of `AGGREGATES`.
        views: maximum number of views for `concat`; missing ones are 0.
        **keywords: `name`, `dtype`, ...

    Input: r [B, V, N, C], weights [B, V, N], non-negative. Output: [B, N, C], for `mean_var` 2 C,
    for `concat` views x C.

    Raises:
        ValueError: an argument is out of range; `concat` with more views; `var` with a single view.
    """

    def __init__(
        self,
        mode: Annotated[str, OneOf(*AGGREGATES)] = "mean_var",
        views: Count | None = None,
        **keywords: Any,
    ):
        super().__init__(**keywords)
        if (mode == "concat") != (views is not None) or (views or 1) < 1:
            raise ValueError(f"views={views}: must be at least 1 for 'concat', otherwise None")
        self.mode, self.views = mode, views
        self.built = True

    def call(self, r: Tensor, weights: Tensor) -> Tensor:
        """Mean and variance in float32, the variance in two passes."""
        weights = ops.expand_dims(ops.cast(weights, "float32"), -1)
        values = ops.cast(r, "float32")
        if self.mode == "max":
            low = ops.where(weights > 0, values, -1e30)
            pooled = ops.max(low, axis=1)
            return ops.cast(ops.where(pooled > -1e29, pooled, 0.0), r.dtype)
        if self.mode == "concat":
            return ops.cast(self._concat(values * ops.cast(weights > 0, "float32")), r.dtype)
        if self.mode == "var":
            words = "mode='var' of {} view(s): must have at least 2 views, for one it is always 0"
            values = values[:, : size_within(ops.shape(r)[1], 2, 10_000, words)]
        total = ops.maximum(ops.sum(weights, axis=1), 1e-6)
        mean = ops.sum(values * weights, axis=1) / total
        if self.mode == "mean":
            return ops.cast(mean, r.dtype)
        apart = values - ops.expand_dims(mean, 1)
        cost = ops.sum(weights * apart * apart, axis=1) / total
        if self.mode == "mean_var":
            cost = ops.concatenate([ops.relu(mean), cost], -1)
        return ops.cast(cost, r.dtype)

    def _concat(self, values: Tensor) -> Tensor:
        assert self.views is not None  # ensured by the constructor
        batch, count, points, channels = ops.shape(values)
        words = f"{{}} views: 'concat' takes at most {self.views}"
        count = size_within(count, 0, self.views, words)
        blank = ops.zeros((batch, self.views - count, points, channels), values.dtype)
        values = ops.concatenate([values, blank], axis=1)
        values = ops.transpose(values, (0, 2, 1, 3))
        return ops.reshape(values, (batch, points, self.views * values.shape[-1]))

    @override
    def compute_output_shape(self, r_shape: Shape, weights_shape: Shape) -> Shape:
        return (r_shape[0], r_shape[2], self.width(r_shape[3]))

    def width(self, channels: int) -> int:
        """The number of output channels for a number of channels per view."""
        return channels * {"mean_var": 2, "concat": self.views or 1}.get(self.mode, 1)
