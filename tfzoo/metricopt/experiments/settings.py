"""Settings of the trust region, chosen on validation data of seeds that are not reported.

The search observes one half of the validation split; its result is judged on the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row, values
from tfzoo.metricopt import SearchSettings
from tfzoo.metricopt.experiments import compare, methods
from tfzoo.metricopt.experiments.tasks import Problem

FIRST = 100
"""Seeds below this are reserved for reported figures."""
CHOICES = {
    "default": SearchSettings(),
    "short warm-up": SearchSettings(warm_up=0.2),
    "long warm-up": SearchSettings(warm_up=0.6),
    "little head": SearchSettings(head_share=0.2),
    "much head": SearchSettings(head_share=0.6, idle=16),
    "lowest observed": SearchSettings(smoothed=False),
}
NOTE = (
    "Error of the metric by setting of the search, which observes one half of validation, on the "
    "other half; no test split and no seed of a reported figure is in it."
)


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> dict[str, float]:
    """Each setting's mean rank over tasks and seeds, printed and written as `table.md`s."""
    check(min(seeds) >= FIRST, "--seeds", min(seeds), f"at least {FIRST} for settings")
    ranks: dict[str, list[float]] = {name: [] for name in CHOICES}
    for task, make in tasks.items():
        rows: list[Row] = []
        for seed in seeds:
            rows += kept(output / task, f"{task}, seed {seed}", CHOICES, _of_seed, make, seed)
        print(study.report(f"settings {task}", rows, "unseen_error", output / task, notes=[NOTE]))
        for seed in seeds:
            errors = np.array([values(rows, name, "unseen_error")[seed] for name in CHOICES])
            places = (errors[:, None] > errors).sum(1) + 0.5 * (errors[:, None] == errors).sum(1)
            for name, place in zip(CHOICES, places, strict=True):
                ranks[name].append(float(place + 0.5))
    means = {name: float(np.mean(places)) for name, places in ranks.items()}
    for name, place in sorted(means.items(), key=lambda pair: pair[1]):
        print(f"mean rank {place:.2f}  {name}: {CHOICES[name]}", flush=True)
    return means


def _of_seed(make: Callable[[int], Problem], seed: int) -> list[Row]:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    problem, rows = halved(make(seed), seed), []
    for name, settings in CHOICES.items():
        keras.utils.set_random_seed(seed)
        model, _ = methods.run_metricopt(problem, seed, value="trust_region", search=settings)
        x, y = problem.test
        error = compare.error(problem, y, model.predict(x, batch_size=1000, verbose=0))
        rows.append(Row(name, seed, metrics={"unseen_error": error}))
    return rows


def halved(problem: Problem, seed: int) -> Problem:
    """The problem with stratified halves of its validation split as validation and test."""
    from sklearn.model_selection import train_test_split

    x, y = problem.validation
    seen, unseen, *labels = train_test_split(
        x, y, test_size=0.5, stratify=np.ravel(y), random_state=seed
    )
    return replace(problem, validation=(seen, labels[0]), test=(unseen, labels[1]))
