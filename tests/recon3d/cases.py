"""One example of each of recon3d's registered objects, for the conformance tests."""

import numpy as np

from tfzoo.recon3d import (
    ConditionalBatchNorm,
    ConditionalResidualBlock,
    GlobalEncoder,
    LocalEncoder,
    OccupancyDecoder,
    OccupancyIoU,
    OccupancyReconstructor,
    PointRepresentation,
    UNetEncoder,
    ViewAggregation,
    orbit,
)

SMALL = {
    "image_size": 32,
    "encoder_width": 4,
    "features": 4,
    "point_width": 6,
    "decoder_width": 8,
    "blocks": 1,
}


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def views(b=3, v=2, size=32):
    return np.random.default_rng(1).uniform(0, 255, (b, v, size, size, 3)).astype("float32")


def photos(b=3, v=2, size=32):
    """Noise on the object, on a white background."""
    images = views(b, v, size)
    images[:, :, : size // 4] = images[:, :, -(size // 4) :] = 255
    images[:, :, :, : size // 4] = images[:, :, :, -(size // 4) :] = 255
    return images


def cameras(b=3, v=2, size=32):
    rng = np.random.default_rng(2)
    rows = [
        orbit(rng.uniform(0, 360), rng.uniform(5, 45), 1.7, 35 / 32 * size, size)
        for _ in range(b * v)
    ]
    return np.stack(rows).reshape(b, v, 3, 7).astype("float32")


def points(b=3, n=5):
    return np.random.default_rng(3).uniform(-0.5, 0.5, (b, n, 3)).astype("float32")


def conditions():
    return random(3, 5, 6), random(3, 5, 4, seed=1)


def encoder(cls):
    return {
        "make": lambda: cls(32, 4, 4),
        "inputs": lambda: random(3, 32, 32, 3),
    }


CASES = {
    "GlobalEncoder": encoder(GlobalEncoder),
    "UNetEncoder": encoder(UNetEncoder),
    "LocalEncoder": encoder(LocalEncoder),
    "PointRepresentation": {
        "make": lambda: PointRepresentation("camera+origin", 6, octaves=1),
        "inputs": lambda: (random(3, 2, 5, 4), points(), cameras()),
    },
    "ViewAggregation": {
        "make": ViewAggregation,
        "inputs": lambda: (random(3, 2, 5, 4), np.ones((3, 2, 5), "float32")),
    },
    "ConditionalBatchNorm": {"make": ConditionalBatchNorm, "inputs": conditions},
    "ConditionalResidualBlock": {"make": ConditionalResidualBlock, "inputs": conditions},
    "OccupancyDecoder": {
        "make": lambda: OccupancyDecoder(8, 1),
        "inputs": lambda: (random(3, 5, 4), points()),
    },
    "OccupancyReconstructor": {
        "make": lambda: OccupancyReconstructor(**SMALL),
        "inputs": lambda: (views(), cameras(), points()),
        "fit": lambda: {
            "compile": {"optimizer": "adam", "loss": "mse"},
            "x": {"images": views(), "cameras": cameras(), "points": points()},
            "y": np.ones((3, 5), "float32"),
        },
    },
    "OccupancyIoU": {"make": lambda: OccupancyIoU(0.3), "inputs": lambda: ()},
}

SMALL_RUN = ("recon3d/solids", ["epochs=1", "points=64", "mesh_shapes=0", "model.decoder_width=8"])
"""A recipe on embedded data and what makes it end in seconds; see `tests/test_promises.py`."""

CARD_WARNS = True  # other packages
