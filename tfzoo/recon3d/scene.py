"""Puts a capture's object into the unit cube, and its mesh back into the capture's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.errors import InputError
from tfzoo.recon3d.views import CUBE, READINGS, behind, check_cameras, matrix_faults, odd_one

if TYPE_CHECKING:
    import keras
    import trimesh

    from tfzoo.data.shapes.captures import Capture

_WELL = 0.04
"""Fraction of its side by which planes along the silhouettes may miss the best-fitting box."""
_TANGENTS = 64
"""Number of planes along each silhouette."""

VIEWS = 8
"""Maximum number of a capture's views to use; they are chosen from all sides."""


@dataclass(frozen=True)
class Frame:
    """The similarity transform that puts an object into the unit cube: x = scale x' + centre.

    x is a point in the capture's world, x' the same point in the cube's frame. Axes are kept.

    Attributes:
        centre: centre of the object in the world [3].
        scale: the longest side of its box, in the world's units.
    """

    centre: np.ndarray
    scale: float

    def cameras(self, cameras: np.ndarray) -> np.ndarray:
        """Converts world cameras [V, 3, 7] to the cube's frame."""
        return pinhole.in_frame(cameras, self.centre, self.scale)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Converts points [..., 3] from the cube's frame to the world."""
        return np.asarray(points) * self.scale + self.centre

    def mesh(self, mesh: trimesh.Trimesh) -> trimesh.Trimesh:
        """Converts a mesh from the cube's frame to the world's coordinates and units."""
        placed = mesh.copy()
        placed.vertices = self.points(mesh.vertices)
        return placed


UNIT = Frame(np.zeros(3), 1.0)
"""The transform for objects already in the cube."""


def frame_scene(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> Frame:
    """Locates a capture's object and its size from silhouettes.

    Finds the axis-aligned box that best touches the planes tangent to the silhouettes. Where views
    give no information, e.g. on the height of something seen from above, this is the conservative
    guess: the visual hull would put a tent on every table.

    Args:
        cameras: [V, 3, 7], world to camera, OpenCV's axes, in pixels of the masks.
        masks: the object in each view: V arrays [H, W], true or positive on it; sizes may differ.

    Returns:
        The transform; `frame.cameras(cameras)` gives a model's cameras, and `frame.mesh(mesh)`
        returns a mesh to the capture's own coordinates and units.

    Raises:
        InputError: fewer than 2 views, an empty mask, an invalid camera, or cameras whose
            silhouettes do not meet in space.
    """
    cameras = np.asarray(cameras, np.float64)
    masks = [np.asarray(mask) > 0 for mask in masks]
    if cameras.ndim != 3 or cameras.shape[1:] != (3, 7) or len(cameras) != len(masks):
        raise InputError(f"cameras{list(cameras.shape)}: must be [{len(masks)}, 3, 7], as masks")
    if len(cameras) < 2:
        raise InputError(f"cameras: {len(cameras)} view, must be at least 2 to find an object")
    for v, mask in enumerate(masks):
        if mask.ndim != 2 or not mask.any():
            raise InputError(f"masks[{v}]: {list(mask.shape)}, must be [H, W] and not empty")
    for fault in matrix_faults(cameras):
        raise InputError(f"cameras[{fault.view}]: {fault.says}")
    centre = _middle(cameras, masks)
    low, high, misfit = _touching_box(cameras, masks, centre)
    better = _better_reading(cameras, masks, misfit)
    if better:
        raise InputError(
            f"cameras: planes along the silhouettes miss the best box by {misfit:.0%}"
            f" of its side; the cameras would fit if they were {better}"
        )
    centre, scale = (low + high) / 2, float((high - low).max())
    seen = behind(cameras, masks, centre, CUBE * scale)
    if not seen.all(0).any():
        raise InputError(
            f"cameras[{odd_one(seen)}]: no point of space is behind its silhouette and those of "
            f"all others; at most {seen.sum(0).max()} of {len(cameras)} agree on one"
            f"{_meeting_hint(cameras, masks)}"
        )
    return Frame(centre, scale)


def _middle(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """A point close to all lines of sight to the silhouettes' centres, in front of all cameras."""
    starts, ways = _sights(cameras, masks)
    if np.linalg.eigvalsh(_across(ways).sum(0))[0] < 1e-4 * len(cameras):
        raise InputError("cameras: all look along one line, must see the object from several sides")
    centre = _meeting(starts, ways)
    for v, camera in enumerate(cameras):
        if camera[2, 3:6] @ centre + camera[2, 6] <= 0:
            hint = _meeting_hint(cameras, masks)
            raise InputError(f"cameras[{v}]: the object, by the others, is behind it{hint}")
    pixels, _ = pinhole.projected(cameras, centre[None])
    for v, (at, mask) in enumerate(zip(pixels[:, 0], masks, strict=True)):
        places = np.argwhere(mask)[:, ::-1]
        low, high = places.min(0), places.max(0) + 1
        if (np.abs(at - (low + high) / 2) > high - low).any():
            hint = _meeting_hint(cameras, masks)
            raise InputError(
                f"cameras[{v}]: its line of sight does not meet the others'; the object, by them, "
                f"is at pixel ({at[0]:.4g}, {at[1]:.4g}){hint}"
            )
    return centre


def _touching_box(
    cameras: np.ndarray, masks: Sequence[np.ndarray], centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Corners of the box of a body touched by planes along the silhouettes, and their misfit.

    The body is between a box and an ellipsoid: it reaches c n + (sum_i |a_i n_i|^q)^(1/q) along n,
    q = 1 being the box and q = 2 the ellipsoid of half sides a. Each plane n x = n o through a
    camera gives its extent along n.
    """
    from scipy import optimize

    angles = np.arange(_TANGENTS) * 2 * np.pi / _TANGENTS
    lines = np.stack([np.cos(angles), np.sin(angles)], -1)
    ways, reaches = [], []
    for camera, mask in zip(cameras, masks, strict=True):
        y, x = np.nonzero(mask & ~_eroded(mask))
        middles = lines @ np.stack([x + 0.5, y + 0.5])  # pixels, whose corners extend farther
        edge = middles.max(-1) + np.abs(lines).sum(-1) / 2
        way = np.concatenate([lines, -edge[:, None]], -1) @ camera[:, :3] @ camera[:, 3:6]
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        ways.append(way)
        reaches.append(way @ (-camera[:, 3:6].T @ camera[:, 6] - centre))
    n, reach = np.concatenate(ways), np.concatenate(reaches)
    # for a box it is linear in the corners
    corners = np.linalg.lstsq(np.concatenate([np.minimum(n, 0), np.maximum(n, 0)], -1), reach)[0]
    size = float(np.abs(reach).max())
    half = np.maximum(np.abs(corners[3:] - corners[:3]) / 2, 0.01 * size)

    def missed(unknown: np.ndarray) -> np.ndarray:
        c, a, q = unknown[:3], unknown[3:6], unknown[6]
        return n @ c + (np.abs(n * a) ** q).sum(-1) ** (1 / q) - reach / size

    start = [*(corners[:3] + corners[3:]) / 2 / size, *half / size, 1.2]
    least, most = [-9.0] * 3 + [1e-3] * 3 + [1.0], [9.0] * 3 + [9.0] * 3 + [3.0]
    solution = optimize.least_squares(missed, np.clip(start, least, most), bounds=(least, most))
    middle, half = centre + size * solution.x[:3], size * solution.x[3:6]
    misfit = size * np.sqrt(np.square(solution.fun).mean()) / (2 * half.max())
    return middle - half, middle + half, float(misfit)


def _better_reading(cameras: np.ndarray, masks: Sequence[np.ndarray], misfit: float) -> str:
    """The reading of the cameras that would fit much better, if they do not fit well."""
    readings = {}
    for says, read in READINGS[:4] if misfit > _WELL else ():
        moved = read(cameras)
        centre = _meeting(*_sights(moved, masks))
        if (moved[:, 2, 3:6] @ centre + moved[:, 2, 6] > 0).all():
            readings[says] = _touching_box(moved, masks, centre)[2]
    best = min(readings, key=lambda says: readings[says], default="")
    return best if best and readings[best] < misfit / 2 else ""


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours are also in the mask."""
    padded = np.pad(mask, 1)
    sides = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.logical_and.reduce(sides)


def _sights(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Camera positions [V, 3], and unit directions [V, 3] to their silhouettes' centres."""
    ways = []
    for camera, mask in zip(cameras, masks, strict=True):
        y, x = np.nonzero(mask)
        middle = np.array([(x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2, 1.0])
        way = np.linalg.solve(camera[:, :3], middle) @ camera[:, 3:6]
        ways.append(way / np.linalg.norm(way))
    return -np.einsum("vji,vj->vi", cameras[:, :, 3:6], cameras[:, :, 6]), np.stack(ways)


def _across(ways: np.ndarray) -> np.ndarray:
    """Projections that remove a vector's component along each direction [V, 3]: [V, 3, 3]."""
    return np.eye(3) - ways[:, :, None] * ways[:, None]


def _meeting(starts: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """The point [3] nearest to all lines, in least squares."""
    across = _across(ways)
    return np.linalg.lstsq(across.sum(0), np.einsum("vij,vj->i", across, starts))[0]


def _meeting_hint(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> str:
    """A hint, if the lines of sight would meet under another reading of the cameras."""
    for says, read in READINGS[:4]:  # lengths have no units here
        moved = read(cameras)
        starts, ways = _sights(moved, masks)
        way = _meeting(starts, ways) - starts
        along = (way * ways).sum(-1)
        off = np.linalg.norm(np.cross(ways, way), axis=-1) / np.maximum(along, 1e-9)
        wide = [0.25 * max(mask.shape) for mask in masks]
        if (along > 0).all() and (off * moved[:, 0, 0] < wide).all():
            return f"; the cameras would fit if they were {says}"
    return ""


def cut_out(
    image: np.ndarray, camera: np.ndarray, size: int, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """The square of an image around the origin, resized for a model, and its camera.

    Args:
        image: raw pixels uint8 [H, W, 3] on white.
        camera: [3, 7] of the image, the object in the unit cube.
        size: side of the resized square in pixels.
        scale: size in image widths of a unit length at the origin in the result.

    Returns:
        Raw pixels float32 [size, size, 3], white beyond the image, and their camera [3, 7]: square
        pixels, and the principal point anywhere.
    """
    from PIL import Image

    middle = pinhole.projected(camera[None], np.zeros((1, 3)))[0][0, 0]
    spans = np.array([camera[0, 0], camera[1, 1]]) / np.linalg.norm(camera[:, 6]) / scale
    corner = middle - spans / 2
    room = np.ceil(np.maximum(0, np.stack([-corner, corner + spans - image.shape[1::-1]]))) + 1
    (left, top), (right, bottom) = room.astype(int).tolist()
    padded = np.pad(image, [(top, bottom), (left, right), (0, 0)], constant_values=255)
    box = (*(corner + [left, top]), *(corner + spans + [left, top]))
    # BOX would use the nearest pixel when enlarging the square
    way = Image.Resampling.BOX if spans.min() > 2 * size else Image.Resampling.BILINEAR
    small = Image.fromarray(padded).resize((size, size), way, box=box)
    shifted = np.array(camera, np.float64)
    shifted[0, :3] = (camera[0, :3] - corner[0] * camera[2, :3]) * size / spans[0]
    shifted[1, :3] = (camera[1, :3] - corner[1] * camera[2, :3]) * size / spans[1]
    return np.asarray(small, np.float32), shifted


def spread(cameras: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` cameras that look from the most different sides, including the first.

    Args:
        cameras: [V, 3, 7], the object at the origin.
        count: maximum number of cameras.
    """
    centres = -np.einsum("vji,vj->vi", cameras[:, :, 3:6], cameras[:, :, 6])
    ways = centres / np.linalg.norm(centres, axis=-1, keepdims=True)
    chosen = [0]
    while len(chosen) < min(count, len(ways)):
        nearest = (ways @ ways[chosen].T).max(1)
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
    return np.sort(chosen)


def reconstruct_capture(
    model: keras.Model,
    capture: Capture,
    resolution: int = 64,
    threshold: float | None = None,
    views: int = VIEWS,
) -> trimesh.Trimesh:
    """The mesh of a capture's object, in the capture's own coordinates and units.

    `frame_scene` locates the object by the silhouettes of all views. Squares around it are cropped
    from the images, at the scale of the model's training.

    Args:
        model: a trained `OccupancyReconstructor`.
        capture: a capture from `read_capture`.
        resolution: cells along a side of the cube around the object.
        threshold: probability on the surface; default: the model's.
        views: maximum number of views for the model.

    Raises:
        InputError: the cameras do not fit the images, or the model's range; no surface.
    """
    frame = UNIT if capture.in_cube else frame_scene(capture.cameras, capture.masks)
    cameras = frame.cameras(capture.cameras)
    check_cameras(cameras, capture.masks)
    scale = float(np.mean((model.camera_ranges or {}).get("scale", pinhole.R2N2_LIKE.scale)))
    chosen = spread(cameras, views)
    cut = [cut_out(capture.images[v], cameras[v], model.image_size, scale) for v in chosen]
    images, fitting = (np.stack(part) for part in zip(*cut, strict=True))
    return frame.mesh(model.reconstruct(images, fitting, resolution, threshold))
