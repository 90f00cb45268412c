"""A value function meta-trained on other tasks, compared with one fitted on a few own observations.

The tasks are digits with different rare classes; the adapters are those of the logits, whose
meaning (one per class) is common to the tasks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from tfzoo.experiments import study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row
from tfzoo.metricopt.callback import MetricOpt
from tfzoo.metricopt.experiments import methods
from tfzoo.metricopt.experiments.tasks import Problem, digits_mcr
from tfzoo.metricopt.meta import meta_train
from tfzoo.metricopt.value import ValueFunction

OTHERS, FEW = 4, 2
STEPS = FEW * 60 + methods.FINE_TUNING
NOTE = (
    f"Test misclassification rate on digits, adapters of the logits (20 numbers). `few` fits on "
    f"{FEW} own trajectories ({FEW} x 60 steps), `meta` starts from a value function meta-trained "
    f"on {OTHERS} other tasks (other rare classes, another split) and needs none; both have "
    f"{STEPS} steps, and refit as they observe. `full` has the study's 12 own trajectories."
)


def run(seeds: Sequence[int], output: Path) -> list[Row]:
    """Runs the four arms on every seed and writes rows and figures below `output`."""
    rows: list[Row] = []
    for seed in seeds:
        rows += kept(output, f"seed {seed}", NOTE, _of_seed, seed)
    claims = [
        ("meta below few", "meta", "few"),
        ("meta below base", "meta", "base"),
        ("full below meta", "full", "meta"),
    ]
    table = study.report("metricopt meta", rows, "test_error", output, claims, [NOTE])
    print(table, flush=True)
    return rows


def _of_seed(seed: int) -> list[Row]:
    keras.utils.clear_session()
    problem, rows = _logits(seed), []
    value = _trained_elsewhere(seed)
    meta = {"value_function": value, "trajectories": 0, "steps": STEPS}
    few = {"trajectories": FEW, "steps": STEPS}
    for name, settings in (("few", few), ("meta", meta), ("full", {})):
        keras.utils.set_random_seed(seed)
        start = time.monotonic()
        model, callback = methods.run_metricopt(problem, seed, **settings)
        rows.append(_row(name, seed, problem, model, callback, time.monotonic() - start))
    rows.append(_row("base", seed, problem, problem.base, None, 0.0))
    return rows


def _logits(seed: int) -> Problem:
    keras.utils.set_random_seed(seed)
    return replace(digits_mcr(seed), layers=("outputs",))


def _trained_elsewhere(seed: int) -> ValueFunction:
    tasks = []
    for other in range(OTHERS):
        number = 1000 + OTHERS * seed + other
        own = methods.EXPLORATION["trajectories"] * methods.EXPLORATION["trajectory_steps"]
        _, callback = methods.run_metricopt(_logits(number), number, steps=own, weight=0.0)
        tasks.append(callback.observations())
    keras.utils.set_random_seed(seed)
    return meta_train(ValueFunction(tasks[0].phi.shape[1]), tasks, seed=seed)


def _row(
    name: str,
    seed: int,
    problem: Problem,
    model: keras.Model,
    callback: MetricOpt | None,
    seconds: float,
) -> Row:
    x, y = problem.test
    error = problem.black_box()(y, model.predict(x, verbose=0))
    calls = len(callback.history) if callback else 0
    size = sum(int(np.prod(w.shape)) for w in model.trainable_weights) if callback else None
    return Row(name, seed, size, {"test_error": error, "evaluations": calls}, seconds)
