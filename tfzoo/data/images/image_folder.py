"""`tfzoo_image_folder`: a user's own images, one folder per class."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from tfzoo.data import folders
from tfzoo.data.config import DataConfig
from tfzoo.data.decoding import SUFFIXES, read_image
from tfzoo.data.faults import Faults
from tfzoo.data.splits import SPLITS
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError

_LAYOUT = "folders class/image.png, or train/class/image.png, validation/..., test/..."


@dataclasses.dataclass
class ImageFolderConfig(UserConfig):
    """The user's folder and its classes."""

    classes: tuple[str, ...] = ()


def source(config: DataConfig) -> ImageFolderConfig:
    """Lists the folder; the builder config is named after its files' names, sizes and times.

    Raises:
        InputError: no path, no such folder, another layout, or files that are not images.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to a folder, for tfzoo_image_folder")
    images = list_images(config.path)
    paths = [path for part in images.values() for path in part]
    return ImageFolderConfig(
        name=f"folder-{folders.state(paths)}",
        path=config.path,
        classes=tuple(sorted({path.parent.name for path in paths})),
    )


class TfzooImageFolder(tfds.core.GeneratorBasedBuilder):
    """Images in one folder per class, kept as the files are; for a GIF, its first frame.

    Features: `image` uint8 [H, W, 3], `label`. Missing splits are drawn from the training images:
        10 % each, by a fixed seed.
    """

    name = "tfzoo_image_folder"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [ImageFolderConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=list(self.builder_config.classes)),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_image_folder: needs one, given by tfzoo.data.DataConfig.path")
        images = list_images(self.builder_config.path)
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        return {name: self._generate_examples(images[name], faults) for name in SPLITS}

    def _generate_examples(self, paths: list[Path], faults: Faults) -> Iterator[tuple[str, dict]]:
        for path in paths:
            with faults.of(str(path)):
                content, pixels = read_image(path)
                image = pixels.numpy() if content[:3] == b"GIF" else io.BytesIO(content)
                yield str(path), {"image": image, "label": path.parent.name}


def list_images(folder: str) -> dict[str, list[Path]]:
    """Paths by split; missing splits are drawn from the training images.

    Raises:
        InputError: see `source`.
    """
    images = {name: _images(path) for name, path in folders.parts(folder, _LAYOUT).items()}
    return folders.completed(images, folder, "images", _LAYOUT)


def _images(root: Path) -> list[Path]:
    """The images of all classes; refuses empty folders and other files."""
    listed = []
    for folder in filter(Path.is_dir, folders.inside(root)):
        files = folders.inside(folder)
        if not files:
            raise InputError(f"data.path: {str(folder)!r} is empty; must hold images")
        listed += files
    if not listed:
        raise InputError(f"data.path={str(root)!r}: has no images; must hold {_LAYOUT}")
    for path in listed:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise InputError(f"data.path: {str(path)!r} must be one of {', '.join(SUFFIXES)}")
    return listed
