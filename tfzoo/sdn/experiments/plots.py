"""Pictures of the study: sets, reconstructions, samples and their nearest training sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo import runner
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.files import replacing
from tfzoo.sdn import judges
from tfzoo.sdn.codes import hamming
from tfzoo.sdn.monitor import picture
from tfzoo.sdn.recipe import SetsRecipe

SHOWN = 5
"""Number of images of a set in a picture."""


def of_run(run: Path, output: Path) -> None:
    """`sets.png`: unseen sets, reconstructions, samples. `nearest.png`: samples, nearest training
    sets by code, nearest by pixels."""
    model, sets, _ = _opened(run)
    images, mask = sets["test"].arrays(SHOWN, 6)
    with replacing(output / "sets.png") as aside:
        aside.write_bytes(_larger(picture(model, images, mask)))
    with replacing(output / "nearest.png") as aside:
        aside.write_bytes(_larger(nearest(model, *sets["train"].arrays(SHOWN))))


def nearest(model: keras.Model, train: np.ndarray, mask: np.ndarray, rows: int = 6) -> bytes:
    """A PNG of sampled sets, the training sets with the nearest codes, and the training images
    nearest to each sampled image in pixels."""
    import tensorflow as tf

    codes = model.sample_codes(rows, 0)
    decoded = model.decode(codes, SHOWN, 0)
    by_code = train[hamming(codes, model.encode(train, mask)).argmin(1)]
    flat = train[mask].reshape(int(mask.sum()), -1)
    pixels = decoded.reshape(rows * SHOWN, -1)
    apart = (pixels**2).sum(1)[:, None] - 2 * pixels @ flat.T + (flat**2).sum(1)
    by_pixels = flat[apart.argmin(1)].reshape(decoded.shape)
    strips = [np.concatenate(list(np.moveaxis(p, 1, 0)), 2) for p in (decoded, by_code, by_pixels)]
    gap = np.full((rows, decoded.shape[2], 3, decoded.shape[4]), model.pixel_mean)
    whole = np.concatenate([strips[0], gap, strips[1], gap, strips[2]], 2)
    whole = np.concatenate(list(whole), 0)
    return tf.io.encode_png(np.clip(np.rint(whole), 0, 255).astype("uint8")).numpy()


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
    """ROC curves of the verification network for real, reconstructed and sampled sets."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model, sets, config = _opened(run)
    net = keras.models.load_model(verifier)
    images, mask = sets["test"].arrays(2 * config.half)
    a, b = judges.halves(images[mask.all(1)], config.half)
    embed = lambda x: judges.set_embeddings(net, x)  # noqa: E731
    x, y = judges.halves(model.generate(len(a), 2 * config.half, 0), config.half)
    pairs = {
        "real": (embed(a), embed(b)),
        "reconstructed against real": (embed(model.reconstruct(a)), embed(b)),
        "sampled": (embed(x), embed(y)),
    }
    figure, axis = plt.subplots(figsize=(4.4, 4), layout="constrained")
    for name, pair in pairs.items():
        auc, false, true = judges.verification(*pair)
        axis.plot(false, true, label=f"{name}: {auc:.3f}")
    axis.plot([0, 1], [0, 1], "k:", linewidth=1)
    axis.set_xlabel("false accepted")
    axis.set_ylabel("true accepted")
    axis.legend(fontsize=8, title="area under the curve")
    save_figure(figure, path)


def _opened(run: Path) -> tuple:
    model, resolved = runner.open_trained(str(run))
    assert isinstance(resolved.recipe, SetsRecipe)
    return model, resolved.recipe.sets(resolved.config), resolved.config


def _larger(png: bytes, times: int = 3) -> bytes:
    import tensorflow as tf

    image = tf.io.decode_png(png)
    image = tf.repeat(tf.repeat(image, times, 0), times, 1)
    return tf.io.encode_png(image).numpy()
