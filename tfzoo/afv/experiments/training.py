"""Trains the study's GANs, evaluates them during training, and saves them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tfzoo.afv.model import EnergyGAN
from tfzoo.afv.monitor import GANMonitor, picture
from tfzoo.experiments.keeping import fingerprint
from tfzoo.files import replacing, write_text


@dataclass(frozen=True)
class Scale:
    """The scale of the study.

    Attributes:
        width: width of D and G.
        steps: steps of each GAN.
        latent: length of z.
        batch: images per step.
        samples: number of generated images for statistics.
        watched: images of each set per evaluation of Fisher similarity.
        looks: approximate number of evaluations.
        objective: objective of the GAN.
        iterations: iterations of logistic regression.
    """

    width: int = 24
    steps: int = 3000
    latent: int = 64
    batch: int = 64
    samples: int = 1024
    watched: int = 512
    looks: int = 12
    objective: str = "lsgan"
    iterations: int = 300


def train(
    images: np.ndarray,
    sets: dict[str, np.ndarray],
    scale: Scale,
    seed: int,
    folder: Path,
    name: str,
) -> tuple[EnergyGAN, list[dict[str, float]], float]:
    """A GAN trained on images [N, 16, 16, C] in [-1, 1].

    A GAN left in the folder by an earlier, interrupted study of the same scale and code is reused.

    Returns:
        The GAN with calibrated average, rows of measurements by step, and seconds.
    """
    kept, seen = folder / f"{name}.keras", folder / f"{name}.json"
    mark = fingerprint((scale, images.shape), __name__)
    if kept.is_file() and seen.is_file():
        note = json.loads(seen.read_text(encoding="utf-8"))
        if note.get("fingerprint") == mark:
            return keras.models.load_model(kept), note["curve"], note["seconds"]
    keras.utils.set_random_seed(seed)
    gan = EnergyGAN(
        images.shape[1],
        images.shape[-1],
        scale.width,
        latent=scale.latent,
        objective=scale.objective,
        seed=seed,
    )
    gan.compile()
    monitor = GANMonitor(sets, samples=scale.watched, seed=seed)
    curve = [{"step": 0} | monitor.look(gan)]
    order, spent, done = _order(len(images), scale, seed), 0.0, 0
    for step in look_at(scale):
        start = time.monotonic()
        seen_now = images[order[done * scale.batch : step * scale.batch]]
        gan.fit(seen_now, batch_size=scale.batch, shuffle=False, verbose=0)
        spent, done = spent + time.monotonic() - start, step
        losses = {key: float(m.result()) for key, m in gan._means.items()}
        curve.append({"step": step} | losses | monitor.look(gan))
        print(f"{name}: {_line(curve[-1])}", flush=True)
    gan.calibrate(seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    seen.unlink(missing_ok=True)  # belongs to another GAN; it is written last
    with replacing(kept) as aside:
        gan.save(aside)
    note = {"curve": curve, "seconds": spent, "fingerprint": mark}
    write_text(seen, json.dumps(note, indent=1))
    with replacing(folder / f"{name}.png") as aside:
        aside.write_bytes(picture(gan, seed=seed))
    return gan, curve, spent


def _order(count: int, scale: Scale, seed: int) -> np.ndarray:
    """Indices of the images of all steps: one permutation after another."""
    rng, needed = np.random.default_rng(seed), scale.steps * scale.batch
    return np.concatenate([rng.permutation(count) for _ in range(-(-needed // count))])[:needed]


def look_at(scale: Scale) -> Sequence[int]:
    """Steps at which to evaluate, denser at the beginning."""
    steps = np.unique(np.rint(scale.steps * np.linspace(0, 1, scale.looks + 1) ** 1.5).astype(int))
    return [int(step) for step in steps if step > 0]


def generated(gan: EnergyGAN, count: int, seed: int) -> np.ndarray:
    """Images of the average generator, [count, 16, 16, C]."""
    z = gan.latents(count, seed)
    parts = [np.asarray(gan.generate(z[at : at + 64])) for at in range(0, count, 64)]
    return np.concatenate(parts)


def _line(row: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4g}" for key, value in row.items())
