"""`tfzoo_video_arrays`: a user's own frames in one `.npz` file, split by groups or at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.rows import Archive
from tfzoo.data.splits import SPLITS, drawn
from tfzoo.data.synonyms import CLASSES, LABELS, VIDEOS, chosen, unread
from tfzoo.data.user_config import UserConfig
from tfzoo.errors import InputError
from tfzoo.zoo import digest

_WANTED = {"x": VIDEOS, "y": LABELS, "classes": CLASSES, "set": ["set"], "seq": ["seq"]}
_LAYOUT = "x uint8 [N, T, H, W, 3], and optionally y [N], classes [K], set [N], seq [N]"


@dataclasses.dataclass
class VideoArraysConfig(UserConfig):
    """The user's file, its shape, and which part of it is held out."""

    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    subset: int | None = None
    held_out: int | None = None


def source(config: DataConfig) -> VideoArraysConfig:
    """Reads and checks the file, after whose content and split the builder config is named.

    Raises:
        InputError: no path, no such file, not an `.npz`, arrays of another shape or dtype, or no
            such sequence or set.
    """
    if config.path is None:
        raise InputError("data.path: must be set, to an .npz file, for tfzoo_video_arrays")
    subset, held_out = getattr(config, "subset", None), getattr(config, "held_out", None)
    arrays = read_arrays(config.path)
    rows(config.path, arrays, subset, held_out)
    part = "".join(f"-{n}{v}" for n, v in (("set", subset), ("seq", held_out)) if v is not None)
    return VideoArraysConfig(
        name=f"file-{digest(config.path)[:12]}{part}",
        path=config.path,
        shape=arrays["x"].shape[1:],
        classes=tuple(map(str, arrays["classes"])) if "classes" in arrays else (),
        subset=subset,
        held_out=held_out,
        unread=unread(Archive(config.path), _WANTED),
    )


class TfzooVideoArrays(tfds.core.GeneratorBasedBuilder):
    """Videos `x` uint8 [N, T, H, W, 3] of equal size, with class indices `y` if present.

    Features: `video`, and `label` if the file has `y`. With `held_out`, the test split is the
    sequence (`seq`) with that number, the validation split the next one of the same `set`, and
    the training split the other sequences of that set (leave one sequence out). Without it, 10
    % each are drawn.
    """

    name = "tfzoo_video_arrays"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [VideoArraysConfig(name="none")]

    def _info(self) -> tfds.core.DatasetInfo:
        form = self.builder_config
        features: dict[str, Any] = {
            "video": tfds.features.Tensor(
                shape=form.shape, dtype=np.uint8, encoding=tfds.features.Encoding.BYTES
            )
        }
        if form.classes:
            features["label"] = tfds.features.ClassLabel(names=list(form.classes))
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del manager
        form = self.builder_config
        if not form.path:
            raise InputError("tfzoo_video_arrays: needs a file, given by DataConfig.path")
        arrays = read_arrays(form.path)
        parts = rows(form.path, arrays, form.subset, form.held_out)
        return {name: self._generate_examples(arrays, parts[name]) for name in SPLITS}

    def _generate_examples(
        self, arrays: dict[str, Any], part: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for place, video in arrays["x"].examples(part, forward=False):
            i = int(part[place])
            example: dict[str, Any] = {"video": video}
            if "y" in arrays:
                example["label"] = int(arrays["y"][i])
            yield i, example


def read_arrays(path: str) -> dict[str, Any]:
    """The file's arrays, checked; `classes` are indices if the file does not name them.

    `x` is a `Sliced`, that is, read by rows; the others are in memory.

    Raises:
        InputError: see `source`.
    """
    arrays = chosen(path, Archive(path), _WANTED)

    def check(condition: bool, what: str) -> None:
        if not condition:
            raise InputError(f"data.path={path!r}: {what}; must hold {_LAYOUT}")

    check("x" in arrays, "has no x")
    x = arrays["x"]
    form = f"x is {x.dtype}{list(x.shape)}"
    check(x.ndim == 5 and x.shape[-1] == 3 and x.dtype == np.uint8 and x.size > 0, form)
    for name in ("y", "set", "seq"):
        if name in arrays:
            value = arrays[name]
            form = f"{name} is {value.dtype}{list(value.shape)} for {len(x)} videos"
            check(value.shape == (len(x),) and value.dtype.kind in "ui", form)
            arrays[name] = value.whole()
            check(arrays[name].min() >= 0, f"{name} holds {arrays[name].min()}")
    if "classes" in arrays:
        arrays["classes"] = arrays["classes"].whole()
    if "y" in arrays:
        count = int(arrays["y"].max()) + 1
        arrays.setdefault("classes", np.arange(count))
        check(len(arrays["classes"]) >= count, f"y has {count} classes, but classes fewer")
    else:
        arrays.pop("classes", None)
    return arrays


def rows(
    path: str, arrays: dict[str, Any], subset: int | None, held_out: int | None
) -> dict[str, np.ndarray]:
    """The videos of each split.

    Raises:
        InputError: the file has no such set or sequence, or too few of them.
    """
    chosen = np.arange(len(arrays["x"]))
    for key, value, name in (("subset", subset, "set"), ("held_out", held_out, "seq")):
        if value is None:
            continue
        if name not in arrays:
            raise InputError(f"data.{key}={value}: must be null, {path!r} has no {name}")
        if key == "subset":
            chosen = chosen[arrays["set"] == value]
        known = np.unique(arrays[name] if key == "subset" else arrays["seq"][chosen])
        if value not in known:
            allowed = ", ".join(map(str, known))
            raise InputError(f"data.{key}={value}: must be one of {allowed}")
    if held_out is None:
        splits = drawn(len(chosen), ["validation", "test"])
        if splits is None:
            raise InputError(f"data.path={path!r}: {len(chosen)} videos are too few to split")
        return {name: chosen[part] for name, part in splits.items()}
    seq = arrays["seq"][chosen]
    if "set" in arrays:  # the protocol stays within the sequence's set
        own = arrays["set"][chosen[seq == held_out][0]]
        chosen = chosen[arrays["set"][chosen] == own]
        seq = arrays["seq"][chosen]
    known = np.unique(seq)
    if len(known) < 3:
        raise InputError(f"data.held_out={held_out}: needs 3 sequences, has {len(known)}")
    following = known[(np.flatnonzero(known == held_out)[0] + 1) % len(known)]
    parts = {"test": seq == held_out, "validation": seq == following}
    parts["train"] = ~(parts["test"] | parts["validation"])
    return {name: chosen[mask] for name, mask in parts.items()}
