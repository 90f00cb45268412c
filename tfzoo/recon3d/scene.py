"""Cameras and an object: whether they fit each other, and the object put into the unit cube.

Mistakes with cameras give pictures that a model takes without a word, and a mesh of nonsense. Here
they are named, with the camera's number and, where another reading of the cameras fits, with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.errors import InputError

if TYPE_CHECKING:
    import keras
    import trimesh

    from tfzoo.data.shapes.captures import Capture

Ranges = Mapping[str, Sequence[float]]

CHECKED = ("focal", "distance", "scale")
"""Of `CameraRanges`, what a model's cameras are held to. A field in cameras' axes does not know
what is up in the world, so elevation and roll say only what it was trained on."""

MARGIN = 0.05
"""So far beyond the range that a model was trained for, as a share, its cameras may be."""

_CUBE = 0.55
_PAST = 0.2
"""Of an object's pixels, so many may look past the cube."""
_GRID = 24
_WELL = 0.04
"""By so much of its side, planes along the silhouettes may miss the box that fits best."""
_TANGENTS = 64
"""Planes along each silhouette."""
_BRIGHT, _BLANK = 200, 250
_FITTING = (0.02, 1.5)
"""Image widths that a length of 1 may have at the origin."""

VIEWS = 8
"""More views of a capture than these are not looked at; they are chosen from all sides."""

FRAME_HELP = "tfzoo.recon3d.frame_scene(cameras, masks) puts an object into the unit cube"


@dataclass(frozen=True)
class Fault:
    """What is wrong with the view of that number."""

    view: int
    says: str


def check_views(
    images: np.ndarray,
    cameras: np.ndarray,
    camera_ranges: Ranges | None = None,
    row: int | None = None,
) -> None:
    """Refuses views of one object that no model can make sense of.

    Args:
        images: raw pixels [V, S, S, 3] on white.
        cameras: [V, 3, 7], all zero where a view is absent.
        camera_ranges: as `OccupancyReconstructor` has it; None for any cameras.
        row: the object's number, where there are several.

    Raises:
        InputError: one line that names the first view that is wrong, and what.
    """
    number = (lambda v: f"[{v}]") if row is None else (lambda v: f"[{row}, {v}]")
    there = np.flatnonzero((cameras != 0).any((1, 2)))
    low, high = (float(f(images[there])) for f in (np.min, np.max))
    if low < 0 or high > 255 or high <= 1:
        raise InputError(
            f"images: values from {low:.4g} to {high:.4g}, must be raw pixels from 0 to 255"
        )
    for v in there:
        fault = _picture_fault(images[v])
        if fault:
            raise InputError(f"images{number(v)}: {fault}")
    cameras = np.asarray(cameras, np.float64)
    masks = [foreground(images[v]) for v in there]
    faults = camera_faults(cameras[there], masks)
    if not faults:
        faults = _range_faults(cameras[there], images.shape[1], camera_ranges)
        hint = ""
    else:
        hint = _hint(cameras[there], masks)
    if faults:
        raise InputError(f"cameras{number(there[faults[0].view])}: {faults[0].says}{hint}")


def check_cameras(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> None:
    """Refuses cameras that do not see an object in the unit cube where their silhouettes are.

    Args:
        cameras: float64 [V, 3, 7].
        masks: bool [H, W] each.

    Raises:
        InputError: the number of the camera and what is wrong with it.
    """
    for fault in camera_faults(cameras, masks):
        raise InputError(f"cameras[{fault.view}]: {fault.says}{_hint(cameras, masks)}")


def foreground(image: np.ndarray) -> np.ndarray:
    """Which pixels [H, W] of raw pixels [H, W, 3] show the object: all that is not nearly white."""
    return np.asarray(np.any(np.asarray(image) < _BLANK, axis=-1))


def _picture_fault(image: np.ndarray) -> str:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if (border.min(-1) < _BRIGHT).mean() > 0.5:
        colour = "black" if border.max(-1).mean() < 64 else f"about {border.mean(0).astype(int)}"
        return f"its border is {colour}, must be white, as background is"
    if not foreground(image).any():
        return "shows nothing but white, must show the object"
    return ""


def matrix_faults(cameras: np.ndarray) -> list[Fault]:
    """Cameras [V, 3, 7] whose K is no intrinsics, or whose R is no rotation."""
    faults = []
    for v, camera in enumerate(cameras):
        k, r = camera[:, :3], camera[:, 3:6]
        determinant = float(np.linalg.det(r))
        if not np.isfinite(camera).all():
            faults.append(Fault(v, "holds NaN or infinity, must be finite"))
        elif np.abs(k[2] - [0, 0, 1]).max() > 1e-6 or k[0, 0] <= 0 or k[1, 1] <= 0:
            words = f"K has focal lengths {k[0, 0]:.4g}, {k[1, 1]:.4g} and last row {k[2]}"
            faults.append(Fault(v, f"{words}, must be above 0 and [0, 0, 1]"))
        elif np.abs(r @ r.T - np.eye(3)).max() > 1e-2:
            faults.append(Fault(v, f"R is no rotation, R R^T is up to {np.abs(r @ r.T).max():.4g}"))
        elif determinant < 0:
            faults.append(
                Fault(v, f"R has determinant {determinant:.4g}, must be 1: an axis is mirrored")
            )
    return faults


def camera_faults(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> list[Fault]:
    """What is wrong with cameras that should see an object within the unit cube at the origin.

    Args:
        cameras: float64 [V, 3, 7].
        masks: where each sees the object, bool [H, W].

    Returns:
        Faults of single views; else, where no point of the cube is behind all silhouettes, of the
        view without which there is one, or that disagrees with most.
    """
    faults = matrix_faults(cameras)
    if faults:
        return faults
    for v, (camera, mask) in enumerate(zip(cameras, masks, strict=True)):
        says = _view_fault(camera, mask)
        if says:
            faults.append(Fault(v, says))
    return faults or _joint_faults(cameras, masks)


def _view_fault(camera: np.ndarray, mask: np.ndarray) -> str:
    height, width = mask.shape
    depth = camera[2, 6]
    corners = _CUBE * np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    if depth <= 0:
        return f"the origin, where the object should be, is behind it (depth {depth:.4g})"
    if np.linalg.norm(camera[:, 6]) < _CUBE or (corners @ camera[2, 3:6] + depth).min() <= 0:
        return f"it stands within the unit cube, {np.linalg.norm(camera[:, 6]):.4g} from the origin"
    pixels, _ = pinhole.projected(camera[None], np.zeros((1, 3)))
    x, y = pixels[0, 0]
    if not (0 <= x <= width and 0 <= y <= height):
        return (
            f"the origin, where the object should be, falls to pixel ({x:.4g}, {y:.4g}) of "
            f"{width} x {height}"
        )
    scale = camera[0, 0] / depth / width
    if not _FITTING[0] <= scale <= _FITTING[1]:
        return (
            f"a length of 1 is {scale:.3g} image widths at the origin, must be from {_FITTING[0]} "
            f"to {_FITTING[1]}: K is not of this image, or lengths are not in units of the object"
        )
    share = _share_past(camera, mask)
    if share > _PAST:
        return f"{share:.0%} of the object's pixels look past the unit cube"
    return ""


def _share_past(camera: np.ndarray, mask: np.ndarray) -> float:
    """Share of a mask's pixels whose rays miss the cube."""
    y, x = np.nonzero(mask)
    pixels = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], -1)
    ways = pixels @ np.linalg.inv(camera[:, :3]).T @ camera[:, 3:6]
    start = -camera[:, 3:6].T @ camera[:, 6]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(s * _CUBE - start) / ways for s in (-1, 1)])  # [2, P, 3]
    near, far = np.nanmax(ends.min(0), -1), np.nanmin(ends.max(0), -1)
    return float((near > far).mean())


def _joint_faults(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> list[Fault]:
    """The view that leaves no point of the cube behind all silhouettes."""
    seen = _behind(cameras, masks)
    if len(seen) < 2 or seen.all(0).any():
        return []
    return [
        Fault(
            _odd_one(seen),
            "no point of the unit cube is behind the silhouettes of it and all other views",
        )
    ]


def _odd_one(seen: np.ndarray) -> int:
    """The view without which most points are behind all others, or that agrees with fewest."""
    votes = seen.sum(0)
    alone = [int((votes - row == len(seen) - 1).sum()) for row in seen]
    apart = [int((votes * row).sum()) / max(1, int(row.sum())) for row in seen]
    return int(np.argmax(alone)) if max(alone) else int(np.argmin(apart))


def _behind(
    cameras: np.ndarray,
    masks: Sequence[np.ndarray],
    centre: np.ndarray | float = 0.0,
    half: float = _CUBE,
) -> np.ndarray:
    """Which points of a coarse grid over a cube each view has behind its silhouette: [V, P]."""
    axis = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * half
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) + centre
    pairs = zip(cameras, masks, strict=True)
    return np.stack([behind_mask(camera, mask, points, half / _GRID) for camera, mask in pairs])


def behind_mask(
    camera: np.ndarray, mask: np.ndarray, points: np.ndarray, reach: float = 0.0
) -> np.ndarray:
    """Which points [N, 3] lie behind a silhouette, or within `reach` of it; bool [N].

    A point outside of the image may be anything, and counts; one behind the camera does not.
    """
    from scipy import ndimage

    pixels, depth = pinhole.projected(camera[None], points)
    if reach:
        grown = int(np.ceil(reach * camera[0, 0] / max(1e-6, float(np.median(depth)))))
        mask = ndimage.maximum_filter(mask, 2 * min(grown, max(mask.shape)) + 1)
    cell = np.floor(pixels[0]).astype(int)
    height, width = mask.shape
    within = (cell >= 0).all(-1) & (cell[:, 0] < width) & (cell[:, 1] < height)
    cell = np.clip(cell, 0, [width - 1, height - 1])
    return (depth[0] > 0) & (~within | mask[cell[:, 1], cell[:, 0]])


_READINGS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("camera to world in place of world to camera", lambda c: _inverse(c)),
    ("with the sign of t turned", lambda c: _moved(c, -1.0)),
    ("in OpenGL's axes (from_opengl)", lambda c: _flipped(c)),
    ("camera to world in OpenGL's axes (from_opengl)", lambda c: _flipped(_inverse(c))),
    ("in centimetres of a cube of a metre", lambda c: _moved(c, 0.01)),
    ("in millimetres of a cube of a metre", lambda c: _moved(c, 0.001)),
)


def _inverse(cameras: np.ndarray) -> np.ndarray:
    inverted = cameras.copy()
    inverted[:, :, 3:6] = np.swapaxes(cameras[:, :, 3:6], 1, 2)
    inverted[:, :, 6] = -np.einsum("vij,vj->vi", inverted[:, :, 3:6], cameras[:, :, 6])
    return inverted


def _moved(cameras: np.ndarray, factor: float) -> np.ndarray:
    moved = cameras.copy()
    moved[:, :, 6] *= factor
    return moved


def _flipped(cameras: np.ndarray) -> np.ndarray:
    """Camera axes turned about x: y up and z back become y down and z forward."""
    flipped = cameras.copy()
    flipped[:, 1:, 3:] *= -1
    return flipped


def _hint(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> str:
    """How the cameras would fit if they were meant otherwise, or what makes them fit."""
    if matrix_faults(cameras):
        return ""
    fitting = {
        says: int(_behind(read(cameras), masks).all(0).sum())
        for says, read in _READINGS
        if not camera_faults(read(cameras), masks)
    }
    if fitting:  # where silhouettes meet by chance, little is behind all of them
        return f"; the cameras would fit if they were {max(fitting, key=lambda k: fitting[k])}"
    return f"; {FRAME_HELP}"


def _range_faults(cameras: np.ndarray, size: int, ranges: Ranges | None) -> list[Fault]:
    for v, camera in enumerate(cameras if ranges else ()):
        focal, distance = camera[0, 0] / size, float(np.linalg.norm(camera[:, 6]))
        values = {"focal": focal, "distance": distance, "scale": focal / distance}
        for name in CHECKED:
            low, high = (ranges or {}).get(name, (0.0, np.inf))
            if not low * (1 - MARGIN) <= values[name] <= high * (1 + MARGIN):
                unit = {"focal": " image widths", "distance": "", "scale": " image widths"}[name]
                word = {
                    "focal": "a focal length",
                    "distance": "a distance from the origin",
                    "scale": "focal length / distance",
                }[name]
                return [
                    Fault(
                        v,
                        f"has {word} of {values[name]:.4g}{unit}; must be from {low:.4g} to "
                        f"{high:.4g}, as the model was trained for (model.camera_ranges)",
                    )
                ]
    return []


@dataclass(frozen=True)
class Frame:
    """The similarity that puts an object into the unit cube: x = scale x' + centre.

    x is a point of the capture's world, x' the same point in the cube's. Axes are kept.

    Attributes:
        centre: of the object in the world [3].
        scale: the longest side of its box, in the world's units.
    """

    centre: np.ndarray
    scale: float

    def cameras(self, cameras: np.ndarray) -> np.ndarray:
        """Cameras [V, 3, 7] of the world as cameras of the cube."""
        return pinhole.in_frame(cameras, self.centre, self.scale)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] of the cube as points of the world."""
        return np.asarray(points) * self.scale + self.centre

    def mesh(self, mesh: trimesh.Trimesh) -> trimesh.Trimesh:
        """A mesh in the cube as one in the world, in its coordinates and units."""
        placed = mesh.copy()
        placed.vertices = self.points(mesh.vertices)
        return placed


UNIT = Frame(np.zeros(3), 1.0)
"""Of objects that are in the cube already."""


def frame_scene(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> Frame:
    """Where the object of a capture is and how large, by its silhouettes.

    The box along the world's axes that touches best the planes which touch the silhouettes. Of
    what no view shows, e.g. how high something seen from above is, that is the sparing guess: the
    visual hull would have a tent on every table.

    Args:
        cameras: [V, 3, 7], world to camera, OpenCV's axes, in pixels of the masks.
        masks: where each view sees the object: V arrays [H, W], true or above 0 there; sizes may
            differ.

    Returns:
        The similarity; `frame.cameras(cameras)` are what a model takes, and `frame.mesh(mesh)` is
        in the capture's own coordinates and units again.

    Raises:
        InputError: fewer than 2 views, an empty mask, a camera that is none, or cameras whose
            silhouettes do not meet in space.
    """
    cameras = np.asarray(cameras, np.float64)
    masks = [np.asarray(mask) > 0 for mask in masks]
    if cameras.ndim != 3 or cameras.shape[1:] != (3, 7) or len(cameras) != len(masks):
        raise InputError(f"cameras{list(cameras.shape)}: must be [{len(masks)}, 3, 7], one a mask")
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
    seen = _behind(cameras, masks, centre, _CUBE * scale)
    if not seen.all(0).any():
        raise InputError(
            f"cameras[{_odd_one(seen)}]: no point of space is behind its silhouette and those of "
            f"all others; at most {seen.sum(0).max()} of {len(cameras)} agree on one"
            f"{_meeting_hint(cameras, masks)}"
        )
    return Frame(centre, scale)


def _middle(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """A point near all lines of sight to the silhouettes' middles, before all cameras."""
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
    """Corners of the box of a body that planes along the silhouettes touch, and how far they miss.

    The body is between a box and an ellipsoid: it reaches c n + (sum_i |a_i n_i|^q)^(1/q) along n,
    q = 1 being the box and q = 2 the ellipsoid of half sides a. Each plane n x = n o through a
    camera says how far it reaches along n.
    """
    from scipy import optimize

    angles = np.arange(_TANGENTS) * 2 * np.pi / _TANGENTS
    lines = np.stack([np.cos(angles), np.sin(angles)], -1)
    ways, reaches = [], []
    for camera, mask in zip(cameras, masks, strict=True):
        y, x = np.nonzero(mask & ~_eroded(mask))
        middles = lines @ np.stack([x + 0.5, y + 0.5])  # of pixels, whose corners are further
        edge = middles.max(-1) + np.abs(lines).sum(-1) / 2
        way = np.concatenate([lines, -edge[:, None]], -1) @ camera[:, :3] @ camera[:, 3:6]
        way /= np.linalg.norm(way, axis=-1, keepdims=True)
        ways.append(way)
        reaches.append(way @ (-camera[:, 3:6].T @ camera[:, 6] - centre))
    n, reach = np.concatenate(ways), np.concatenate(reaches)
    # of a box it is linear in the corners
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
    """How cameras would have to be meant to fit much better, if they do not fit well."""
    readings = {}
    for says, read in _READINGS[:4] if misfit > _WELL else ():
        moved = read(cameras)
        centre = _meeting(*_sights(moved, masks))
        if (moved[:, 2, 3:6] @ centre + moved[:, 2, 6] > 0).all():
            readings[says] = _touching_box(moved, masks, centre)[2]
    best = min(readings, key=lambda says: readings[says], default="")
    return best if best and readings[best] < misfit / 2 else ""


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Pixels of which the four neighbours are in the mask too."""
    padded = np.pad(mask, 1)
    sides = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.logical_and.reduce(sides)


def _sights(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Where cameras stand [V, 3], and unit directions [V, 3] to their silhouettes' middles."""
    ways = []
    for camera, mask in zip(cameras, masks, strict=True):
        y, x = np.nonzero(mask)
        middle = np.array([(x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2, 1.0])
        way = np.linalg.solve(camera[:, :3], middle) @ camera[:, 3:6]
        ways.append(way / np.linalg.norm(way))
    return -np.einsum("vji,vj->vi", cameras[:, :, 3:6], cameras[:, :, 6]), np.stack(ways)


def _across(ways: np.ndarray) -> np.ndarray:
    """What takes from a vector its part along each direction [V, 3]: [V, 3, 3]."""
    return np.eye(3) - ways[:, :, None] * ways[:, None]


def _meeting(starts: np.ndarray, ways: np.ndarray) -> np.ndarray:
    """The point [3] that is nearest to all lines, in squares."""
    across = _across(ways)
    return np.linalg.lstsq(across.sum(0), np.einsum("vij,vj->i", across, starts))[0]


def _meeting_hint(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> str:
    """A hint, where the lines of sight would meet if the cameras were meant otherwise."""
    for says, read in _READINGS[:4]:  # lengths have no unit here
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
    """The square of an image around the origin, brought to a model's size, and its camera.

    Args:
        image: raw pixels uint8 [H, W, 3] on white.
        camera: [3, 7] of the image, the object in the unit cube.
        size: side of the square in pixels, afterwards.
        scale: image widths that a length of 1 at the origin then has.

    Returns:
        Raw pixels float32 [size, size, 3], white beyond the image, and the camera [3, 7] for them:
        square pixels, and the principal point wherever it falls.
    """
    from PIL import Image

    middle = pinhole.projected(camera[None], np.zeros((1, 3)))[0][0, 0]
    spans = np.array([camera[0, 0], camera[1, 1]]) / np.linalg.norm(camera[:, 6]) / scale
    corner = middle - spans / 2
    room = np.ceil(np.maximum(0, np.stack([-corner, corner + spans - image.shape[1::-1]]))) + 1
    (left, top), (right, bottom) = room.astype(int).tolist()
    padded = np.pad(image, [(top, bottom), (left, right), (0, 0)], constant_values=255)
    box = (*(corner + [left, top]), *(corner + spans + [left, top]))
    # BOX would take the nearest pixel where the square is smaller than it becomes
    way = Image.Resampling.BOX if spans.min() > 2 * size else Image.Resampling.BILINEAR
    small = Image.fromarray(padded).resize((size, size), way, box=box)
    shifted = np.array(camera, np.float64)
    shifted[0, :3] = (camera[0, :3] - corner[0] * camera[2, :3]) * size / spans[0]
    shifted[1, :3] = (camera[1, :3] - corner[1] * camera[2, :3]) * size / spans[1]
    return np.asarray(small, np.float32), shifted


def spread(cameras: np.ndarray, count: int) -> np.ndarray:
    """Numbers of `count` cameras that look from as different sides as can be, the first among them.

    Args:
        cameras: [V, 3, 7], the object at the origin.
        count: at most; all of fewer.
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

    `frame_scene` finds the object, by the silhouettes of all views. Squares around it are cut out
    of the images, as large as the model had them in its training.

    Args:
        model: an `OccupancyReconstructor`, trained.
        capture: of `read_capture`.
        resolution: cells along a side of the cube around the object.
        threshold: probability on the surface; the model's own by default.
        views: so many at most are shown to the model.

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
