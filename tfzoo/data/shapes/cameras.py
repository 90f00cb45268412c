"""Pinhole cameras as arrays [..., 3, 7]: intrinsics K, rotation R and translation t.

Axes are OpenCV's: x right, y down, z forward. A world point X has the camera coordinates R X + t
and the image coordinates K (R X + t), divided by the third component. Pixel i spans [i, i + 1);
its centre is i + 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tfzoo.errors import InputError

R2N2_SIZE = 137
"""Side of 3D-R2N2's renderings in pixels."""

R2N2_DISTANCE = 1.75
"""Factor on 3D-R2N2's distance ratios."""

_R2N2_FOCAL = 35 / 32  # focal length over sensor width, in image widths


Range = tuple[float, float]


@dataclass(frozen=True)
class CameraRanges:
    """Ranges from which cameras of training data are drawn; all look at the origin.

    Attributes:
        focal: in image widths, drawn log-uniformly.
        distance: from the origin; if `focal` varies, it follows from `scale`.
        scale: focal / distance, the size in image widths of a unit length at the origin.
        elevation: degrees above the x-z plane.
        roll: degrees around the line of sight.
    """

    focal: Range
    distance: Range
    scale: Range
    elevation: Range
    roll: Range = (0.0, 0.0)

    def draw(self, count: int, size: int, rng: np.random.RandomState) -> np.ndarray:
        """Draws cameras float64 [count, 3, 7] for images of `size`, from all sides."""
        return np.stack([self._draw(size, rng) for _ in range(count)])

    def _draw(self, size: int, rng: np.random.RandomState) -> np.ndarray:
        azimuth, elevation = rng.uniform(0, 360), rng.uniform(*self.elevation)
        if self.focal[0] == self.focal[1]:
            focal, distance = self.focal[0], rng.uniform(*self.distance)
        else:  # a longer lens from farther away: dolly zoom
            focal = float(np.exp(rng.uniform(*np.log(self.focal))))
            distance = float(np.clip(focal / rng.uniform(*self.scale), *self.distance))
        roll = rng.uniform(*self.roll) if self.roll[0] < self.roll[1] else 0.0
        return orbit(azimuth, elevation, distance, focal * size, size, roll)


R2N2_LIKE = CameraRanges(
    (_R2N2_FOCAL, _R2N2_FOCAL),
    (1.6, 1.9),
    (_R2N2_FOCAL / 1.9, _R2N2_FOCAL / 1.6),
    (5.0, 45.0),
)
"""3D-R2N2's lens, at about its distances."""

VARIED = CameraRanges((0.8, 4.0), (1.25, 8.0), (0.5, 0.65), (-20.0, 70.0), (-20.0, 20.0))
"""From wide lenses nearby to long ones far away, from below and above, tilted."""


def pack_cameras(k: np.ndarray, r: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Cameras float64 [..., 3, 7] from K [..., 3, 3], R [..., 3, 3] and t [..., 3]."""
    shape = np.broadcast_shapes(np.shape(k), np.shape(r))
    k, r = (np.broadcast_to(np.asarray(x, np.float64), shape) for x in (k, r))
    t = np.broadcast_to(np.asarray(t, np.float64), shape[:-1])
    return np.concatenate([k, r, t[..., None]], -1)


def cameras_of(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Cameras [V, 3, 7] from a user's file: its `cameras`, or its `k`, `r` and `t`.

    Raises:
        InputError: it has neither, or they have other shapes.
    """
    cameras = arrays.get("cameras")
    if cameras is None:
        if not {"k", "r", "t"} <= arrays.keys():
            raise InputError("must hold cameras, or k, r and t")
        try:
            cameras = np.asarray(pack_cameras(*(arrays[name] for name in ("k", "r", "t"))))
        except (ValueError, TypeError) as error:
            raise InputError(f"k, r, t: {error}") from None
    if cameras.ndim != 3 or cameras.shape[1:] != (3, 7):
        raise InputError(f"cameras{list(cameras.shape)} must be [V, 3, 7]")
    return cameras


def intrinsics(focal: float, size: int) -> np.ndarray:
    """K [3, 3] with square pixels and the principal point in the centre."""
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


def orbit(
    azimuth: float, elevation: float, distance: float, focal: float, size: int, roll: float = 0.0
) -> np.ndarray:
    """A camera [3, 7] on a sphere around the origin, y up, angles in degrees.

    A positive `roll` turns the camera to its right about the line of sight.
    """
    a, e, w = np.deg2rad([azimuth, elevation, roll])
    centre = distance * np.array([np.cos(e) * np.cos(a), np.sin(e), np.cos(e) * np.sin(a)])
    r, t = look_at(centre, np.zeros(3), np.eye(3)[1])
    lean = np.array([[np.cos(w), np.sin(w), 0], [-np.sin(w), np.cos(w), 0], [0, 0, 1]])
    return pack_cameras(intrinsics(focal, size), lean @ r, lean @ t)


def from_r2n2(
    azimuth: float, elevation: float, distance_ratio: float, size: int = R2N2_SIZE
) -> np.ndarray:
    """A camera [3, 7] from a line of 3D-R2N2's `rendering_metadata.txt`, for images of `size`.

    The file's field of view of 25 degrees is not the rendered one; lens and sensor are right.
    """
    return orbit(azimuth, elevation, R2N2_DISTANCE * distance_ratio, _R2N2_FOCAL * size, size)


def from_opengl(camera_to_world: np.ndarray, focal: float, size: int) -> np.ndarray:
    """A camera [3, 7] from an OpenGL pose [4, 4]: y up, looking along -z, camera to world."""
    pose = np.asarray(camera_to_world, np.float64)
    r = (pose[:3, :3] * [1, -1, -1]).T
    return pack_cameras(intrinsics(focal, size), r, -r @ pose[:3, 3])


def resized(cameras: np.ndarray, factor: float) -> np.ndarray:
    """The same cameras for images `factor` times as wide."""
    changed = np.array(cameras, np.float64)
    changed[..., :2, :3] *= factor
    return changed


def in_frame(cameras: np.ndarray, loc: np.ndarray, scale: float) -> np.ndarray:
    """Converts world cameras to cameras of the frame x', where x = scale x' + loc.

    Occupancy Networks' points are given in such a frame. R stays a rotation: camera coordinates are
    in units of the new frame.
    """
    changed = np.array(cameras, np.float64)
    changed[..., 6] = (changed[..., 3:6] @ np.asarray(loc) + changed[..., 6]) / scale
    return changed


def turned(cameras: np.ndarray, points: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cameras and points [..., 3] after rotating the world by Q [3, 3]; images stay the same."""
    changed = np.array(cameras, np.float64)
    changed[..., 3:6] = changed[..., 3:6] @ q.T
    return changed, np.asarray(points) @ q.T


def projected(cameras: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [V, N, 2] and depths [V, N] of points [N, 3] in cameras [V, 3, 7]; depths > 0."""
    seen = np.einsum("vij,nj->vni", cameras[..., 3:6], points) + cameras[:, None, :, 6]
    image = np.einsum("vij,vnj->vni", cameras[..., :3], seen)
    depth = np.maximum(image[..., 2:], 1e-3)
    return image[..., :2] / depth, seen[..., 2]
