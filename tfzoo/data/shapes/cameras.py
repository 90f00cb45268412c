"""Pinhole cameras as arrays [..., 3, 7], the intrinsics K, the rotation R and the shift t.

Axes are OpenCV's: x right, y down, z forward; a point X of the world is R X + t for the camera and
K (R X + t), divided by its third number, in the image. Pixel i spans [i, i + 1), its centre is
i + 1/2.
"""

from __future__ import annotations

import numpy as np

R2N2_SIZE = 137
"""Pixels of 3D-R2N2's renderings."""

R2N2_DISTANCE = 1.75
"""What their distance ratios are multiplied by."""

_R2N2_FOCAL = 35 / 32  # lens over sensor, in image widths


def pack_cameras(k: np.ndarray, r: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Cameras float64 [..., 3, 7] of K [..., 3, 3], R [..., 3, 3] and t [..., 3]."""
    shape = np.broadcast_shapes(np.shape(k), np.shape(r))
    k, r = (np.broadcast_to(np.asarray(x, np.float64), shape) for x in (k, r))
    t = np.broadcast_to(np.asarray(t, np.float64), shape[:-1])
    return np.concatenate([k, r, t[..., None]], -1)


def intrinsics(focal: float, size: int) -> np.ndarray:
    """K [3, 3] of square pixels and the principal point in the middle."""
    return np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])


def look_at(centre: np.ndarray, target: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, ...]:
    """R [3, 3] and t [3] of a camera at `centre` that looks at `target`.

    Raises:
        ValueError: it looks along `up`, or at itself.
    """
    forward = np.asarray(target, np.float64) - centre
    right = np.cross(forward, up)
    if not np.linalg.norm(right) > 1e-9:
        raise ValueError(f"up={up}: must not be along the line of sight, {forward}")
    forward, right = (x / np.linalg.norm(x) for x in (forward, right))
    r = np.stack([right, np.cross(forward, right), forward])
    return r, -r @ np.asarray(centre, np.float64)


def orbit(azimuth: float, elevation: float, distance: float, focal: float, size: int) -> np.ndarray:
    """A camera [3, 7] on a sphere around the origin, y up, angles in degrees."""
    a, e = np.deg2rad([azimuth, elevation])
    centre = distance * np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])
    return pack_cameras(intrinsics(focal, size), *look_at(centre, np.zeros(3), np.eye(3)[1]))


def from_r2n2(
    azimuth: float, elevation: float, distance_ratio: float, size: int = R2N2_SIZE
) -> np.ndarray:
    """A camera [3, 7] of a line of 3D-R2N2's `rendering_metadata.txt`, for images of `size`.

    The file's field of view of 25 degrees is not what was rendered; lens and sensor are.
    """
    return orbit(azimuth, elevation, R2N2_DISTANCE * distance_ratio, _R2N2_FOCAL * size, size)


def from_opengl(camera_to_world: np.ndarray, focal: float, size: int) -> np.ndarray:
    """A camera [3, 7] of OpenGL's pose [4, 4]: y up, looking along -z, camera to world."""
    pose = np.asarray(camera_to_world, np.float64)
    r = (pose[:3, :3] * [1, -1, -1]).T
    return pack_cameras(intrinsics(focal, size), r, -r @ pose[:3, 3])


def resized(cameras: np.ndarray, factor: float) -> np.ndarray:
    """The same cameras for images `factor` times as wide."""
    found = np.array(cameras, np.float64)
    found[..., :2, :3] *= factor
    return found


def in_frame(cameras: np.ndarray, loc: np.ndarray, scale: float) -> np.ndarray:
    """Cameras of the world as cameras of the frame x' where x = scale x' + loc.

    Occupancy Networks' points live in such a frame. R is kept a rotation: lengths in the camera are
    those of the new frame.
    """
    found = np.array(cameras, np.float64)
    found[..., 6] = (found[..., 3:6] @ np.asarray(loc) + found[..., 6]) / scale
    return found


def turned(cameras: np.ndarray, points: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cameras and points [..., 3] of a world that is turned by Q [3, 3]; images stay the same."""
    found = np.array(cameras, np.float64)
    found[..., 3:6] = found[..., 3:6] @ q.T
    return found, np.asarray(points) @ q.T


def projected(cameras: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [V, N, 2] and depths [V, N] of points [N, 3] in cameras [V, 3, 7]; depth above 0."""
    seen = np.einsum("vij,nj->vni", cameras[..., 3:6], points) + cameras[:, None, :, 6]
    image = np.einsum("vij,vnj->vni", cameras[..., :3], seen)
    depth = np.maximum(image[..., 2:], 1e-3)
    return image[..., :2] / depth, seen[..., 2]
