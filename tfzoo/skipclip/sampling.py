"""Selects frames of a video for a context clip, its future clips, and evaluation clips."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Clips:
    """The shape of a tuple of clips.

    A clip spans `frames` x `stride` frames of its video. With the context at s, future clip i (from
    1) starts at s + frames stride + (i - 1) skip: the first just after the context. Futures overlap
    if skip < frames stride.

    Attributes:
        frames: frames T of a clip.
        stride: tau, frames of the video between consecutive frames of a clip.
        futures: number m of future clips.
        skip: k, frames of the video between the starts of consecutive future clips.
    """

    frames: int = 16
    stride: int = 1
    futures: int = 4
    skip: int = 16

    @property
    def clip_span(self) -> int:
        """Number of frames of the video spanned by a clip."""
        return self.frames * self.stride

    @property
    def span(self) -> int:
        """Number of frames that a video must have."""
        return 2 * self.clip_span + (self.futures - 1) * self.skip

    def offsets(self) -> list[int]:
        """Starts of context and futures, relative to the context's."""
        return [0] + [self.clip_span + i * self.skip for i in range(self.futures)]


def tuple_frames(length: tf.Tensor, seed: tf.Tensor, clips: Clips) -> tf.Tensor:
    """Frame indices of a context and its futures, at a random position.

    Args:
        length: length of the video, int32; a video shorter than `clips.span` is repeated.
        seed: int32 [2].
        clips: shape of the tuple.

    Returns:
        int32 [1 + m, T], all below `length`.
    """
    room = tf.maximum(length - clips.span, 0)
    start = tf.random.stateless_uniform([], seed, 0, room + 1, tf.int32)
    starts = start + tf.constant(clips.offsets(), tf.int32)
    return _frames(starts, length, clips.frames, clips.stride)


def random_clip(length: tf.Tensor, seed: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
    """Frame indices of one clip at a random position, int32 [T]; repeats a short video."""
    room = tf.maximum(length - frames * stride, 0)
    start = tf.random.stateless_uniform([1], seed, 0, room + 1, tf.int32)
    return _frames(start, length, frames, stride)[0]


def uniform_clips(length: tf.Tensor, count: int, frames: int, stride: int) -> tf.Tensor:
    """Frame indices of clips spread evenly from first to last frame, int32 [count, T]."""
    room = tf.cast(tf.maximum(length - frames * stride, 0), tf.float32)
    at = tf.linspace(0.0, 1.0, count) if count > 1 else tf.constant([0.5])
    return _frames(tf.cast(tf.round(at * room), tf.int32), length, frames, stride)


def _frames(starts: tf.Tensor, length: tf.Tensor, frames: int, stride: int) -> tf.Tensor:
    indices = starts[:, None] + stride * tf.range(frames)
    return tf.math.floormod(tf.ensure_shape(indices, [starts.shape[0], frames]), length)
