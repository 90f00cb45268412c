"""`varied_solids`: solids of 28 categories, generated during training; nothing is stored.

Training uses a pool of solids of the seen categories, some of which are replaced in each epoch, so
that none is seen often. Cameras are as varied as `tfzoo.data.shapes.cameras.VARIED`.
"""

from __future__ import annotations

import functools
import threading
import zlib
from collections import OrderedDict
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.data.shapes import more_kinds, solid_kinds
from tfzoo.data.shapes.cameras import VARIED
from tfzoo.data.shapes.posed import PosedShapes
from tfzoo.data.shapes.primitives import Solid
from tfzoo.data.shapes.shape_samples import UNIFORM, VIEWS, sample_shape

UNSEEN = ("chair", "lamp", "mug", "sofa", "rocket", "shelf", "bracket", "key")
"""The held-out categories; the first six are also held out in `tfzoo_solids`."""

SEEN = tuple(k for k in (*solid_kinds.SEEN, *more_kinds.MAKERS) if k not in UNSEEN)

POOL, RENEWED = 512, 64
"""Number of solids in the training pool, and how many of them an epoch replaces."""

COUNTS = {"validation": 2, "test": 4, "unseen": 8}
"""Number of solids of each category in the other splits."""

Sample = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def make_varied(kind: str, rng: np.random.RandomState) -> Solid:
    """A random solid of any of the 28 categories, its bounding box centred, with longest side 1."""
    if kind in more_kinds.MAKERS:
        return more_kinds.MAKERS[kind](rng).normalised()
    return solid_kinds.make_solid(kind, rng)


class _Split:
    """Solids by index, generated on demand; as many as the pool holds are kept."""

    def __init__(self, name: str, kinds: tuple[str, ...], size: int, kept: int):
        self.name, self.kinds, self.size, self.kept = name, kinds, size, kept
        self._ready: OrderedDict[int, Sample] = OrderedDict()
        self._lock = threading.Lock()

    def solid(self, number: int) -> tuple[Solid, np.random.RandomState]:
        """The solid with that index, and the generator for its views and points."""
        seed = np.array([zlib.crc32(f"varied {self.name}".encode()), number], np.uint32)
        rng = np.random.RandomState(seed)
        return make_varied(self.kinds[number % len(self.kinds)], rng), rng

    def sample(self, number: int) -> Sample:
        """Its images (uint8), cameras, points and occupancies."""
        with self._lock:
            if number in self._ready:
                self._ready.move_to_end(number)
            else:
                solid, rng = self.solid(number)
                example = sample_shape(solid, rng, VIEWS, self.size, VARIED)
                names = ("images", "cameras", "points", "occupancies")
                self._ready[number] = tuple(example[name] for name in names)
                while len(self._ready) > self.kept:
                    self._ready.popitem(last=False)
            return self._ready[number]

    def views_of(self, number: tf.Tensor, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:

        def read(number: Any, views: Any) -> tuple[np.ndarray, np.ndarray]:
            images, cameras, _, _ = self.sample(int(number))
            return images[views].astype(np.float32), cameras[views]

        # stateless, or TensorFlow reads one by one where operations are deterministic
        images, cameras = tf.numpy_function(read, [number, views], [tf.float32] * 2, stateful=False)
        count = views.shape[0]
        images = tf.ensure_shape(images, [count, self.size, self.size, 3])
        return images, tf.ensure_shape(cameras, [count, 3, 7])

    def samples_of(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:

        def read(number: Any) -> tuple[np.ndarray, np.ndarray]:
            _, _, points, inside = self.sample(int(number))
            return points, inside.astype(np.float32)

        points, inside = tf.numpy_function(read, [number], [tf.float32] * 2, stateful=False)
        return tf.ensure_shape(points, [None, 3]), tf.ensure_shape(inside, [None])

    def surface_of(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        solid, rng = self.solid(number)
        return solid.surface(count, rng)


@functools.cache
def varied_solids(size: int) -> dict[str, PosedShapes]:
    """The four splits, with images of `size`."""
    names = (*SEEN, *UNSEEN)
    splits = {}
    for split in ("train", *COUNTS):
        kinds = UNSEEN if split == "unseen" else SEEN
        count = POOL if split == "train" else COUNTS[split] * len(kinds)
        of = _Split(split, kinds, size, count)
        labels = np.array([names.index(kinds[i % len(kinds)]) for i in range(count)], np.int64)
        splits[split] = PosedShapes(
            count,
            VIEWS,
            of.views_of,
            of.samples_of,
            of.surface_of,
            labels,
            names,
            UNIFORM,
            RENEWED if split == "train" else 0,
        )
    return splits
