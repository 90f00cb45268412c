"""`tfzoo_motions`: procedural videos of textured shapes whose class is the kind of motion."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfzoo.data.videos import sweeps

MOTIONS: tuple[str, ...] = ("left", "right", "up", "down", "clockwise", "counterclockwise")
MOTIONS += ("grow", "shrink", "orbit_clockwise", "orbit_counterclockwise")
MOTIONS += ("swing_sideways", "swing_upright")
SHAPES = ("disc", "square", "triangle", "ring", "cross")
FRAMES, SIDE = 32, 28
COUNTS = {"train": 1200, "validation": 240, "test": 480}

_LOG_SCALE = (np.log(0.75), np.log(1.3))
_RADIUS = 0.28  # radius of a shape at scale 1; the frame's side is 1 and wraps around


class TfzooMotions(tfds.core.GeneratorBasedBuilder):
    """A textured shape moving over a textured background, 28x28 pixels; generated on first use.

    Version 2, `tfzoo_motions:2.0.0`: 64 frames of a slow sweep that never returns, so that frames
    differ more the farther apart they are: left, right, up, down; turning, growing, circling and
    stretching in both senses; see `tfzoo.data.videos.sweeps`. Splits: 4,200 train, 240 validation,
    480 test.

    Version 1, `tfzoo_motions`: 32 frames of faster motions, with swinging instead of stretching.
    The frame wraps around, and sizes start over at their end: at any time, position, angle and size
        have the same distribution for all motions, but distant frames look close. 1,200 train, 240
        validation, 480 test.

    In both, a random frame carries no information about the class; shape, texture, colours,
    background and speed are drawn for each video.

    Features: `video` uint8 [T, 28, 28, 3], `label`. Splits are balanced over motions; video i of a
    split is the same on every machine, up to rounding.
    """

    name = "tfzoo_motions"
    VERSION = tfds.core.Version("1.0.0")
    SUPPORTED_VERSIONS = [tfds.core.Version("2.0.0")]
    RELEASE_NOTES = {"2.0.0": "Motions that do not return, and more videos."}

    @property
    def _first(self) -> bool:
        return not str(self.version).startswith("2.")

    def _info(self) -> tfds.core.DatasetInfo:
        frames, motions = (FRAMES, MOTIONS) if self._first else (sweeps.FRAMES, sweeps.MOTIONS)
        features = {
            "video": tfds.features.Tensor(
                shape=(frames, SIDE, SIDE, 3),
                dtype=np.uint8,
                encoding=tfds.features.Encoding.BYTES,
            ),
            "label": tfds.features.ClassLabel(names=list(motions)),
        }
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("video", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, manager: Any) -> dict[str, Iterator]:
        del manager
        counts = COUNTS if self._first else sweeps.COUNTS
        return {name: self._generate_examples(name, count) for name, count in counts.items()}

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        make, names = (make_video, MOTIONS) if self._first else (sweeps.make_video, sweeps.MOTIONS)
        for i in range(count):
            motion = names[i % len(names)]
            yield i, {"video": make(motion, (zlib.crc32(split.encode()), i)), "label": motion}


def make_video(
    motion: str, seed: tuple[int, ...], frames: int = FRAMES, side: int = SIDE
) -> np.ndarray:
    """One video of version 1; `sweeps.make_video` makes those of version 2.

    Args:
        motion: one of `MOTIONS`.
        seed: determines everything but the motion; for any motion, the same seed gives the same
            initial position, angle, size, shape and colours.
        frames: number of frames.
        side: side of a frame, in pixels.

    Returns:
        uint8 [frames, side, side, 3].
    """
    random = np.random.RandomState(np.array(seed, np.uint32))  # its stream is frozen by numpy
    start = random.uniform(size=3)  # position, and angle in turns
    scale, speed, phase = random.uniform(size=3)
    shape = SHAPES[random.randint(len(SHAPES))]
    ground = _texture(random, 1) * 14 + 50 + random.uniform(-20, 20, 3)
    figure = _texture(random, 2) * 40 + 180 + random.uniform(-25, 25, 3)
    place, angle, scale = _path(motion, np.arange(frames), start, scale, 0.7 + 0.6 * speed, phase)

    axis = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(axis, axis, indexing="ij")
    # [T, H, W]: offsets from the shape's centre, wrapped, then rotated and scaled back
    dx, dy = (
        (q - place[:, k, None, None] + 0.5) % 1 - 0.5 for k, q in enumerate((x[None], y[None]))
    )
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    unit = _RADIUS * scale[:, None, None]
    u, v = (c * dx + s * dy) / unit, (c * dy - s * dx) / unit
    edge = _RADIUS * side * scale[:, None, None]
    cover = np.clip(0.5 - edge * _outside(shape, u, v), 0, 1)[..., None]
    ground_colour = ground(x, y)[None]
    pixels = ground_colour + cover * (figure(u / 2, v / 2) - ground_colour)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


class _Waves:
    """A sum of plane waves in three colours, roughly from -1 to 1."""

    def __init__(self, waves: np.ndarray, phases: np.ndarray, weights: np.ndarray):
        self.waves, self.phases, self.weights = waves, phases, weights
        self.factor, self.offset = 1.0, 0.0

    def __mul__(self, factor: float) -> _Waves:
        self.factor = factor
        return self

    def __add__(self, offset: Any) -> _Waves:
        self.offset = self.offset + offset
        return self

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = sum(
            np.sin(2 * np.pi * (kx * x + ky * y + phase))[..., None] * weight
            for (kx, ky), phase, weight in zip(self.waves, self.phases, self.weights, strict=True)
        )
        return total * self.factor + self.offset


def _texture(random: np.random.RandomState, highest: int) -> _Waves:
    """Integer wave numbers up to `highest`, so that a background wraps around."""
    waves = random.randint(-highest, highest + 1, (3, 2))
    return _Waves(waves, random.uniform(size=3), random.uniform(-0.7, 0.7, (3, 3)))


def _path(
    motion: str, t: np.ndarray, start: np.ndarray, scale: float, speed: float, phase: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [T, 2] in units of the side, angles [T] in radians and scales [T]."""
    place = np.tile(start[:2], (len(t), 1))
    angle = np.full(len(t), 2 * np.pi * start[2])
    part = np.full(len(t), scale)
    sense = -1 if motion in ("left", "up", "shrink") or motion.endswith("counterclockwise") else 1
    if motion in ("left", "right", "up", "down"):
        place[:, int(motion in ("up", "down"))] += sense * speed * 0.03 * t
    elif motion in ("clockwise", "counterclockwise"):
        angle += sense * speed * 0.2 * t
    elif motion in ("grow", "shrink"):
        part = scale + sense * speed * 0.05 * t
    elif motion.startswith("orbit"):
        turn = 2 * np.pi * phase + sense * speed * 0.3 * t
        place += 0.16 * np.stack([np.cos(turn), np.sin(turn)], -1)
    else:
        swing = np.sin(2 * np.pi * phase + speed * 0.9 * t)
        place[:, int(motion == "swing_upright")] += 0.15 * swing
    low, high = _LOG_SCALE
    return place % 1, angle, np.exp(low + (part % 1) * (high - low))


def _outside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A signed distance: negative inside a shape of radius 1."""
    r = np.hypot(u, v)
    if shape == "disc":
        return r - 0.9
    if shape == "ring":
        return np.abs(r - 0.7) - 0.28
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.8
    if shape == "cross":
        return np.minimum(
            np.maximum(np.abs(u) - 1, np.abs(v) - 0.35), np.maximum(np.abs(v) - 1, np.abs(u) - 0.35)
        )
    return np.maximum(v - 0.55, np.abs(u) * 0.866 - v * 0.5 - 0.55)
