"""Videos for training streams: held in memory or read one by one, with short ones counted.

A video is a tensor of frames, uint8 [T, H, W, 3], or of encoded frames, string [T]: clips are cut
first and decoded afterwards.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tensorflow as tf

from tfzoo.config import Count, OneOf, Positive, check, key
from tfzoo.data.config import DataConfig
from tfzoo.data.memory import buffer_size, empty, stored_bytes, tensor
from tfzoo.data.pipeline import TrainStream, train_stream
from tfzoo.data.prepare import split
from tfzoo.errors import InputError
from tfzoo.files import replacing

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

IN_MEMORY_BYTES = 2**30
SHUFFLE_BUFFER = 256
SHORT = ("drop", "loop", "error")


@dataclass(frozen=True)
class VideoDataConfig(DataConfig):
    """The group `data` of recipes on videos."""

    short_side: Count | None = key(
        128, "`tfzoo_video_folder` scales frames to a shorter side of this many pixels"
    )
    subset: int | None = key(None, "`tfzoo_video_arrays` uses only this `set`; null: all")
    held_out: int | None = key(
        None,
        "`tfzoo_video_arrays` tests on this sequence, chooses on the next and trains on the "
        "others of its set; null: random splits.",
    )
    short: Annotated[str, OneOf(*SHORT)] = key(
        "drop",
        "videos too short for the clips are `drop`ped, with a line that counts them, restart at "
        "their end (`loop`), or are refused (`error`).",
    )
    fps: Positive | None = key(
        None,
        "`tfzoo_video_folder` samples this many frames per second, by their time stamps; null: "
        "each frame once, however long it is shown.",
    )
    partial: bool = key(
        False,
        "`tfzoo_video_folder` uses the frames of a damaged file up to the damage, counted and "
        "listed; false: `on_error` applies. If few are left, `short` applies.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()

        for name, default in (("fps", None), ("partial", False)):
            value, mine = getattr(self, name), self.name == "tfzoo_video_folder"
            allowed = f"{'null' if default is None else 'false'} unless name is tfzoo_video_folder"
            check(mine or value == default, name, value, allowed)


@dataclass(frozen=True)
class VideoSplit:
    """One split's videos.

    Attributes:
        count: number of videos that are long enough.
        dropped: number of videos that were too short.
        labelled: whether examples have `label`.
        size: (height, width) of the frames; None if they differ.
        stream: `stream(batch_size=, seed=, map_fn=, ...)` is `train_stream` over the examples
            {`video`, `label`}.
        dataset: the same examples in order, for evaluation.
        lookup: index -> example, if they are held in memory.
    """

    count: int
    dropped: int
    labelled: bool
    size: tuple[int | None, int | None]
    stream: Callable[..., TrainStream]
    dataset: tf.data.Dataset
    lookup: Callable[..., dict[str, tf.Tensor]] | None = None


def open_split(
    builder: tfds.core.DatasetBuilder, name: str, least: int = 1, short: str = "drop"
) -> VideoSplit:
    """The videos of a split that have at least `least` frames.

    Videos of equal shape that fit into `IN_MEMORY_BYTES` are held in memory; others are reread each
    epoch through a shuffle buffer, encoded frames undecoded.

    Args:
        builder: a TFDS builder whose examples have `video` and possibly `label`.
        name: a split, or a part of one.
        least: minimum number of frames of a video, at least 1.
        short: `drop` leaves shorter videos out and says how many on stderr; `loop` leaves out only
            those without frames; `error` refuses them.

    Raises:
        InputError: its examples are not videos, none is long enough, or, with `error`, one is too
            short.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    if "video" not in features:
        raise InputError(f"data.name={builder.name!r}: must have video, has {', '.join(features)}")
    feature, labelled = features["video"], "label" in features
    kept = [key for key in ("video", "label") if key in features]
    encoded = isinstance(feature, tfds.features.Video)
    read = _undecoded(builder, name) if encoded else split(builder, name)
    read = read.map(lambda x: {key: x[key] for key in kept})
    lengths = _lengths(builder, name, read)
    wanted = max(1, 1 if short == "loop" else least)
    good = lengths >= wanted
    dropped = int((~good).sum())
    if dropped:
        what = f"{dropped} of {len(good)} videos of split {name!r} have fewer than {wanted} frames"
        if short == "error" or not good.any():
            others = "data.short=drop leaves them out, " if good.any() else ""
            raise InputError(
                f"data.short={short!r}: {what}, must have as many; {others}data.short=loop "
                "repeats them"
            )
        print(
            f"{builder.name}: {what} and are left out (data.short=drop); loop keeps them",
            file=sys.stderr,
            flush=True,
        )
    long = read.filter(lambda x: tf.shape(x["video"])[0] >= wanted) if dropped else read
    long = long.apply(tf.data.experimental.assert_cardinality(int(good.sum())))
    shape = feature.shape
    size = (None, None) if encoded else (shape[1], shape[2])
    held = None if encoded else _held(long, lengths[good], shape)
    count = int(good.sum())
    if held is None:
        buffer = buffer_size(SHUFFLE_BUFFER, _video_bytes(builder, name, long, lengths[good]))
        keywords = {"examples": long, "count": count, "shuffle_buffer": buffer}
    else:
        lookup, long, size = held
        keywords = {"examples": lookup, "count": count}
    return VideoSplit(
        count,
        dropped,
        labelled,
        size,
        lambda **more: train_stream(**keywords, **more),
        long,
        None if held is None else keywords["examples"],
    )


def frames(video: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """The frames at some indices, decoded: [T, ...], int32 [n] -> uint8 [n, H, W, 3]."""
    chosen = tf.gather(video, index)
    if chosen.dtype != tf.string:
        return chosen
    decode = lambda file: tf.io.decode_image(file, 3, expand_animations=False)  # noqa: E731
    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    return tf.ensure_shape(
        tf.map_fn(decode, chosen, fn_output_signature=spec), [*index.shape, None, None, 3]
    )


def short_side(clip: tf.Tensor, size: int) -> tf.Tensor:
    """Frames [..., H, W, C] scaled to a shorter side of `size` pixels, keeping proportions."""
    if clip.shape.rank != 4:
        shape = tf.shape(clip)
        resized_clip = short_side(tf.reshape(clip, tf.concat([[-1], shape[-3:]], 0)), size)
        return tf.reshape(resized_clip, tf.concat([shape[:-3], tf.shape(resized_clip)[1:]], 0))
    if clip.shape[1] is not None and min(clip.shape[1:3]) == size:
        return clip
    shape = tf.shape(clip)[1:3]
    least = tf.reduce_min(shape)

    def resized() -> tf.Tensor:
        target = tf.maximum(size, tf.cast(tf.round(shape * size / least), tf.int32))
        resized_clip = tf.image.resize(clip, target, antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(resized_clip, 0.0, 255.0)), clip.dtype)

    return tf.cond(least == size, lambda: clip, resized)


def _undecoded(builder: tfds.core.DatasetBuilder, name: str) -> tf.data.Dataset:
    import tensorflow_datasets as tfds

    return builder.as_dataset(
        split=name,
        decoders={"video": tfds.decode.SkipDecoding()},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        shuffle_files=False,
    )


def _lengths(builder: tfds.core.DatasetBuilder, name: str, read: tf.data.Dataset) -> np.ndarray:
    """Number of frames of each video, counted once and cached with the prepared data."""
    fixed = builder.info.features["video"].shape[0]
    if fixed is not None:
        return np.full(builder.info.splits[name].num_examples, fixed)
    word = "".join(c if c.isalnum() else "-" for c in name)
    kept = Path(str(builder.data_dir)) / f"lengths-{word}.npy"
    if kept.is_file():
        return np.load(kept)
    counts = read.map(lambda x: tf.shape(x["video"])[0], tf.data.AUTOTUNE)
    lengths = np.array(list(counts.as_numpy_iterator()), np.int64)
    if kept.parent.is_dir():
        with replacing(kept) as aside:
            np.save(aside, lengths)
    return lengths


def _video_bytes(
    builder: tfds.core.DatasetBuilder, name: str, long: tf.data.Dataset, lengths: np.ndarray
) -> float:
    """Mean bytes of a video in the shuffle buffer: raw or encoded frames."""
    first = next(iter(long))["video"]
    if first.dtype == tf.string:
        return stored_bytes(builder, name)
    return float(np.mean(lengths)) * math.prod(first.shape[1:])


def _held(long: tf.data.Dataset, lengths: np.ndarray, shape: Sequence[int]) -> Any:
    """Lookup, dataset and size over frames in memory; None if too many or of different sizes."""
    total = int(lengths.sum())
    first = next(iter(long))["video"].shape[1:]
    if total * int(np.prod(first)) > IN_MEMORY_BYTES:
        return None
    frames, labels, at = empty((total, *first), np.dtype(np.uint8)), [], 0
    for example in long.as_numpy_iterator():
        video = example["video"]
        if video.shape[1:] != first:
            return None
        frames[at : at + len(video)] = video
        at += len(video)
        labels.append(example.get("label"))
    whole = tensor(frames)
    ends = tf.constant(np.concatenate([[0], np.cumsum(lengths)]), tf.int64)
    numbers = None if labels[0] is None else tf.constant(np.array(labels, np.int64))
    length = shape[0]

    def lookup(index: tf.Tensor, epoch: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        del epoch
        video = tf.ensure_shape(whole[ends[index] : ends[index + 1]], [length, *first])
        return {"video": video} | ({} if numbers is None else {"label": numbers[index]})

    dataset = tf.data.Dataset.range(len(lengths)).map(lookup)
    return lookup, dataset, tuple(first[:2])
