"""Shapes with posed views and occupancy samples: one split, in memory or read on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.config import key
from tfzoo.data.config import DataConfig
from tfzoo.data.memory import tensor
from tfzoo.data.pipeline import TrainStream, train_stream

SurfaceOf = Callable[[int, int], tuple[np.ndarray, np.ndarray]]

SPLITS = ("train", "validation", "test", "unseen")


@dataclass(frozen=True)
class ShapesConfig(DataConfig):
    """The group `data` of posed shapes."""

    unseen: list[str] = key(
        [], "categories that are held out from training, for data without such a split"
    )


@dataclass(frozen=True)
class PosedShapes:
    """The shapes of one split.

    Attributes:
        count: M.
        views: views per shape.
        views_of: (shape int64, view numbers int32 [v]) -> images float32 [v, S, S, 3] of raw
            pixels, cameras float32 [v, 3, 7].
        samples_of: shape -> points float32 [P, 3], occupancies float32 [P].
        surface_of: (shape index, P) -> points of the surface, uniform over its area and in random
            order, and normals, arrays [P, 3]; fewer if the data have no more.
        labels: category of each, int64 [M].
        names: names of the categories.
        uniform: how many of a shape's points, its first ones, are uniform in the cube.
        renewed: how many shapes are replaced in each epoch of `stream`, in turn: indices from
            `count` upwards denote new ones.
    """

    count: int
    views: int
    views_of: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    samples_of: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    surface_of: SurfaceOf
    labels: np.ndarray
    names: tuple[str, ...]
    uniform: int
    renewed: int = 0

    def __len__(self) -> int:
        return self.count

    def stream(
        self,
        views: tuple[int, int],
        points: int,
        *,
        batch_size: int,
        seed: int,
        steps_per_epoch: int | None = None,
    ) -> TrainStream:
        """Batches of (`images`, `cameras`, `points`) and occupancies, drawn at random.

        The number of views is drawn for each batch, uniformly from `views`, and is the same for all
        its shapes.
        """
        low, high = views

        def choose(index: tf.Tensor, seed: tf.Tensor) -> Any:
            order = tf.random.experimental.stateless_shuffle(tf.range(self.views), seed)
            images, cameras = self.views_of(index, order[:high])
            samples, inside = self.samples_of(index)
            pick = tf.random.stateless_uniform(
                [points], seed + 1, 0, tf.shape(samples)[0], tf.int32
            )
            samples, inside = tf.gather(samples, pick), tf.gather(inside, pick)
            return {"images": images, "cameras": cameras, "points": samples}, inside

        def cut(batch: Any, seed: tf.Tensor) -> Any:
            x, y = batch
            v = tf.random.stateless_uniform([], seed, low, high + 1, tf.int32)
            return x | {"images": x["images"][:, :v], "cameras": x["cameras"][:, :v]}, y

        return train_stream(
            self._number,
            count=self.count,
            batch_size=batch_size,
            seed=seed,
            map_fn=choose,
            batch_map_fn=cut if low < high else None,
            steps_per_epoch=steps_per_epoch,
        )

    def _number(self, index: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """The shape at a place in that epoch."""
        if not self.renewed:
            return index
        before = tf.cast(epoch, tf.int64) * self.renewed  # replacements so far, places taking turns
        return index + self.count * ((before - index + self.count - 1) // self.count)

    def arrays(self, views: int, points: int | None = None) -> dict[str, np.ndarray]:
        """The first views and the first uniform points of all shapes.

        Returns:
            images [M, V, S, S, 3], cameras [M, V, 3, 7], points [M, P, 3], occupancies [M, P].
        """
        numbers = tf.range(min(views, self.views))
        parts: dict[str, list] = {}
        for i in range(self.count):
            pictures, cameras = self.views_of(tf.constant(i, tf.int64), numbers)
            samples, inside = self.samples_of(tf.constant(i, tf.int64))
            count = min(points or self.uniform, self.uniform)
            row = {
                "images": pictures,
                "cameras": cameras,
                "points": samples[:count],
                "occupancies": inside[:count],
            }
            for name, value in row.items():
                parts.setdefault(name, []).append(value.numpy())
        return {name: np.stack(value) for name, value in parts.items()}

    def batches(self, views: int, points: int, batch_size: int) -> tf.data.Dataset:
        """Batches as from `stream`, each shape once."""
        arrays = self.arrays(views, points)
        inside = arrays.pop("occupancies")
        return tf.data.Dataset.from_tensor_slices((arrays, inside)).batch(batch_size)

    def take(self, rows: np.ndarray) -> PosedShapes:
        """A subset of the shapes."""
        where = tf.constant(np.asarray(rows, np.int64))
        return replace(
            self,
            count=len(rows),
            renewed=0,
            views_of=lambda i, v: self.views_of(where[i], v),
            samples_of=lambda i: self.samples_of(where[i]),
            surface_of=lambda i, count: self.surface_of(int(rows[i]), count),
            labels=self.labels[rows],
        )


def from_arrays(
    arrays: dict[str, np.ndarray],
    names: Sequence[str],
    uniform: int,
    surface_of: SurfaceOf | None = None,
) -> PosedShapes:
    """Shapes in memory, from arrays named as `tfzoo_solids`' features, [M, ...] each.

    Args:
        arrays: see above.
        names: names of the categories.
        uniform: see `PosedShapes`.
        surface_of: see `PosedShapes`; by default the arrays' own points.
    """
    images, cameras = tensor(arrays["images"]), tf.constant(arrays["cameras"], tf.float32)
    points = tf.constant(arrays["points"], tf.float32)
    inside = tf.cast(tf.constant(arrays["occupancies"]), tf.float32)
    surface, outward = arrays["surface"], arrays["normals"]

    def views_of(i: tf.Tensor, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pictures = tf.gather(images[i], views)
        return tf.cast(pictures, tf.float32), tf.gather(cameras[i], views)

    return PosedShapes(
        len(images),
        images.shape[1],
        views_of,
        lambda i: (points[i], inside[i]),
        surface_of or (lambda i, count: (surface[i][:count], outward[i][:count])),
        np.asarray(arrays["label"], np.int64),
        tuple(names),
        uniform,
    )
