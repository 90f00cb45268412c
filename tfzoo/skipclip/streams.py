"""Streams of tuples of clips for the pretext tasks, of labelled clips, and of evaluation clips."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import tensorflow as tf

from tfzoo import data
from tfzoo.data.videos import splits
from tfzoo.errors import InputError
from tfzoo.skipclip import augment, sampling
from tfzoo.skipclip.augment import AugmentConfig
from tfzoo.skipclip.sampling import Clips


def tuples(
    source: splits.VideoSplit,
    clips: Clips,
    view: AugmentConfig,
    *,
    rotate: bool,
    batch_size: int,
    seed: int,
    steps_per_epoch: int | None = None,
) -> data.TrainStream:
    """Batches for `SkipClip.fit`: uint8 [B, 1 + m, T, S, S, 3], quarter turns int32 [B].

    Each draw depends on seed, epoch and position. Position, mirroring and rotation are shared by a
    tuple, colours and small shifts are drawn per clip (see `augment`).

    Args:
        source: the videos.
        clips: shape of the tuples.
        view: settings of crop and colours.
        rotate: whether tuples are rotated by a random number of quarter turns; otherwise all are 0.
        batch_size: tuples per batch.
        seed: seed of all draws.
        steps_per_epoch: caps the epoch.
    """

    def prepare(example: dict[str, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        when, where, way = tf.unstack(tf.random.split(seed, 3))
        cut = _cut(example["video"], when, where, clips, view)
        times = tf.zeros([], tf.int32)
        if rotate:
            times = tf.random.stateless_uniform([], way, 0, 4, tf.int32)
            cut = augment.turn(cut, times)
        return cut, times

    return source.stream(
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        map_fn=prepare,
        batch_map_fn=lambda batch, s: (augment.colour(batch[0], s, view), batch[1]),
    )


def orders(
    source: splits.VideoSplit,
    clips: Clips,
    view: AugmentConfig,
    *,
    count: int = 3,
    batch_size: int,
    seed: int,
    steps_per_epoch: int | None = None,
) -> data.TrainStream:
    """Batches for `ClipOrder.fit`: shuffled clips uint8 [B, n, T, S, S, 3], permutations int32 [B].

    The clips are the context and the first futures of a tuple.
    """
    permutations = tf.constant(list(itertools.permutations(range(count))), tf.int32)
    form = Clips(clips.frames, clips.stride, count - 1, max(clips.skip, clips.clip_span))

    def prepare(example: dict[str, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        when, where, way = tf.unstack(tf.random.split(seed, 3))
        cut = _cut(example["video"], when, where, form, view)
        number = tf.random.stateless_uniform([], way, 0, len(permutations), tf.int32)
        return tf.gather(cut, permutations[number]), number

    return source.stream(
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        map_fn=prepare,
        batch_map_fn=lambda batch, s: (augment.colour(batch[0], s, view), batch[1]),
    )


def labelled(
    source: splits.VideoSplit,
    frames: int,
    stride: int,
    view: AugmentConfig,
    *,
    batch_size: int,
    seed: int,
    steps_per_epoch: int | None = None,
) -> data.TrainStream:
    """Batches for `ActionRecognizer.fit`: one clip per video, uint8 [B, T, S, S, 3], int64 [B]."""

    def prepare(example: dict[str, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        when, where = tf.unstack(tf.random.split(seed, 2))
        video = example["video"]
        index = sampling.random_clip(tf.shape(video)[0], when, frames, stride)
        clip = splits.frames(video, index)[None]
        return augment.crop(clip, where, view)[0], example["label"]

    def recolour(
        batch: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return augment.colour(batch[0][:, None], seed, view)[:, 0], batch[1]

    return source.stream(
        batch_size=batch_size,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        map_fn=prepare,
        batch_map_fn=recolour,
    )


def few(source: splits.VideoSplit, labels: int | None, seed: int) -> splits.VideoSplit:
    """`labels` videos per class, drawn by the seed; a smaller draw is a prefix of a larger."""
    if labels is None:
        return source
    if source.lookup is None:
        raise InputError(f"finetune.labels={labels}: must be null, the videos exceed memory")
    y = np.array([int(source.lookup(tf.constant(i))["label"]) for i in range(source.count)])
    order = np.random.default_rng(seed).permutation(source.count)
    rows = np.concatenate([order[y[order] == k][:labels] for k in np.unique(y)])
    held, lookup = tf.constant(rows), source.lookup
    return replace(
        source,
        count=len(rows),
        stream=lambda **more: data.train_stream(
            lambda i, epoch: lookup(held[i], epoch), count=len(rows), **more
        ),
        dataset=tf.data.Dataset.from_tensor_slices(held).map(lookup),
        lookup=lambda i, epoch=None: lookup(held[i], epoch),
    )


def evaluation_clips(
    source: splits.VideoSplit,
    frames: int,
    stride: int,
    count: int,
    view: AugmentConfig,
    batch_size: int,
) -> tf.data.Dataset:
    """Evenly spread plain clips of every video: uint8 [B, n, T, S, S, 3], labels int64 [B] or 0."""

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        video = example["video"]
        index = sampling.uniform_clips(tf.shape(video)[0], count, frames, stride)
        return _view(video, index, view), example.get("label", tf.zeros([], tf.int64))

    return data.eval_batches(source.dataset, batch_size=batch_size, map_fn=prepare)


def evaluation_tuples(
    source: splits.VideoSplit, clips: Clips, view: AugmentConfig, batch_size: int
) -> tf.data.Dataset:
    """A plain tuple from every video's middle: uint8 [B, 1 + m, T, S, S, 3], zeros int32 [B]."""

    def prepare(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        video = example["video"]
        length = tf.shape(video)[0]
        start = tf.maximum(length - clips.span, 0) // 2
        starts = start + tf.constant(clips.offsets(), tf.int32)
        index = sampling._frames(starts, length, clips.frames, clips.stride)
        return _view(video, index, view), tf.zeros([], tf.int32)

    return data.eval_batches(source.dataset, batch_size=batch_size, map_fn=prepare)


def _cut(
    video: tf.Tensor, when: tf.Tensor, where: tf.Tensor, clips: Clips, view: AugmentConfig
) -> tf.Tensor:
    index = sampling.tuple_frames(tf.shape(video)[0], when, clips)
    return augment.crop(_clips(video, index), where, view)


def _view(video: tf.Tensor, index: tf.Tensor, view: AugmentConfig) -> tf.Tensor:
    return augment.middle(_clips(video, index), view)


def _clips(video: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Frames at indices [n, T] -> [n, T, H, W, C]."""
    flat = splits.frames(video, tf.reshape(index, [-1]))
    shape = tf.shape(flat)
    frames = tf.reshape(flat, [*index.shape, shape[1], shape[2], flat.shape[-1]])
    return tf.ensure_shape(frames, [*index.shape, *flat.shape[1:]])
