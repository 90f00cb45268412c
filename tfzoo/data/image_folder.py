"""`tfzoo_image_folder`: a user's own images, one folder a class."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.errors import InputError

_SPLITS = ("train", "validation", "test")
_SUFFIXES = (".png", ".jpg", ".jpeg")
_LAYOUT = "folders class/image.png, or train/class/image.png, validation/..., test/..."


@dataclasses.dataclass
class ImageFolderConfig(tfds.core.BuilderConfig):
    """The user's folder and its classes."""

    path: str = ""
    classes: tuple[str, ...] = ()


def source(config: DataConfig) -> ImageFolderConfig:
    """Lists the folder; its builder config is named after names, sizes and times of its files.

    Raises:
        InputError: no path, no such folder, another layout, or files that are no PNG or JPEG.
    """
    if config.path is None:
        raise InputError("data.path: must be set to a folder for tfzoo_image_folder")
    found = list_images(config.path)
    state = hashlib.sha256()
    for path in sorted(p for part in found.values() for p in part):
        stat = path.stat()
        state.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return ImageFolderConfig(
        name=f"folder-{state.hexdigest()[:12]}",
        path=config.path,
        classes=tuple(sorted({p.parent.name for part in found.values() for p in part})),
    )


class TfzooImageFolder(tfds.core.GeneratorBasedBuilder):
    """PNG and JPEG images in one folder a class.

    Features: `image` uint8 [H, W, 3], `label`. Without split folders, 10 % each are drawn for
    validation and test, by a fixed seed.
    """

    name = "tfzoo_image_folder"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ImageFolderConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=list(self.builder_config.classes)),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, manager: Any) -> dict[str, Iterator]:
        del manager
        found = list_images(self.builder_config.path)
        return {name: self._generate_examples(found[name]) for name in _SPLITS}

    def _generate_examples(self, paths: list[Path]) -> Iterator[tuple[str, dict]]:
        import tensorflow as tf

        for path in paths:
            try:
                image = tf.io.decode_image(path.read_bytes(), 3, expand_animations=False).numpy()
            except (OSError, tf.errors.InvalidArgumentError) as error:
                first = str(error).splitlines()[0]
                raise InputError(
                    f"data.path: {str(path)!r} is no readable image: {first}"
                ) from None
            yield str(path), {"image": image, "label": path.parent.name}


def list_images(folder: str) -> dict[str, list[Path]]:
    """Paths by split.

    Raises:
        InputError: see `source`.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"data.path={folder!r}: no such folder")
    if (root / "train").is_dir():
        parts = {name: _images(root / name) for name in _SPLITS if (root / name).is_dir()}
    else:
        parts = {"train": _images(root)}
    missing = [name for name in _SPLITS if name not in parts]
    paths = parts["train"]
    order, held = np.random.RandomState(0).permutation(len(paths)), max(1, len(paths) // 10)
    if len(paths) <= held * len(missing):
        raise InputError(
            f"data.path={folder!r}: has {len(paths)} training images, too few to split; "
            f"must hold {_LAYOUT}"
        )
    for i, name in enumerate(missing):
        parts[name] = [paths[j] for j in order[i * held : (i + 1) * held]]
    parts["train"] = [paths[j] for j in order[held * len(missing) :]]
    for name, part in parts.items():
        if not part:
            raise InputError(f"data.path={folder!r}: split {name!r} is empty")
    return parts


def _images(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.glob("*/*") if p.is_file() and not p.name.startswith("."))
    for path in files:
        if path.suffix.lower() not in _SUFFIXES:
            raise InputError(f"data.path: {str(path)!r} must be one of {', '.join(_SUFFIXES)}")
    return files
