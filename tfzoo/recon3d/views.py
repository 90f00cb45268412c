"""Checks whether views fit an object in the unit cube.

A model silently accepts wrong cameras and returns a meaningless mesh. These checks name the mistake
with the camera's number and, if another reading of the cameras fits, suggest it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.errors import InputError

Ranges = Mapping[str, Sequence[float]]

CHECKED = ("focal", "distance", "scale")
"""The ranges of `CameraRanges` that a model's cameras must satisfy. A field in camera axes does not
depend on the world's up direction, so elevation and roll only describe the training data."""

MARGIN = 0.05
"""Fraction by which cameras may exceed the range that a model was trained for."""

CUBE = 0.55
_PAST = 0.2
"""Fraction of an object's pixels that may look past the cube."""
_GRID = 24
_BRIGHT, _BLANK = 200, 250
_FITTING = (0.02, 1.5)
"""Range of the size in image widths of a unit length at the origin."""

FRAME_HELP = "tfzoo.recon3d.frame_scene(cameras, masks) puts an object into the unit cube"


@dataclass(frozen=True)
class Fault:
    """What is wrong with the view at that index."""

    view: int
    says: str


def check_views(
    images: np.ndarray,
    cameras: np.ndarray,
    camera_ranges: Ranges | None = None,
    row: int | None = None,
) -> None:
    """Refuses inconsistent views of one object.

    Args:
        images: raw pixels [V, S, S, 3] on white.
        cameras: [V, 3, 7], all zero where a view is absent.
        camera_ranges: as in `OccupancyReconstructor`; None: any cameras.
        row: the object's index, if there are several.

    Raises:
        InputError: one line that names the first wrong view and its fault.
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
    """Refuses cameras whose silhouettes do not match an object in the unit cube.

    Args:
        cameras: float64 [V, 3, 7].
        masks: bool [H, W] each.

    Raises:
        InputError: the number of the camera and what is wrong with it.
    """
    for fault in camera_faults(cameras, masks):
        raise InputError(f"cameras[{fault.view}]: {fault.says}{_hint(cameras, masks)}")


def foreground(image: np.ndarray) -> np.ndarray:
    """Which of the raw pixels [H, W, 3] show the object, [H, W]: all that are not nearly white."""
    return np.asarray(np.any(np.asarray(image) < _BLANK, axis=-1))


def _picture_fault(image: np.ndarray) -> str:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if (border.min(-1) < _BRIGHT).mean() > 0.5:
        colour = "black" if border.max(-1).mean() < 64 else f"about {border.mean(0).astype(int)}"
        return f"its border is {colour}, must be white, as the background"
    if not foreground(image).any():
        return "shows nothing but white, must show the object"
    return ""


def matrix_faults(cameras: np.ndarray) -> list[Fault]:
    """Cameras [V, 3, 7] whose K is not a valid intrinsic matrix, or whose R is not a rotation."""
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
            largest = np.abs(r @ r.T).max()
            faults.append(Fault(v, f"R is not a rotation: R R^T is up to {largest:.4g}"))
        elif determinant < 0:
            faults.append(
                Fault(v, f"R has determinant {determinant:.4g}, must be 1: an axis is mirrored")
            )
    return faults


def camera_faults(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> list[Fault]:
    """Faults of cameras that should see an object within the unit cube at the origin.

    Args:
        cameras: float64 [V, 3, 7].
        masks: the object in each view, bool [H, W].

    Returns:
        Faults of single views; otherwise, if no point of the cube is behind all silhouettes, the
        fault of the view without which there is one, or that disagrees with most.
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
    corners = CUBE * np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    if depth <= 0:
        return f"the origin, where the object should be, is behind it (depth {depth:.4g})"
    if np.linalg.norm(camera[:, 6]) < CUBE or (corners @ camera[2, 3:6] + depth).min() <= 0:
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
    """Fraction of a mask's pixels whose rays miss the cube."""
    y, x = np.nonzero(mask)
    pixels = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], -1)
    ways = pixels @ np.linalg.inv(camera[:, :3]).T @ camera[:, 3:6]
    start = -camera[:, 3:6].T @ camera[:, 6]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(s * CUBE - start) / ways for s in (-1, 1)])  # [2, P, 3]
    near, far = np.nanmax(ends.min(0), -1), np.nanmin(ends.max(0), -1)
    return float((near > far).mean())


def _joint_faults(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> list[Fault]:
    """The view because of which no point of the cube is behind all silhouettes."""
    seen = behind(cameras, masks)
    if len(seen) < 2 or seen.all(0).any():
        return []
    return [
        Fault(
            odd_one(seen),
            "no point of the unit cube is behind the silhouettes of it and all other views",
        )
    ]


def odd_one(seen: np.ndarray) -> int:
    """The view without which most points are behind all others, or that agrees with the fewest."""
    votes = seen.sum(0)
    alone = [int((votes - row == len(seen) - 1).sum()) for row in seen]
    apart = [int((votes * row).sum()) / max(1, int(row.sum())) for row in seen]
    return int(np.argmax(alone)) if max(alone) else int(np.argmin(apart))


def behind(
    cameras: np.ndarray,
    masks: Sequence[np.ndarray],
    centre: np.ndarray | float = 0.0,
    half: float = CUBE,
) -> np.ndarray:
    """Which points of a coarse grid over a cube are behind each view's silhouette: [V, P]."""
    axis = ((np.arange(_GRID) + 0.5) / _GRID * 2 - 1) * half
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) + centre
    pairs = zip(cameras, masks, strict=True)
    return np.stack([behind_mask(camera, mask, points, half / _GRID) for camera, mask in pairs])


def behind_mask(
    camera: np.ndarray, mask: np.ndarray, points: np.ndarray, reach: float = 0.0
) -> np.ndarray:
    """Which points [N, 3] are behind a silhouette, or within `reach` of it; bool [N].

    A point outside the image is unknown and counts; one behind the camera does not.
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


READINGS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("camera to world instead of world to camera", lambda c: _inverse(c)),
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
    """Camera axes rotated about x: y up and z back become y down and z forward."""
    flipped = cameras.copy()
    flipped[:, 1:, 3:] *= -1
    return flipped


def _hint(cameras: np.ndarray, masks: Sequence[np.ndarray]) -> str:
    """The reading under which the cameras would fit."""
    if matrix_faults(cameras):
        return ""
    fitting = {
        says: int(behind(read(cameras), masks).all(0).sum())
        for says, read in READINGS
        if not camera_faults(read(cameras), masks)
    }
    if fitting:  # if silhouettes meet by chance, little is behind all of them
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
