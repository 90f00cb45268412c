"""Pictures of the study: sets, reconstructions, samples and their nearest training sets."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo import runner
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.sdn import judges
from tfzoo.sdn.codes import hamming
from tfzoo.sdn.corruptions import corrupted
from tfzoo.sdn.evaluation import CONTROLS
from tfzoo.sdn.model import SetDistributionNetwork
from tfzoo.sdn.recipe import SetsRecipe

SHOWN, ROWS = 5, 8
"""Number of images of a set, and of sets, in a picture."""


def of_run(run: Path, output: Path) -> None:
    """`sets.png`: unseen sets, reconstructions, samples. `nearest.png`: samples, nearest training
    sets by code, nearest training images by pixels."""
    model, sets, _ = _opened(run)
    images, mask = sets["test"].arrays(SHOWN, ROWS)
    count = len(images)
    rebuilt = model.reconstruct(images, SHOWN, mask)
    drawn = model.generate(count, SHOWN)
    panels = {"unseen sets": images, "their reconstructions": rebuilt, "free samples": drawn}
    panel_picture(panels, "set", model, output / "sets.png")
    train, there = sets["train"].arrays(SHOWN)
    panel_picture(nearest(model, train, there), "sample", model, output / "nearest.png")


def compared(runs: dict[str, Path], path: Path, shown: int = 3) -> None:
    """The same unseen sets, rebuilt by each run; runs by title.

    Args:
        runs: finished runs on the same data.
        path: the file to write.
        shown: number of images of a set.
    """
    opened = {name: _opened(run) for name, run in runs.items()}
    model, sets, _ = next(iter(opened.values()))
    images, mask = sets["test"].arrays(2 * SHOWN, ROWS)
    panels = {"unseen sets": images[:, :shown]} | {
        name: model.reconstruct(images, shown, mask) for name, (model, _, _) in opened.items()
    }
    panel_picture(panels, "set", model, path)


def nearest(
    model: SetDistributionNetwork, train: np.ndarray, mask: np.ndarray, rows: int = ROWS
) -> dict[str, np.ndarray]:
    """Sampled sets, the training sets with the nearest codes, and the training images nearest to
    each sampled image in pixels, by title: [rows, n, S, S, C] each.

    Args:
        model: a trained model.
        train: training sets [M, n, S, S, C], raw pixels.
        mask: [M, n], which images are present.
        rows: number of sampled sets.
    """
    n = train.shape[1]
    codes = model.sample_codes(rows, 0)
    decoded = model.decode(codes, n, 0)
    flat = train[mask].reshape(int(mask.sum()), -1)
    pixels = decoded.reshape(rows * n, -1)
    apart = (pixels**2).sum(1)[:, None] - 2 * pixels @ flat.T + (flat**2).sum(1)
    return {
        "free samples": decoded,
        "training sets of the nearest codes": train[
            hamming(codes, model.encode(train, mask)).argmin(1)
        ],
        "nearest training images": flat[apart.argmin(1)].reshape(decoded.shape),
    }


def panel_picture(
    panels: dict[str, np.ndarray], row: str, model: SetDistributionNetwork, path: Path
) -> None:
    """Panels of sets side by side, each with its title; rows are numbered.

    Args:
        panels: raw pixels [M, n, S, S, C] by title.
        row: what a row is.
        model: its pixel scale is that of the picture.
        path: the file to write.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    low, high = (model.pixel_mean + s * model.pixel_std for s in (-1, 1))
    low, high = max(low, 0.0), min(high, 255.0)  # no pixel of the data is beyond
    most = max(sets.shape[1] for sets in panels.values())
    figure, axes = plt.subplots(1, len(panels), figsize=(0.72 * most * len(panels), 0.55 * ROWS))
    for axis, (title, sets) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        m, n, side = sets.shape[:3]
        whole = np.clip((sets - low) / (high - low), 0, 1).transpose(0, 2, 1, 3, 4)
        whole = whole.reshape(m * side, n * side, -1)
        axis.imshow(whole.repeat(3, -1) if whole.shape[-1] == 1 else whole)
        axis.set_title("\n".join(textwrap.wrap(title, 6 * most)), fontsize=9)
        axis.set_xticks([])
        places, names = (np.arange(m) + 0.5) * side - 0.5, [f"{row} {i + 1}" for i in range(m)]
        axis.set_yticks(places, names if axis is np.atleast_1d(axes)[0] else [""] * m, fontsize=8)
        axis.tick_params(length=0)
    figure.tight_layout()
    save_figure(figure, path)


def by_views(rows: Sequence[Row], arm: str, path: Path) -> None:
    """IoU of reconstructions over the number of encoded views."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5, 3.4), layout="constrained")
    counts = (1, 2, 4, 8)
    for row in rows:
        if row.arm == arm and not row.error:
            values = [row.metrics[f"iou_from_{k}"] for k in counts]
            axis.plot(counts, values, "o-", color="C0", alpha=0.7)
            axis.axhline(row.metrics["iou_real"], color="C2", alpha=0.5)
            axis.axhline(row.metrics["iou_reconstructed_shuffled"], color="C3", alpha=0.5)
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(k) for k in counts])
    axis.set_ylim(0, 1)
    axis.set_xlabel("views encoded")
    axis.set_ylabel("IoU with the truth")
    axis.set_title("reconstructions; green: real views, red: another shape", fontsize=9)
    save_figure(figure, path)


def roc(run: Path, verifier: Path, path: Path) -> None:
    """ROC curves of a verification network for real, reconstructed and corrupted sets."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model, sets, config = _opened(run)
    net = keras.models.load_model(verifier)
    images, mask = sets["test"].arrays(2 * config.half)
    a, b = judges.halves(images[mask.all(1)], config.half)
    embed = lambda x: judges.set_embeddings(net, x)  # noqa: E731
    flat = a.reshape(-1, *a.shape[2:])
    shown = {"real": a, "reconstructed": model.reconstruct(a), "mean image": _mean(a)} | {
        kind: corrupted(flat, 0, kind).reshape(a.shape) for kind in CONTROLS
    }
    real = embed(b)
    pairs = {f"{name} against real": (embed(x), real) for name, x in shown.items()}
    figure, axis = plt.subplots(figsize=(4.4, 4), layout="constrained")
    for name, pair in pairs.items():
        auc, false, true = judges.verification(*pair)
        axis.plot(false, true, label=f"{name}: {auc:.3f}")
    axis.plot([0, 1], [0, 1], "k:", linewidth=1)
    axis.set_xlabel("false accepted")
    axis.set_ylabel("true accepted")
    axis.legend(fontsize=8, title="area under the curve")
    save_figure(figure, path)


def _mean(sets: np.ndarray) -> np.ndarray:
    return np.repeat(sets.mean(1, keepdims=True), sets.shape[1], 1)


def _opened(run: Path) -> tuple:
    model, resolved = runner.open_trained(str(run))
    assert isinstance(resolved.recipe, SetsRecipe)
    return model, resolved.recipe.sets(resolved.config), resolved.config
