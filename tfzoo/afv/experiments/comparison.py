"""The claim: a linear classifier on AFV beats one on the discriminator's activations."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo.afv.experiments import facts, plots, quality
from tfzoo.afv.experiments.features import classify, nearest_error, of_rows, of_vectors
from tfzoo.afv.experiments.tasks import SIDE, Task
from tfzoo.afv.experiments.training import Scale, generated, train
from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.afv.networks import last_map, make_discriminator, pooled_blocks
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row

ARMS = ("AFV", "AFV, random D", "D-pool", "last layer", "last map", "pixels")
MARGINS = {"D-pool": 0.015, "AFV, random D": 0.015, "last layer": 0.03}
"""Expected margin of AFV's error below another's, from a pilot on other images."""


def run(
    task: Task, seeds: Sequence[int], labels: Sequence[int], scale: Scale, output: Path
) -> list[Row]:
    """Trains a GAN with each seed and compares all features; writes tables, curves and images."""
    rows: list[Row] = []
    curves, labels = {}, [n for n in labels if n <= len(task.train[0])]
    for seed in seeds:
        settings = scale, labels, [len(x) for x, _ in (task.train, task.held, task.test)]
        arguments = task, seed, labels, scale, output, seed == seeds[0]
        of_seed, curves[seed] = kept(
            output, f"{task.name}, seed {seed}", settings, _of_seed, *arguments
        )
        rows += of_seed
    plots.monitoring(curves, output / "monitoring.png", task.name)
    plots.errors(rows, ARMS, labels, output / "errors.png", task.name)
    _report(task, rows, curves, labels, scale, output)
    return rows


def _of_seed(
    task: Task, seed: int, labels: Sequence[int], scale: Scale, output: Path, first: bool
) -> tuple[list[Row], list[dict[str, float]]]:
    """A row for each arm, and what was recorded while training the GAN."""
    rows = []
    sets = {"train": task.train[0][: scale.watched], "test": task.test[0][: scale.watched]}
    gan, curve, seconds = train(
        task.train[0], sets, scale, seed, output / "gans", f"{task.name}-seed{seed}"
    )
    fake = generated(gan, scale.samples, 1000 + seed)
    x, y = task.labelled(max(labels), seed)
    images, truth = (x, task.held[0], task.test[0]), (y, task.held[1], task.test[1])
    for arm, make in _arms(gan, fake, scale, seed).items():
        start = time.monotonic()
        count, vectorizer, function = make()
        kernels = (
            of_rows(function, *images) if vectorizer is None else of_vectors(vectorizer, *images)
        )
        metrics: dict[str, float] = {}
        for n in labels:
            metrics |= classify(kernels, truth, n, len(task.classes), scale.iterations)
        metrics["nearest_error"] = nearest_error(kernels, truth)
        if vectorizer is not None:
            metrics["dead"] = vectorizer.dead
        if arm == "AFV":
            metrics |= quality.columns(fake, task.test[0])
            metrics |= _ends(curve) | {"gan_seconds": round(seconds, 1)}
        rows.append(Row(arm, seed, count, metrics, time.monotonic() - start))
        print(f"{task.name}, seed {seed}, {arm}: {metrics}", flush=True)
        if first and arm == "AFV":
            facts.run(task, vectorizer, output)
        del kernels
    return rows, curve


def _arms(gan, fake: np.ndarray, scale: Scale, seed: int) -> dict:
    """By name: a function that returns the number of features and how to compute them."""
    trained = gan.discriminator

    def fisher(discriminator: keras.Model):
        vectorizer = FisherVectorizer(discriminator).adapt(fake)
        return vectorizer.size, vectorizer, None

    def random():
        keras.utils.set_random_seed(10_000 + seed)
        return fisher(make_discriminator(SIDE, fake.shape[-1], scale.width, gan.head))

    def network(model: keras.Model, reduce=lambda f: f):
        count = int(np.prod(reduce(np.zeros((1, *model.output_shape[1:]))).shape))
        return count, None, lambda x: reduce(np.asarray(model(x, training=False)))

    return {
        "AFV": lambda: fisher(trained),
        "AFV, random D": random,
        "D-pool": lambda: network(pooled_blocks(trained)),
        "last layer": lambda: network(last_map(trained), lambda f: f.mean((1, 2))),
        "last map": lambda: network(last_map(trained)),
        "pixels": lambda: (int(np.prod(fake.shape[1:])), None, lambda x: x),
    }


def _ends(curve: Sequence[dict[str, float]]) -> dict[str, float]:
    names = ("distance_train", "distance_test", "distance_fake", "floor")
    return {name: curve[-1][name] for name in names}


def _report(task, rows, curves, labels, scale: Scale, output: Path) -> None:
    metric = f"error_{max(labels)}"
    claims = [(f"AFV below {arm}", "AFV", arm) for arm in ARMS[1:]]
    lines = ["| test error, mean over seeds |" + "".join(f" n={n} |" for n in labels)]
    lines += ["|---|" + "---|" * len(labels)]
    for arm in ARMS:
        differences = [
            statistics.interval(list(statistics.values(rows, arm, f"error_{n}").values()))
            for n in labels
        ]
        lines.append(f"| {arm} | " + " | ".join(map(str, differences)) + " |")
    notes = ["\n".join(lines), ""]
    for arm, margin in MARGINS.items():
        apart = statistics.paired(rows, arm, "AFV", metric).mean
        word = "reached" if apart >= margin else "NOT reached"
        notes.append(
            f"Margin over {arm}: {100 * apart:.2f} points ({100 * margin:g} expected, {word})."
        )
    error = np.mean(list(statistics.values(rows, "AFV", metric).values()))
    deviation = (error * (1 - error) / len(task.test[0])) ** 0.5
    for seed, curve in curves.items():
        first, end = curve[0], curve[-1]
        real, fake = end["distance_test"] / end["floor"], end["distance_fake"] / end["floor"]
        notes.append(
            f"Seed {seed}: squared Fisher distance of test images {first['distance_test']:.3g} "
            f"before and {end['distance_test']:.3g} after training, {real:.1f} times the floor "
            f"(above 3 expected); of fresh generated images {fake:.1f} times (below 3 expected)."
        )
    for column, says in (("kid", "generated"), ("kid_floor", "other real")):
        mean = statistics.interval(list(statistics.values(rows, "AFV", column).values()))
        notes.append(
            f"Kernel inception distance of {says} images from real ones, by the last hidden layer "
            f"of {quality.NETWORK}: {mean}."
        )
    notes += [
        "",
        f"{task.name}, {SIDE}x{SIDE}: GANs of width {scale.width}, objective {scale.objective}, "
        f"{scale.steps:,} steps of {scale.batch} on {len(task.train[0]):,} unlabelled images; "
        f"statistics of {scale.samples:,} generated images; {len(task.held[0]):,} validation and "
        f"{len(task.test[0]):,} test images (one binomial standard error of AFV: "
        f"{100 * deviation:.2f} points). Of ridge and, but for AFV, logistic regression the better "
        "on validation. Parameters are features here; seconds are without the GAN's. The paper has "
        "65.3 % (D-pool) and 86.2 % (AFV) test accuracy on CIFAR-10 with width 128, 32x32, 50,000 "
        "labels and up to a million steps.",
    ]
    extra = {"curves": curves, "labels": list(labels)}
    print(study.report(f"afv-{task.name}", rows, metric, output, claims, notes, extra))
