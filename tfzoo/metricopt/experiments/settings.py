"""Settings of the trust region, chosen on validation data of seeds that are not reported.

The search observes one half of the validation split; its result is judged on the other half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
from scipy.stats import rankdata

from tfzoo.config import check
from tfzoo.experiments import study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row, values
from tfzoo.files import write_text
from tfzoo.metricopt import SearchSettings
from tfzoo.metricopt.experiments import compare, methods
from tfzoo.metricopt.experiments.tasks import Problem

FIRST = 100
"""Seeds below this are reserved for reported figures."""
BEFORE = SearchSettings(warm_up=0.4)
"""The default before this study, whose choice replaced it."""
CHOICES = {
    "default": BEFORE,
    "short warm-up": SearchSettings(warm_up=0.2),
    "long warm-up": SearchSettings(warm_up=0.6),
    "little head": replace(BEFORE, head_share=0.2),
    "much head": replace(BEFORE, head_share=0.6, idle=16),
    "lowest observed": replace(BEFORE, smoothed=False),
}
NOTE = (
    "Error of the metric by setting of the search, which observes one half of validation, on the "
    "other half; no test split and no seed of a reported figure is in it."
)


def run(tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path) -> None:
    """Runs every setting on every task; writes a table for each, and `ranks.md`."""
    check(min(seeds) >= FIRST, "--seeds", min(seeds), f"at least {FIRST} for settings")
    by_task: dict[str, Sequence[Row]] = {}
    for task, make in tasks.items():
        rows: list[Row] = []
        for seed in seeds:
            rows += kept(output / task, f"{task}, seed {seed}", CHOICES, _of_seed, make, seed)
        print(study.report(f"settings {task}", rows, "unseen_error", output / task, notes=[NOTE]))
        by_task[task] = rows
    table = ranks(by_task)
    print(table, flush=True)
    write_text(output / "ranks.md", table)


def ranks(by_task: Mapping[str, Sequence[Row]]) -> str:
    """A Markdown table of each setting's mean rank over tasks and seeds; 1 is best."""
    places: dict[str, list[float]] = {name: [] for name in CHOICES}
    for rows in by_task.values():
        errors = {name: values(rows, name, "unseen_error") for name in CHOICES}
        for seed in errors["default"]:
            ranked = rankdata([errors[name][seed] for name in CHOICES])  # ties share their mean
            for name, place in zip(CHOICES, ranked, strict=True):
                places[name].append(float(place))
    count = len(places["default"])
    lines = [f"| setting | `SearchSettings` | mean rank over {count} runs |", "|---|---|---|"]
    for name in sorted(CHOICES, key=lambda name: float(np.mean(places[name]))):
        changed = {k: v for k, v in asdict(CHOICES[name]).items() if v != asdict(BEFORE)[k]}
        words = ", ".join(f"{key}={value}" for key, value in changed.items())
        lines.append(f"| {name} | {words} | {np.mean(places[name]):.2f} |")
    return "\n".join([*lines, "", NOTE]) + "\n"


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
