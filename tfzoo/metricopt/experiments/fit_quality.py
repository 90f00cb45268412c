"""How well the value function predicts observations that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.metricopt.buffer import Trajectory
from tfzoo.metricopt.callback import MetricOpt
from tfzoo.metricopt.experiments import methods, plots
from tfzoo.metricopt.experiments.tasks import Problem
from tfzoo.metricopt.value import ValueFunction

SEEN, HELD = 12, 4
EVERY = 4
NOTE = (
    f"Spearman's rank correlation of predicted and observed metric. `within`: fitted on {SEEN} "
    f"loss-only trajectories from random adapters without each {EVERY}th observation, asked about "
    f"those. `spearman`: fitted on all of them, asked about {HELD} whole trajectories from other "
    "random adapters."
)


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> list[Row]:
    """A row for each task and seed, and a plot of the first seed's predictions."""
    rows: list[Row] = []
    shown: dict[str, tuple[Pairs, Pairs]] = {}
    for name, make in tasks.items():
        for seed in seeds:
            within, others = kept(output, f"{name}, seed {seed}", NOTE, _of_seed, make, seed)
            shown.setdefault(name, (within, others))
            metrics = {"spearman": _spearman(*others), "within": _spearman(*within)}
            rows.append(Row(name, seed, metrics=metrics))
            print(f"{name}, seed {seed}: {metrics}", flush=True)
    print(
        study.report("metricopt value", rows, "spearman", output, notes=[NOTE, *_within(rows)]),
        flush=True,
    )
    _plot(shown, output / "value.png")
    return rows


def _within(rows: Sequence[Row]) -> list[str]:
    """A line for each task with the correlation on held-out observations."""
    names = dict.fromkeys(r.arm for r in rows)
    correlations = {
        n: statistics.interval(list(statistics.values(rows, n, "within").values())) for n in names
    }
    return ["", *(f"- {name}, within: {value}" for name, value in correlations.items())]


Pairs = tuple[np.ndarray, np.ndarray]


def _of_seed(make: Callable[[int], Problem], seed: int) -> tuple[Pairs, Pairs]:
    """(predicted, observed) for held-out observations, and for unseen trajectories."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    problem = make(seed)
    settings: dict[str, Any] = {**methods.EXPLORATION, "trajectories": SEEN + HELD}
    steps = (SEEN + HELD) * settings["trajectory_steps"]
    _, callback = methods.run_metricopt(problem, seed, steps=steps, weight=0.0, **settings)
    trajectories = [t for t in callback.optimizer.buffer.trajectories() if t.number < SEEN + HELD]
    seen, held = trajectories[:SEEN], trajectories[SEEN:]
    value = _fitted(callback, seen, seed)
    others = _asked(value, held, [np.arange(len(t.steps)) for t in held])
    out = [np.arange(1, len(t.steps) - 1, EVERY) for t in seen]
    thinned = [
        replace(t, steps=np.delete(t.steps, o), cost=np.delete(t.cost, o))
        for t, o in zip(seen, out, strict=True)
    ]
    return _asked(_fitted(callback, thinned, seed), seen, out), others


def _fitted(callback: MetricOpt, seen: Sequence[Trajectory], seed: int) -> ValueFunction:
    data = callback.interpolated(seen)
    value = ValueFunction(data.phi.shape[1])
    value.fit_observations(data, callback.fit_steps, seed)
    return value


def _asked(
    value: ValueFunction, trajectories: Sequence[Trajectory], which: Sequence[np.ndarray]
) -> Pairs:
    pairs = list(zip(trajectories, which, strict=True))
    phi = np.concatenate([t.phi[t.steps[rows]] for t, rows in pairs])
    return value.metric(phi), np.concatenate([t.cost[rows] for t, rows in pairs])


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy import stats

    rho = float(stats.spearmanr(a, b).statistic)
    return 0.0 if np.isnan(rho) else rho


def _plot(shown: Mapping[str, tuple[Pairs, Pairs]], path: Path) -> None:
    """Predicted over observed cost of the first seed."""
    figure, axes = plots.panels(len(shown), 3.6, 3.2)
    for axis, (name, parts) in zip(axes, shown.items(), strict=True):
        for label, (predicted, observed) in zip(("within", "others"), parts, strict=True):
            text = f"{label}: {_spearman(predicted, observed):.2f}"
            axis.scatter(observed, predicted, s=10, alpha=0.6, label=text)
        ends = [np.min([p[1].min() for p in parts]), np.max([p[1].max() for p in parts])]
        axis.plot(ends, ends, color="0.6", linewidth=1)
        axis.legend(fontsize=7)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("observed cost")
        axis.set_ylabel("predicted cost")
    save_figure(figure, path)
