"""`tfzoo_video_folder`: a user's own video files, one folder per class, or all without labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data import folders
from tfzoo.data.config import DataConfig
from tfzoo.data.faults import Faults
from tfzoo.data.splits import SPLITS
from tfzoo.data.user_config import UserConfig
from tfzoo.data.videos.video_files import SUFFIXES, read_part, read_video
from tfzoo.errors import InputError

SHORT_SIDE = 128
_LAYOUT = "folders class/file.mp4, train/class/file.mp4 and test/..., or files without labels"


@dataclasses.dataclass
class VideoFolderConfig(UserConfig):
    """The user's folder, its classes (none if unlabelled), and how its files are read."""

    classes: tuple[str, ...] = ()
    short_side: int | None = SHORT_SIDE
    fps: float | None = None
    partial: bool = False


def source(config: DataConfig) -> VideoFolderConfig:
    """Lists the folder; the builder config is named after its files' names, sizes and times.

    Raises:
        InputError: no path, no such folder, another layout, or too few files.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to a folder, for tfzoo_video_folder")
    videos, labelled = list_videos(config.path)
    read: dict[str, Any] = {
        "short_side": getattr(config, "short_side", SHORT_SIDE),
        "fps": getattr(config, "fps", None),
        "partial": getattr(config, "partial", False),
    }
    word = f"{read['short_side']} {labelled}"
    if read["fps"] is not None or read["partial"]:  # configs with defaults keep their earlier names
        word += f" {read['fps']} {read['partial']}"
    paths = [path for part in videos.values() for path in part]
    classes = sorted({path.parent.name for path in paths}) if labelled else []
    return VideoFolderConfig(
        name=f"folder-{folders.state(paths, word)}",
        path=config.path,
        classes=tuple(classes),
        **read,
    )


class TfzooVideoFolder(tfds.core.GeneratorBasedBuilder):
    """Video files, decoded once to frames with a shorter side of `short_side`.

    Features: `video` uint8 [T, H, W, 3], and `label` if there is a folder per class. Missing splits
    are drawn from the training files: 10 % each, by a fixed seed. Files that cannot be decoded
    entirely, or have no frames, are refused or, with `on_error` `skip`, left out: the
    metadata's `skipped` has the reasons by file. With `partial` the frames before the damage
    are used, if there are any; the metadata's `partial` has the faults by file.
    """

    name = "tfzoo_video_folder"
    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.1.0": "Frames are upright, by the files' display matrices."}
    BUILDER_CONFIGS = [VideoFolderConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            "video": tfds.features.Tensor(
                shape=(None, None, None, 3),
                dtype=np.uint8,
                encoding=tfds.features.Encoding.ZLIB,
            )
        }
        if self.builder_config.classes:
            classes = list(self.builder_config.classes)
            features["label"] = tfds.features.ClassLabel(names=classes)
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        if not self.builder_config.path:
            raise InputError("tfzoo_video_folder: needs one, given by tfzoo.data.DataConfig.path")
        videos, _ = list_videos(self.builder_config.path)
        faults = Faults(self.builder_config.on_error, self.info.metadata.setdefault("skipped", {}))
        return {name: self._generate_examples(videos[name], faults) for name in SPLITS}

    def _generate_examples(self, paths: list[Path], faults: Faults) -> Iterator[tuple[str, dict]]:
        for path in paths:
            with faults.of(str(path)):
                example: dict[str, Any] = {"video": self._frames(path)}
                if self.builder_config.classes:
                    example["label"] = path.parent.name
                yield str(path), example

    def _frames(self, path: Path) -> np.ndarray:
        form = self.builder_config
        if not form.partial:
            return read_video(path, form.short_side, form.fps)
        frames, fault = read_part(path, form.short_side, form.fps)
        if fault is not None:
            told = self.info.metadata.setdefault("partial", {})
            told[str(path)] = f"{fault}: uses {len(frames)} frames"
        return frames


def list_videos(folder: str) -> tuple[dict[str, list[Path]], bool]:
    """Paths by split, and whether folders are classes.

    Raises:
        InputError: see `source`.
    """
    parts = folders.parts(folder, _LAYOUT)
    labelled = not any(p.is_file() for part in parts.values() for p in folders.inside(part))
    videos = {name: _videos(path, labelled) for name, path in parts.items()}
    return folders.completed(videos, folder, "videos", _LAYOUT), labelled


def _videos(root: Path, labelled: bool) -> list[Path]:
    listed = []
    for folder in folders.inside(root) if labelled else [root]:
        listed += folders.inside(folder)
    for path in listed:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            raise InputError(f"data.path: {str(path)!r} must be one of {', '.join(SUFFIXES)}")
    return listed
