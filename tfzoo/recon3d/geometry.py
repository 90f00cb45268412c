"""Pinhole geometry and bilinear sampling, in `keras.ops`, float32.

Cameras are [..., 3, 7]: K, R, t of a world-to-camera map with OpenCV's axes; see
`tfzoo.data.shapes.cameras`. Pixel i spans [i, i + 1); a feature map of stride s is sampled at the
index u / s - 1/2, interpolating between the centres of its cells, and constant beyond its border.
"""

from __future__ import annotations

from keras import ops

from tfzoo.typing import Tensor

MIN_DEPTH = 1e-3
"""In a projection, smaller depths, including those behind the camera, are replaced by this one."""


def camera_points(cameras: Tensor, points: Tensor) -> Tensor:
    """Points in camera coordinates: R X + t.

    Args:
        cameras: [B, V, 3, 7].
        points: [B, N, 3] in world coordinates.

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
        float32 [B, V, N, 2], x before y. Always finite, as depths are at least `MIN_DEPTH`.
    """
    image = ops.matmul(seen, ops.swapaxes(cameras[..., :3], -1, -2))
    return image[..., :2] / ops.maximum(image[..., 2:], MIN_DEPTH)


def camera_centres(cameras: Tensor) -> Tensor:
    """-R^T t, the cameras' positions in the world: [B, V, 3]."""
    r, t = cameras[..., 3:6], cameras[..., 6:]
    return -ops.matmul(ops.swapaxes(r, -1, -2), t)[..., 0]


def ray_directions(cameras: Tensor, pixels: Tensor) -> Tensor:
    """Unit directions, in the world, of the rays through pixel coordinates.

    Args:
        cameras: [B, V, 3, 7], K without skew.
        pixels: [B, V, N, 2].

    Returns:
        float32 [B, V, N, 3]; a point at depth z is at centre + z direction / cosine.
    """
    k, r = cameras[..., :3], cameras[..., 3:6]
    focal = ops.stack([k[..., 0, 0], k[..., 1, 1]], -1)
    plane = (pixels - ops.expand_dims(k[..., :2, 2], 2)) / ops.expand_dims(focal, 2)
    seen = ops.concatenate([plane, ops.ones_like(plane[..., :1])], -1)
    seen = seen / ops.norm(seen, axis=-1, keepdims=True)
    return ops.matmul(seen, r)  # rows times R applies R^T to each


def normalised_coordinates(seen: Tensor, distance: float, scale: float = 1.0) -> Tensor:
    """Camera points [..., 3], `distance` subtracted from the depth, times `scale`: of order 1."""
    shift = ops.convert_to_tensor([0.0, 0.0, distance], dtype=seen.dtype)
    return (seen - shift) * scale


def facing_coordinates(cameras: Tensor, seen: Tensor) -> Tensor:
    """Camera points relative to the world's origin, in axes facing it: equal for equal images.

    With a = t / |t|, the direction to the origin, and A the smallest rotation that takes a to the z
    axis, A (R X + t) - (0, 0, |t|) = A R X. This is invariant to a longer lens from farther away
    (dolly zoom), to an off-centre crop, and to rotating the camera in place.

    Args:
        cameras: [B, V, 3, 7].
        seen: [B, V, N, 3] of `camera_points`.

    Returns:
        float32 [B, V, N, 3]; R X + t for a camera at the origin, or an absent one.
    """
    t = cameras[..., 6]
    size = ops.sqrt(ops.sum(t * t, -1, keepdims=True))
    way = t / ops.maximum(size, 1e-9)
    x, y, z = (way[..., i] for i in range(3))
    part = 1 / ops.maximum(1 + z, 1e-6)  # 0 for an origin straight behind, which no camera sees
    rows = [
        ops.stack([1 - x * x * part, -x * y * part, -x], -1),
        ops.stack([-x * y * part, 1 - y * y * part, -y], -1),
        ops.stack([x, y, z], -1),
    ]
    turn = ops.stack(rows, -2)  # [B, V, 3, 3]
    return ops.matmul(seen - ops.expand_dims(t, 2), ops.swapaxes(turn, -1, -2))


def inside_image(pixels: Tensor, depth: Tensor, size: int) -> Tensor:
    """Which points are before the camera and within an image of that size: bool [B, V, N]."""
    inside = ops.logical_and(pixels >= 0, pixels <= size)
    return ops.logical_and(ops.all(inside, axis=-1), depth > MIN_DEPTH)


def present(cameras: Tensor) -> Tensor:
    """Which views are present, bool [B, V]: an absent view's camera is all zero."""
    return ops.any(ops.not_equal(cameras, 0), axis=(-2, -1))


def sample_features(maps: Tensor, pixels: Tensor, stride: int) -> Tensor:
    """Bilinear interpolation of feature maps at pixel coordinates.

    Args:
        maps: [M, H, W, C], H and W known and at least 2.
        pixels: float32 [M, N, 2] in pixels of the image, x before y, finite.
        stride: pixels of the image spanned by a cell.

    Returns:
        [M, N, C], in the maps' dtype.

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
    corners = ops.take(ops.reshape(maps, (-1, channels)), cells, axis=0)  # [M, N, 4, C]
    return ops.sum(corners * ops.cast(ops.expand_dims(weights, -1), maps.dtype), axis=-2)


SILHOUETTES = 3
"""Number of channels of `silhouette_maps`."""


def silhouette_maps(shapes: Tensor, stride: int) -> Tensor:
    """Sharp and blurred silhouettes: the object's share of each neighbourhood.

    Blurred ones also tell the distance from the silhouette's edge.

    Args:
        shapes: float32 [M, S, S, 1], 1 on the object.
        stride: pixels spanned by a cell of the maps.

    Returns:
        float32 [M, S / stride, S / stride, `SILHOUETTES`]: means over 1, 5 and 17 cells per side.
    """
    fine = ops.average_pool(shapes, stride, stride, "valid")
    # "same" would not count the area beyond the image, which is background
    wide = [fine]
    for side in (5, 17):
        padded = ops.pad(fine, [(0, 0), (side // 2, side // 2), (side // 2, side // 2), (0, 0)])
        wide.append(ops.average_pool(padded, side, 1, "valid"))
    return ops.concatenate(wide, -1)


def hull_of(phi: Tensor, weights: Tensor) -> Tensor:
    """The minimum over views of the last `SILHOUETTES` channels, for every view: the visual hull.

    Args:
        phi: [B, V, N, C], the last channels of `silhouette_maps`.
        weights: [B, V, N], 0 for a view that does not count; 1 everywhere if no view counts.

    Returns:
        [B, V, N, `SILHOUETTES`].
    """
    behind = phi[..., -SILHOUETTES:]
    counted = ops.where(ops.expand_dims(weights, -1) > 0, behind, ops.ones_like(behind))
    least = ops.min(counted, axis=1, keepdims=True)
    return least + ops.zeros_like(behind)
