"""A plain baseline without a network: statistics of frame differences, and logistic regression."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfzoo.data.videos import splits
from tfzoo.skipclip import readout, streams
from tfzoo.skipclip.config import VideoConfig
from tfzoo.skipclip.training import VideoDatasets

CELLS = 4


def describe(video: np.ndarray) -> np.ndarray:
    """Where a video changes and in which direction: uint8 [T, H, W, 3] -> float32 [6 x 16].

    For each of 4x4 cells: mean and deviation over time of the absolute difference of neighbouring
    frames; its fraction in the second half; the difference times the horizontal and vertical
    gradients, whose signs tell the direction of motion; and the last frame minus the first.
    """
    grey = video.astype("float32").mean(-1) / 255
    change = np.diff(grey, axis=0)
    down, right = np.gradient(grey, axis=(1, 2))
    middle = (right[:-1] + right[1:]) / 2, (down[:-1] + down[1:]) / 2
    size = _cells(np.abs(change))  # [T - 1, 4, 4]
    half = len(size) // 2
    parts = [
        size.mean(0),
        size.std(0),
        size[half:].sum(0) / np.maximum(size.sum(0), 1e-6),
        *(_cells(-change * gradient).mean(0) for gradient in middle),
        _cells((grey[-1] - grey[0])[None])[0],
    ]
    return np.concatenate([f.reshape(-1) for f in parts]).astype("float32")


def _cells(frames: np.ndarray) -> np.ndarray:
    """Means over cells: [T, H, W] -> [T, 4, 4]."""
    rows = np.array_split(frames, CELLS, 1)
    return np.stack(
        [np.stack([c.mean((1, 2)) for c in np.array_split(r, CELLS, 2)], -1) for r in rows], 1
    )


def errors(datasets: VideoDatasets, config: VideoConfig, labels: list[int]) -> dict[str, float]:
    """`probe_error` with all labels and `error_n` with n labels per class, on the test videos."""

    def of(source: splits.VideoSplit) -> tuple[np.ndarray, np.ndarray]:
        rows: Iterator[dict] = source.dataset.as_numpy_iterator()
        pairs = [(describe(row["video"]), row["label"]) for row in rows]
        return np.stack([x for x, _ in pairs]), np.array([y for _, y in pairs])

    held, (x, y) = of(datasets.sources["validation"]), of(datasets.sources["test"])
    train = datasets.sources["train"]
    some = {f"error_{n}": streams.few(train, n, config.seed) for n in labels}
    return {
        name: 1 - float(readout.linear_probe(of(part), held).score(x, y))
        for name, part in ({"probe_error": train} | some).items()
    }
