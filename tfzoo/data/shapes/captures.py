"""Photographs of one object with known cameras, as other programs write them.

A capture is a folder; its cameras come from the first of these files that it has:

    transforms.json             NeRF, Blender, Instant-NGP, nerfstudio: poses camera to world in
                                OpenGL's axes; camera_angle_x, or fl_x, fl_y, cx, cy, w, h; k1, k2,
                                p1, p2, k3 of OpenCV's lens; of all frames or of each
    cameras.bin, images.bin     COLMAP, also as .txt, in the folder, sparse/, sparse/0/ or
                                colmap/sparse/0/; the pinhole, radial and OpenCV models
    cameras.npz                 OpenCV's: `k` [V, 3, 3], `r` [V, 3, 3], `t` [V, 3], world to camera,
                                or `cameras` [V, 3, 7]; perhaps `dist` [V, 4 to 8]; of the images by
                                name, or of those that `names` lists
    rendering_metadata.txt      3D-R2N2's, in the folder or rendering/

Images are where those files say, in the folder or in images/. The object is marked by a mask named
after the image in masks/ (`mask_path` of transforms.json), white or non-zero on the object, or by
the image's own transparency; without either, the background must be white.

Pixel i spans [i, i + 1), as with COLMAP. OpenCV's own calibration counts from pixel centres: add
1/2 to its principal points.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.errors import InputError, first_line
from tfzoo.files import expanded, read_npz

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FILES = ("transforms.json", "cameras.bin", "cameras.txt", "cameras.npz", "rendering_metadata.txt")
"""Any of these files makes a folder a capture."""

_COLMAP = (".", "sparse", "sparse/0", "colmap/sparse/0")
_PLACES: dict[str, tuple[str, ...]] = {
    "cameras.bin": _COLMAP,
    "cameras.txt": _COLMAP,
    "rendering_metadata.txt": (".", "rendering"),
}
_WHITE, _OBJECT = 250, 128


@dataclass(frozen=True)
class View:
    """An image file, its camera [3, 7], OpenCV's distortion, and a mask file, if any."""

    image: Path
    camera: np.ndarray
    distortion: tuple[float, ...] = ()
    mask: Path | None = None


@dataclass(frozen=True)
class Capture:
    """Photographs of an object.

    Attributes:
        names: names of the images.
        images: raw pixels uint8 [H, W, 3] each, on white, without lens distortion.
        masks: where the object is, bool [H, W] each.
        cameras: float64 [V, 3, 7] in pixels of the images, world to camera, OpenCV's axes.
        in_cube: whether the object already lies in the unit cube at the world's origin.
    """

    names: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    masks: tuple[np.ndarray, ...]
    cameras: np.ndarray
    in_cube: bool = False


def is_capture(folder: str | Path) -> bool:
    """Whether a folder has one of the files with cameras."""
    return _found(Path(folder)) is not None


def read_capture(folder: str | Path) -> Capture:
    """Reads the photographs and cameras of a folder; see the module for the layouts.

    Raises:
        InputError: no such folder or none of the layouts, a missing or corrupt file, an unsupported
            lens model, or an image whose background is unknown; one line that names it.
    """
    root = Path(expanded(folder))
    if not root.is_dir():
        raise InputError(f"capture {str(root)!r}: no such folder")
    file = _found(root)
    if file is None:
        raise InputError(f"capture {str(root)!r}: has none of {', '.join(FILES)}")
    readers = {
        "transforms.json": _transforms,
        "cameras.bin": _colmap,
        "cameras.txt": _colmap,
        "cameras.npz": _arrays,
        "rendering_metadata.txt": _r2n2,
    }
    try:
        views = list(readers[file.name](root, file))
    except InputError as error:
        raise InputError(f"capture {str(file)!r}: {error}") from None
    except (OSError, KeyError, IndexError, TypeError, ValueError, struct.error) as error:
        says = f"has no {error}" if isinstance(error, KeyError) else first_line(error)
        raise InputError(f"capture {str(file)!r}: cannot be read: {says}") from None
    if not views:
        raise InputError(f"capture {str(file)!r}: names no images, must name at least 1")
    return _read(views, file.name == "rendering_metadata.txt")


def of_files(paths: Sequence[str | Path], cameras: np.ndarray) -> Capture:
    """Images by path, with cameras [V, 3, 7] in the frame of the object's unit cube.

    Raises:
        InputError: an image that cannot be read, or a different number of cameras.
    """
    if len(paths) != len(cameras):
        raise InputError(f"cameras: {len(cameras)}, must be {len(paths)}, one per image")
    views = [View(Path(p), np.asarray(c)) for p, c in zip(paths, cameras, strict=True)]
    return _read(views, True)


def _found(root: Path) -> Path | None:
    for name in FILES:
        for place in _PLACES.get(name, (".",)):
            if (root / place / name).is_file():
                return root / place / name
    return None


def _read(views: Sequence[View], in_cube: bool) -> Capture:
    images, masks, cameras = [], [], []
    for view in views:
        pixels, mask = _pixels(view)
        camera = np.array(view.camera, np.float64)
        if any(view.distortion):
            pixels, mask = _undistorted(view, pixels, mask)
        alpha = mask[..., None].astype(np.float32) / 255
        flat = np.rint(pixels * alpha + 255 * (1 - alpha)).astype(np.uint8)
        images.append(flat)
        masks.append(mask >= _OBJECT)
        cameras.append(camera)
        if not masks[-1].any():
            raise InputError(f"image {str(view.image)!r}: its mask is empty, must show the object")
    names = tuple(view.image.name for view in views)
    return Capture(names, tuple(images), tuple(masks), np.stack(cameras), in_cube)


def _pixels(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Colours float32 [H, W, 3], and the object's coverage of each pixel, uint8 [H, W]."""
    image = _open(view.image, "RGBA")
    pixels, alpha = image[..., :3].astype(np.float32), image[..., 3]
    if view.mask is not None:
        mask = _open(view.mask, "LA")
        mask = np.where(mask[..., 1] == 255, mask[..., 0], mask[..., 1])
        if mask.shape != alpha.shape:
            sizes = "{1} x {0}, its image {3} x {2}".format(*mask.shape, *alpha.shape)
            raise InputError(f"mask {str(view.mask)!r}: is {sizes}; must have its size")
        # classes 0 and 1, or 0 and 255
        return pixels, mask if mask.max() > 1 else mask * np.uint8(255)
    if (alpha < 255).any():
        return pixels, alpha
    white = np.min(pixels, axis=-1) >= _WHITE
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    if border.mean() < 0.5:
        raise InputError(
            f"image {str(view.image)!r}: its background is unknown; must have a mask in "
            f"masks/{view.image.stem}.png, transparency, or a white background"
        )
    return pixels, np.where(white, 0, 255).astype(np.uint8)


def _open(path: Path, mode: str) -> np.ndarray:
    with _file(path) as file:
        return np.asarray(file.convert(mode))


@contextlib.contextmanager
def _file(path: Path) -> Iterator[Image.Image]:
    try:
        from PIL import Image
    except ImportError:
        raise InputError("captures: need `pip install tfzoo[mesh]`") from None
    try:
        with Image.open(path) as file:
            yield file
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"image {str(path)!r}: cannot be read: {first_line(error)}") from None


def _undistorted(view: View, pixels: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undistorts an image for a pinhole camera with the same K."""
    try:
        import cv2
    except ImportError:
        raise InputError(
            f"image {str(view.image)!r}: lens distortion needs "
            "`pip install tfzoo[capture]`, or undistorted images"
        ) from None
    k = np.array(view.camera[:, :3], np.float64)
    k[:2, 2] -= 0.5  # OpenCV puts the centre of pixel i at i
    distortion = np.array(view.distortion, np.float64)
    maps = cv2.initUndistortRectifyMap(k, distortion, None, k, mask.shape[::-1], cv2.CV_32FC1)
    flat = lambda x: cv2.remap(  # noqa: E731
        x, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    return flat(pixels), flat(mask)


def _image(root: Path, name: str) -> Path:
    """The file of an image that a capture names, possibly without its suffix."""
    name = name.replace("\\", "/")
    for folder in (root, root / "images"):
        path = folder / name
        if path.is_file():
            return path
        for suffix in SUFFIXES:
            other = path.with_name(path.name + suffix)
            if other.is_file():
                return other
    raise InputError(f"image {name!r}: no such file in {str(root)!r} or images/ there")


def _mask(root: Path, image: Path) -> Path | None:
    """The image's mask in masks/: `a.png` or `a.jpg.png` (COLMAP's) for `a.jpg`."""
    for name in (f"{image.stem}.png", f"{image.name}.png", image.name):
        path = root / "masks" / name
        if path.is_file():
            return path
    return None


def _listed(folder: Path) -> list[Path]:
    """Image files of a folder, or of its images/, by name."""
    for place in (folder / "images", folder):
        files = [p for p in sorted(place.glob("*")) if p.suffix.lower() in SUFFIXES]
        files = [p for p in files if not p.stem.endswith("_mask")]
        if files:
            return files
    raise InputError(f"{str(folder)!r}: has no images and no images/")


def _size(path: Path) -> tuple[int, int]:
    with _file(path) as file:
        return file.size


def _transforms(root: Path, file: Path) -> Iterator[View]:
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise InputError("must be an object with a list `frames`")
    for frame in content["frames"]:
        about = {**content, **frame}
        image = _image(root, str(about["file_path"]))
        width, height = _size(image)
        mask = root / about["mask_path"] if "mask_path" in about else _mask(root, image)
        pose = np.asarray(about["transform_matrix"], np.float64)
        if pose.shape not in ((4, 4), (3, 4)):
            raise InputError(f"transform_matrix of {image.name}: must be [4, 4]")
        r = (pose[:3, :3] * [1, -1, -1]).T
        size = np.linalg.norm(pose[:3, :3], axis=0)
        if np.ptp(size) > 1e-3 * size.max() or size.min() <= 0:
            raise InputError(f"transform_matrix of {image.name}: its axes have lengths {size}")
        r = r / size[:, None]  # Blender's objects may be scaled
        if str(about.get("camera_model", "OPENCV")) not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE"):
            raise InputError(f"camera_model={about['camera_model']!r}: must be OPENCV or PINHOLE")
        if "fl_x" in about or "fl_y" in about:
            fx, fy = (float(about[a if a in about else b]) for a, b in (_FX, _FX[::-1]))
            # for images that were downscaled since
            ratio = width / float(about.get("w", width)), height / float(about.get("h", height))
        else:
            fx = fy = 0.5 * width / np.tan(0.5 * float(about["camera_angle_x"]))
            ratio = 1.0, 1.0
        cx = float(about.get("cx", width / ratio[0] / 2))
        cy = float(about.get("cy", height / ratio[1] / 2))
        k = np.diag([*ratio, 1.0]) @ np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        lens = tuple(float(about.get(name, 0.0)) for name in ("k1", "k2", "p1", "p2", "k3"))
        yield View(image, pinhole.pack_cameras(k, r, -r @ pose[:3, 3]), lens, mask)


_FX = ("fl_x", "fl_y")
_MODELS = {
    "SIMPLE_PINHOLE": 0,
    "PINHOLE": 1,
    "SIMPLE_RADIAL": 2,
    "RADIAL": 3,
    "OPENCV": 4,
    "FULL_OPENCV": 6,
}
"""COLMAP's models that OpenCV has too, by id; the first, third and fourth have one focal length,
the others two, followed by the principal point and OpenCV's coefficients in order."""

_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_LENGTHS = {0: 3, 1: 4, 2: 4, 3: 5, 4: 8, 5: 8, 6: 12, 7: 5, 8: 4, 9: 5, 10: 12}


def _colmap(root: Path, file: Path) -> Iterator[View]:
    """Poses are already world to camera, with a quaternion w, x, y, z."""
    text = file.suffix == ".txt"
    lenses = dict(_text_cameras(file) if text else _binary_cameras(file))
    images = file.with_name(f"images{file.suffix}")
    listed = list(_text_images(images) if text else _binary_images(images))
    for name, quaternion, t, number in sorted(listed, key=lambda row: row[0]):
        model, width, height, parameters = lenses[number]
        if model not in _MODELS:
            raise InputError(f"camera {number}: {model}, must be one of {', '.join(_MODELS)}")
        image = _image(root, name)
        real = _size(image)
        count = 1 if model in _ONE_FOCAL else 2
        f, (cx, cy), lens = np.split(np.array(parameters), [count, count + 2])
        k = np.array([[f[0], 0, cx], [0, f[-1], cy], [0, 0, 1.0]])
        k = np.diag([real[0] / width, real[1] / height, 1.0]) @ k
        lens = np.pad(lens, (0, max(0, 4 - len(lens))))
        camera = pinhole.pack_cameras(k, _rotation(quaternion), np.asarray(t))
        yield View(image, camera, tuple(lens), _mask(root, image))


def _rotation(quaternion: Sequence[float]) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    w, x, y, z = quaternion
    return Rotation.from_quat([x, y, z, w]).as_matrix()


Lens = tuple[str, int, int, tuple[float, ...]]
Pose = tuple[str, tuple[float, ...], tuple[float, ...], int]


def _text_lines(file: Path) -> list[list[str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def _text_cameras(file: Path) -> Iterator[tuple[int, Lens]]:
    for words in _text_lines(file):
        if words:
            parameters = tuple(map(float, words[4:]))
            yield int(words[0]), (words[1], int(words[2]), int(words[3]), parameters)


def _text_images(file: Path) -> Iterator[Pose]:
    """Two lines per image; the second, with its points, may be empty."""
    lines = _text_lines(file)
    while lines and not lines[0]:
        lines.pop(0)
    for words in lines[::2]:
        if words:
            q, t = tuple(map(float, words[1:5])), tuple(map(float, words[5:8]))
            yield " ".join(words[9:]), q, t, int(words[8])


def _binary_cameras(file: Path) -> Iterator[tuple[int, Lens]]:
    names = {number: name for name, number in _MODELS.items()}
    with file.open("rb") as stream:
        for _ in range(_unpack(stream, "Q")[0]):
            number, model, width, height = _unpack(stream, "iiQQ")
            if model not in _LENGTHS:
                raise InputError(f"camera {number}: model {model} is unknown")
            parameters = _unpack(stream, f"{_LENGTHS[model]}d")
            yield number, (names.get(model, f"model {model}"), width, height, parameters)


def _binary_images(file: Path) -> Iterator[Pose]:
    with file.open("rb") as stream:
        for _ in range(_unpack(stream, "Q")[0]):
            _, *pose, number = _unpack(stream, "i7di")
            name = bytearray()
            while (letter := stream.read(1)) != b"\0":
                if not letter:
                    raise InputError(f"{file.name} ends within a name")
                name += letter
            (points,) = _unpack(stream, "Q")
            stream.seek(24 * points, 1)
            yield name.decode(), tuple(pose[:4]), tuple(pose[4:]), number


def _unpack(stream: IO[bytes], form: str) -> tuple[Any, ...]:
    size = struct.calcsize("<" + form)
    return struct.unpack("<" + form, stream.read(size))


def _arrays(root: Path, file: Path) -> Iterator[View]:
    arrays = read_npz(file, "capture", ("cameras", "k", "r", "t", "dist", "names"))
    cameras = pinhole.cameras_of(arrays)
    files = _listed(root)
    if "names" in arrays:
        files = [_image(root, str(name)) for name in arrays["names"]]
    if len(files) != len(cameras):
        raise InputError(f"has {len(cameras)} cameras for {len(files)} images, must be as many")
    lenses = arrays.get("dist", np.zeros((len(files), 0)))
    lenses = np.broadcast_to(lenses, (len(files), np.shape(lenses)[-1]))
    for image, camera, lens in zip(files, cameras, lenses, strict=True):
        yield View(image, camera, tuple(map(float, lens)), _mask(root, image))


def _r2n2(root: Path, file: Path) -> Iterator[View]:
    """Azimuth, elevation, a roll of 0, the distance ratio, and a field of view that is wrong."""
    lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    files = _listed(file.parent)
    if len(files) != len(lines):
        raise InputError(f"has {len(lines)} cameras for {len(files)} images, must be as many")
    for image, words in zip(files, lines, strict=True):
        azimuth, elevation, _, ratio = map(float, words[:4])
        camera = pinhole.from_r2n2(azimuth, elevation, ratio, _size(image)[0])
        yield View(image, camera, (), _mask(root, image))
