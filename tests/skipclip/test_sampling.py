"""Tuples keep their skips, never overlap the context, and are cropped and coloured as
documented."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.skipclip import augment, sampling
from tfzoo.skipclip.augment import AugmentConfig
from tfzoo.skipclip.sampling import Clips

PLAIN = AugmentConfig(10, 8, 0, False, 0.0, 0.0, 0.0, 0.0, 0.0)


def seeds(count):
    return [tf.constant([7, i], tf.int32) for i in range(count)]


@pytest.mark.parametrize("form", [Clips(4, 1, 3, 2), Clips(3, 2, 4, 6), Clips(1, 1, 2, 1)])
def test_context_and_futures(form):
    length, starts = form.span + 5, set()
    for seed in seeds(60):
        index = sampling.tuple_frames(tf.constant(length), seed, form).numpy()
        assert index.shape == (form.futures + 1, form.frames)
        assert (np.diff(index, axis=1) == form.stride).all()
        assert (np.diff(index[1:, 0]) == form.skip).all()
        # the first future begins just where the context's span ends: they share no frame
        assert index[1, 0] == index[0, 0] + form.clip_span > index[0, -1]
        assert index.min() >= 0 and index.max() < length
        starts.add(index[0, 0])
    assert starts == set(range(6))


def test_the_shortest_video_has_one_place_and_shorter_ones_begin_anew():
    form = Clips(4, 1, 3, 2)
    assert form.span == 4 + 2 * 2 + 4
    for seed in seeds(5):
        index = sampling.tuple_frames(tf.constant(form.span), seed, form).numpy()
        assert index[0, 0] == 0 and index[-1, -1] == form.span - 1
        short = sampling.tuple_frames(tf.constant(5), seed, form).numpy()
        np.testing.assert_array_equal(short, index % 5)


def test_evaluation_clips_spread_over_the_video():
    clips = sampling.uniform_clips(tf.constant(20), 3, 4, 2).numpy()
    np.testing.assert_array_equal(clips[:, 0], [0, 6, 12])
    np.testing.assert_array_equal(sampling.uniform_clips(tf.constant(20), 1, 4, 2)[:, 0], [6])
    np.testing.assert_array_equal(sampling.uniform_clips(tf.constant(1), 2, 3, 1), np.zeros((2, 3)))


def numbered(count=3, frames=2, height=14, width=12):
    """A video whose pixels encode frame, row and column."""
    index = np.arange(frames)[:, None, None], np.arange(height)[:, None], np.arange(width)
    one = np.stack(np.broadcast_arrays(*index), -1)
    return tf.constant(np.broadcast_to(one, (count, frames, height, width, 3)).astype("uint8"))


def test_crop_is_shared_and_shifts_are_small():
    view = dataclasses.replace(PLAIN, resize=12, shift=1)
    corners = set()
    for seed in seeds(40):
        cropped = augment.crop(numbered(), seed, view).numpy()
        assert cropped.shape == (3, 2, 8, 8, 3)
        first = cropped[:, :, 0, 0, 1:].astype(int)
        assert (first[:, 0] == first[:, 1]).all()  # frames of a clip have one place
        assert np.ptp(first[:, 0], axis=0).max() <= 2
        corners.add(tuple(first[0, 0]))
        np.testing.assert_array_equal(np.diff(cropped[0, 0, :, 0, 1].astype(int)), 1)
    assert len(corners) > 15
    still = augment.crop(numbered(), seeds(1)[0], dataclasses.replace(view, shift=0)).numpy()
    assert (still == still[:1]).all()


def test_mirror_is_all_or_none():
    view = dataclasses.replace(PLAIN, resize=12, flip=True)
    steps = set()
    for seed in seeds(20):
        cropped = augment.crop(numbered(), seed, view).numpy().astype(int)
        step = np.diff(cropped[..., 2], axis=3)
        assert (step == step.flat[0]).all() and (np.diff(cropped[..., 1], axis=2) == 1).all()
        steps.add(step.flat[0])
    assert steps == {-1, 1}


def test_turn_is_rot90_of_every_frame():
    clips = augment.middle(numbered(), dataclasses.replace(PLAIN, resize=12))
    for times in range(4):
        turned = augment.turn(clips, tf.constant(times)).numpy()
        np.testing.assert_array_equal(turned, np.rot90(clips.numpy(), times, axes=(2, 3)))


def test_colours_may_be_the_tuples():
    clips = tf.fill([2, 3, 2, 4, 4, 3], tf.constant(100, tf.uint8))
    view = dataclasses.replace(PLAIN, brightness=0.5, hue=0.3, saturation=0.4, gray=0.5)
    for drawn, each in (("clip", 3), ("tuple", 1)):
        view = dataclasses.replace(view, colours=drawn)
        coloured = augment.colour(clips, seeds(1)[0], view).numpy()
        for row in coloured:
            assert len({clip.tobytes() for clip in row}) == each
        assert coloured[0].tobytes() != coloured[1].tobytes()


def test_colour_is_a_clips_own():
    rng = np.random.default_rng(0)
    one = rng.integers(60, 180, (1, 1, 1, 8, 8, 3))
    clips = tf.constant(np.broadcast_to(one, (2, 3, 2, 8, 8, 3)).astype("uint8"))
    view = AugmentConfig(10, 8, gray=0.0)
    coloured = augment.colour(clips, seeds(1)[0], view).numpy()
    assert coloured.dtype == np.uint8 and (coloured[:, :, 0] == coloured[:, :, 1]).all()
    flat = coloured.reshape(6, -1)
    assert len(np.unique(flat, axis=0)) == 6
    assert (augment.colour(clips, seeds(1)[0], PLAIN).numpy() == clips.numpy()).all()
    gray = dataclasses.replace(PLAIN, gray=1.0)
    coloured = augment.colour(clips, seeds(1)[0], gray).numpy().astype(int)
    luma = np.rint(clips.numpy() @ np.array([0.299, 0.587, 0.114]))[..., None]
    assert np.abs(coloured - luma).max() <= 1
    turned = dataclasses.replace(PLAIN, hue=0.5)  # hue rotates colours about gray: same mean
    coloured = augment.colour(clips, seeds(1)[0], turned).numpy().astype(float)
    inside = ((coloured > 0) & (coloured < 255)).all(-1)
    np.testing.assert_allclose(coloured.mean(-1)[inside], clips.numpy().mean(-1)[inside], atol=1.01)


@pytest.mark.parametrize(
    ("values", "words"),
    [({"size": 0}, "size=0"), ({"size": 200}, "resize=10"), ({"hue": 0.7}, "hue=0.7")],
)
def test_wrong_settings(values, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(PLAIN, **values)
