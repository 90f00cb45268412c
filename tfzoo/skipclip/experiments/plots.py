"""The study's plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import keras
import numpy as np

from tfzoo import runner
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.skipclip import readout, training
from tfzoo.skipclip.config import VideoConfig


def bars(rows: Sequence[Row], path: Path) -> None:
    """Each metric of each arm: the mean, and one dot per seed."""
    plt = _pyplot()
    arms = list(dict.fromkeys(r.arm for r in rows))
    metrics = list(dict.fromkeys(m for r in rows for m in r.metrics))
    figure, panels = plt.subplots(
        1, len(metrics), figsize=(2.6 * len(metrics) + 2, 0.45 * len(arms) + 1.2), squeeze=False
    )
    for axes, metric in zip(panels[0], metrics, strict=True):
        for i, arm in enumerate(arms):
            numbers = [r.metrics[metric] for r in rows if r.arm == arm and metric in r.metrics]
            if numbers:
                axes.barh(i, sum(numbers) / len(numbers), color="C0", alpha=0.4)
                axes.plot(numbers, [i] * len(numbers), "k.", ms=4)
        axes.set_yticks(range(len(arms)), arms if axes is panels[0][0] else [])
        axes.set_ylim(len(arms) - 0.5, -0.5)  # also for those without the metric
        axes.set_title(metric.replace("_", " "), fontsize=9)
    save_figure(figure, path)


QUERIES, NEAREST = 6, 4


def of_run(run: Path, output: Path) -> None:
    """Writes `retrieval.png` and, for a ranking pretext, `ranking.png`, of a run's test videos."""
    model, resolved = runner.open_trained(str(run))
    config = resolved.config
    datasets = resolved.recipe.datasets(config)
    retrieval(model, datasets, config, output / "retrieval.png")
    kept = run / "pretrained.keras"
    if config.pretext.kind == "skipclip" and kept.is_file():
        scores = training.order_scores(
            keras.models.load_model(kept), datasets.sources["test"], config
        )
        if len(scores):
            ranking(scores, output / "ranking.png")


def retrieval(
    model: keras.Model, datasets: training.VideoDatasets, config: VideoConfig, path: Path
) -> None:
    """Test videos of different classes, with the training videos nearest to each in features.

    A video is shown by the first, middle and last frames of its middle clip, side by side, with a
    green border if the class is the query's.
    """
    parts = {"test": datasets.test, "train": training.clips(datasets.sources["train"], config)}
    features, labels, frames = {}, {}, {}
    for name, batches in parts.items():
        x, labels[name] = readout.of_videos(model.features, batches)
        features[name] = x.mean(1)
        frames[name] = np.concatenate([_three(np.asarray(clips)) for clips, _ in batches])
    order = readout.retrieve(features["test"], features["train"])
    _, first = np.unique(labels["test"], return_index=True)
    rows = first[np.linspace(0, len(first) - 1, min(QUERIES, len(first))).astype(int)]
    plt = _pyplot()
    size = (2.1 * (NEAREST + 1), 0.95 * len(rows))
    figure, axes = plt.subplots(len(rows), NEAREST + 1, figsize=size, squeeze=False)
    for axis_row, row in zip(axes, rows, strict=True):
        near = order[row, :NEAREST]
        shown = [(frames["test"][row], "black")]
        for i in near:
            same = labels["train"][i] == labels["test"][row]
            shown.append((frames["train"][i], "tab:green" if same else "tab:red"))
        for axis, (image, colour) in zip(axis_row, shown, strict=False):
            axis.imshow(image)
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set(color=colour, linewidth=3)
    axes[0, 0].set_title("query", fontsize=9)
    for k in range(NEAREST):
        axes[0, k + 1].set_title(f"nearest {k + 1}", fontsize=9)
    save_figure(figure, path)


def ranking(scores: np.ndarray, path: Path) -> None:
    """Scores [videos, m] of future clips by distance, and how often each took each rank."""
    plt = _pyplot()
    count = scores.shape[1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    centred = scores - scores.mean(1, keepdims=True)
    left.violinplot(list(centred.T), range(1, count + 1), showmeans=True)
    left.set(
        xticks=range(1, count + 1),
        xlabel="future clip, from the nearest on",
        ylabel="score less the video's mean",
    )
    places = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    shares = np.array([np.bincount(places[:, i], minlength=count) for i in range(count)])
    image = right.imshow(shares / len(scores), vmin=0, cmap="Blues")
    right.set(
        xticks=range(count),
        yticks=range(count),
        xticklabels=range(1, count + 1),
        yticklabels=range(1, count + 1),
        xlabel="place by score",
        ylabel="true place",
    )
    figure.colorbar(image, ax=right, label=f"share of {len(scores)} test videos")
    save_figure(figure, path)


def _three(clips: np.ndarray) -> np.ndarray:
    """uint8 [B, n, T, S, S, C] -> [B, S, 3 S, 3]: three frames of the middle clip."""
    middle = clips[:, clips.shape[1] // 2]
    last = middle.shape[1] - 1
    frames = np.concatenate([middle[:, i] for i in (0, last // 2, last)], 2)
    return np.repeat(frames, 3, -1) if frames.shape[-1] == 1 else frames


def _pyplot() -> ModuleType:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
