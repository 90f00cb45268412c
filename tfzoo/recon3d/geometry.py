"""Pinhole geometry and bilinear sampling, in `keras.ops`, float32.

Cameras are [..., 3, 7]: K, R, t of a world-to-camera map with OpenCV's axes; see
`tfzoo.data.shapes.cameras`. Pixel i spans [i, i + 1); a feature map of stride s is sampled at the
index u / s - 1/2, between the centres of its cells, and constant beyond its border.
"""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor

MIN_DEPTH = 1e-3
"""Smaller depths, and those behind the camera, are taken for this one in a projection."""


def camera_points(cameras: Tensor, points: Tensor) -> Tensor:
    """Points as the cameras have them: R X + t.

    Args:
        cameras: [B, V, 3, 7].
        points: [B, N, 3] of the world.

    Returns:
        float32 [B, V, N, 3].
    """
    r, t = cameras[..., 3:6], cameras[..., 6]
    turned = ops.matmul(ops.expand_dims(points, 1), ops.swapaxes(r, -1, -2))
    return turned + ops.expand_dims(t, 2)


def project(cameras: Tensor, seen: Tensor) -> Tensor:
    """Pixel coordinates of camera points.

    Args:
        cameras: [B, V, 3, 7].
        seen: [B, V, N, 3] of `camera_points`.

    Returns:
        float32 [B, V, N, 2], x before y. Finite everywhere: depths are at least `MIN_DEPTH`.
    """
    image = ops.matmul(seen, ops.swapaxes(cameras[..., :3], -1, -2))
    return image[..., :2] / ops.maximum(image[..., 2:], MIN_DEPTH)


def camera_centres(cameras: Tensor) -> Tensor:
    """-R^T t, where the cameras stand in the world: [B, V, 3]."""
    r, t = cameras[..., 3:6], cameras[..., 6:]
    return -ops.matmul(ops.swapaxes(r, -1, -2), t)[..., 0]


def ray_directions(cameras: Tensor, pixels: Tensor) -> Tensor:
    """Unit directions, in the world, of the rays through pixel coordinates.

    Args:
        cameras: [B, V, 3, 7], K without skew.
        pixels: [B, V, N, 2].

    Returns:
        float32 [B, V, N, 3]; a point at depth z lies at the centre + z direction / cosine.
    """
    k, r = cameras[..., :3], cameras[..., 3:6]
    focal = ops.stack([k[..., 0, 0], k[..., 1, 1]], -1)
    plane = (pixels - ops.expand_dims(k[..., :2, 2], 2)) / ops.expand_dims(focal, 2)
    seen = ops.concatenate([plane, ops.ones_like(plane[..., :1])], -1)
    seen = seen / ops.norm(seen, axis=-1, keepdims=True)
    return ops.matmul(seen, r)  # rows times R: R^T of each


def normalised_coordinates(seen: Tensor, distance: float, scale: float = 1.0) -> Tensor:
    """Camera points [..., 3] with the depth less `distance`, times `scale`: numbers about 1."""
    shift = ops.convert_to_tensor([0.0, 0.0, distance], dtype=seen.dtype)
    return (seen - shift) * scale


def inside_image(pixels: Tensor, depth: Tensor, size: int) -> Tensor:
    """Which points fall into an image of that side and before the camera: bool [B, V, N]."""
    inside = ops.logical_and(pixels >= 0, pixels <= size)
    return ops.logical_and(ops.all(inside, axis=-1), depth > MIN_DEPTH)


def present(cameras: Tensor) -> Tensor:
    """Which views are there, bool [B, V]: an absent one's camera is all zero."""
    return ops.any(ops.not_equal(cameras, 0), axis=(-2, -1))


def sample_features(maps: Tensor, pixels: Tensor, stride: int) -> Tensor:
    """Bilinear interpolation of feature maps at pixel coordinates.

    Args:
        maps: [M, H, W, C], H and W known and at least 2.
        pixels: float32 [M, N, 2] in pixels of the image, x before y, finite.
        stride: pixels of the image that a cell spans.

    Returns:
        [M, N, C], of the maps' dtype.

    Raises:
        ValueError: a side below 2, or unknown.
    """
    height, width, channels = maps.shape[1:]
    if height is None or width is None or min(height, width) < 2:
        raise ValueError(f"maps {maps.shape}: height and width must be known and at least 2")
    limit = ops.convert_to_tensor([width - 1.0, height - 1.0], dtype="float32")
    where = ops.clip(ops.cast(pixels, "float32") / stride - 0.5, 0.0, limit)
    low = ops.minimum(ops.floor(where), limit - 1.0)
    part = where - low  # [M, N, 2]
    x0, y0 = (ops.cast(low[..., i], "int32") for i in (0, 1))
    count = ops.shape(maps)[0]
    first = ops.expand_dims(ops.arange(count, dtype="int32") * (height * width), -1)
    corner = first + y0 * width + x0  # [M, N]
    cells = ops.stack([corner, corner + 1, corner + width, corner + width + 1], -1)
    wx, wy = part[..., 0], part[..., 1]
    weights = ops.stack([(1 - wx) * (1 - wy), wx * (1 - wy), (1 - wx) * wy, wx * wy], -1)
    found = ops.take(ops.reshape(maps, (-1, channels)), cells, axis=0)  # [M, N, 4, C]
    return ops.sum(found * ops.cast(ops.expand_dims(weights, -1), maps.dtype), axis=-2)
