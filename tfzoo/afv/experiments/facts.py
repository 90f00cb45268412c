"""Compares distances with visible facts: which classes and which images are similar."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfzoo.afv.experiments import plots
from tfzoo.afv.experiments.tasks import Task
from tfzoo.afv.fisher import FisherVectorizer
from tfzoo.files import write_text

EACH, QUERIES, NEAR, POOL = 200, 10, 8, 2000
"""Test images per class; queries; neighbours of each; test images that are searched."""


def run(task: Task, vectorizer: FisherVectorizer, output: Path) -> None:
    """`classes.png`, `neighbours.png`, `facts.md`."""
    x, y = task.test
    present = [c for c in range(len(task.classes)) if np.sum(y == c) >= 2]
    names = [task.classes[c] for c in present]
    matrix = vectorizer.distance_matrix([x[y == c][:EACH] for c in present])
    plots.matrix(matrix, names, output / "classes.png", task.name)
    apart = matrix + np.diag(np.full(len(names), np.inf))
    lines = ["| class | nearest class | furthest class |", "|---|---|---|"]
    for i, name in enumerate(names):
        far = names[int(matrix[i].argmax())]
        lines.append(f"| {name} | {names[int(apart[i].argmin())]} | {far} |")

    pool, labels = x[:POOL], y[:POOL]
    near = {"Fisher distance": vectorizer.transform(pool), "pixels": pool.reshape(len(pool), -1)}
    shares = {}
    order = {}
    for name, rows in near.items():
        order[name] = _nearest(rows)
        shares[name] = float(np.mean(labels[order[name]] == labels[:, None]))
    queries = [int(np.flatnonzero(labels == c)[0]) for c in present if np.any(labels == c)]
    plots.neighbours(pool, queries[:QUERIES], order, output / "neighbours.png")
    said = ", ".join(f"{100 * share:.1f} % by {name}" for name, share in shares.items())
    lines += [
        "",
        f"Distances between the means of up to {EACH} test images of each class. Of the {NEAR} "
        f"nearest among {len(pool):,} test images, of the same class: {said}.",
    ]
    write_text(output / "facts.md", "\n".join(lines) + "\n")


def _nearest(rows: np.ndarray) -> np.ndarray:
    """Indices of the `NEAR` nearest other rows by Euclidean distance, [N, NEAR]."""
    square = np.sum(np.square(rows), 1)
    distance = square[:, None] + square[None] - 2 * (rows @ rows.T)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, 1)[:, :NEAR]
