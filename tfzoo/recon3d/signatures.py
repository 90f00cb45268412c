"""Signatures of the exported models; the axes of views and points are inside the row."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import ops

from tfzoo.data.shapes import cameras as pinhole
from tfzoo.recon3d.meshes import lattice
from tfzoo.recon3d.model import OccupancyReconstructor
from tfzoo.serving import Signature
from tfzoo.typing import Tensor

GRID = 31
"""Cells per side of the grid's output: 32 vertices."""

_PIECES = 8


def signatures(model: OccupancyReconstructor) -> dict[str, Signature]:
    """Maps images and cameras to occupancy at points or on a grid, and images to features.

    `serving_default(images, cameras, points)` and its alias `occupancy` return `probability` [B,
    N]; `grid(images, cameras)` returns `occupancy` [B, 32, 32, 32], probabilities at the vertices
    of a grid over the cube from -0.55 to 0.55; `features(images)` returns `features` of each view.
    `images` are raw pixels [B, any, S, S, 3], `cameras` [B, any, 3, 7] are K, R, t; a view whose
    camera is all zero is absent.

    Args:
        model: a trained model.
    """
    size, views = model.image_size, 2
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (4, views, size, size, 3)).astype(np.float32)
    around = [pinhole.orbit(a, 20, model.point.distance, 35 / 32 * size, size) for a in range(8)]
    camera = np.stack(around).reshape(4, views, 3, 7).astype(np.float32)
    camera[3, 1] = 0
    points = rng.uniform(-0.5, 0.5, (4, 5, 3)).astype(np.float32)
    specs = {
        "images": tf.TensorSpec([None, None, size, size, 3], tf.float32),
        "cameras": tf.TensorSpec([None, None, 3, 7], tf.float32),
    }
    examples = {"images": image, "cameras": camera}
    vertices = lattice(GRID).reshape(_PIECES, -1, 3)

    def occupancy(images: Tensor, cameras: Tensor, points: Tensor) -> dict[str, Tensor]:
        logits = model.call(images, cameras, points, training=False)
        return {"probability": ops.sigmoid(logits)}

    def features(images: Tensor) -> dict[str, Tensor]:
        return {"features": ops.cast(model.encode(images, training=False), "float32")}

    def grid(images: Tensor, cameras: Tensor) -> dict[str, Tensor]:
        encoded, rows = model.encode(images, training=False), ops.shape(images)[0]

        def piece(points: Tensor) -> Tensor:
            many = ops.repeat(ops.expand_dims(points, 0), rows, axis=0)
            return ops.sigmoid(model.decode(encoded, cameras, many, training=False))

        spec = tf.TensorSpec([None, vertices.shape[1]], tf.float32)
        parts = tf.map_fn(piece, tf.constant(vertices), fn_output_signature=spec)
        whole = ops.reshape(ops.transpose(parts, (1, 0, 2)), (-1, GRID + 1, GRID + 1, GRID + 1))
        return {"occupancy": whole}

    ranges = {"images": (0.0, 255.0)}  # all readers give 8-bit images
    says = "posed raw images from 0 to 255 to probabilities of being inside"
    inside = Signature(
        occupancy,
        specs | {"points": tf.TensorSpec([None, None, 3], tf.float32)},
        examples | {"points": points},
        description=f"{says}, at points",
        ranges=ranges,
    )
    return {
        "serving_default": inside,
        "occupancy": inside,
        "features": Signature(
            features,
            {"images": specs["images"]},
            {"images": image},
            description="raw images from 0 to 255 to the encoder's features of each view",
            ranges=ranges,
        ),
        "grid": Signature(grid, specs, examples, description=f"{says}, on a grid", ranges=ranges),
    }
