"""How well the value function predicts the metric of trajectories that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo import study
from tfzoo.metricopt.experiments import methods
from tfzoo.metricopt.experiments.tasks import Problem
from tfzoo.metricopt.value import Observations, ValueFunction
from tfzoo.study import Row

SEEN, HELD = 12, 4
NOTE = (
    f"The value function is fitted on {SEEN} loss-only trajectories from random adapters and asked "
    f"about {HELD} others of the same seed, at the steps where their metric was observed. "
    "Spearman's rank correlation."
)


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> list[Row]:
    """A row for each task and seed; a picture of the first seed's predictions."""
    rows, shown = [], {}
    for name, make in tasks.items():
        for seed in seeds:
            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
            predicted, observed = _of_seed(make(seed), seed)
            shown.setdefault(name, (predicted, observed))
            rho = _spearman(predicted, observed)
            rows.append(Row(name, seed, metrics={"spearman": rho}))
            print(f"{name}, seed {seed}: Spearman {rho:.3f}", flush=True)
    print(study.report("metricopt value", rows, "spearman", output, notes=[NOTE]), flush=True)
    _plot(shown, output / "value.png")
    return rows


def _of_seed(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    settings = {**methods.EXPLORATION, "trajectories": SEEN + HELD}
    steps = (SEEN + HELD) * settings["trajectory_steps"]
    _, callback = methods.run_metricopt(problem, seed, steps=steps, weight=0.0, **settings)
    found = callback.optimizer.buffer.trajectories()
    held = [t for t in found if SEEN <= t.number < SEEN + HELD]
    all_ = callback.observations()
    seen = sum(len(t.phi) for t in found if t.number < SEEN)
    data = Observations(all_.phi[:seen], all_.cost[:seen], all_.variance[:seen])
    value = ValueFunction(data.phi.shape[1])
    value.fit_observations(data, callback.fit_steps, seed)
    phi = np.concatenate([t.phi[t.steps] for t in held])
    return value.metric(phi), np.concatenate([t.cost for t in held])


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy import stats

    rho = float(stats.spearmanr(a, b).statistic)
    return 0.0 if np.isnan(rho) else rho


def _plot(shown: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Predicted over observed cost, held-out trajectories of the first seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.6 * columns, 3.2 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, (name, (predicted, observed)) in zip(axes.flat, shown.items(), strict=False):
        axis.scatter(observed, predicted, s=10, alpha=0.6)
        ends = [min(observed.min(), predicted.min()), max(observed.max(), predicted.max())]
        axis.plot(ends, ends, color="0.6", linewidth=1)
        rho = _spearman(predicted, observed)
        axis.set_title(f"{name}\nSpearman {rho:.2f}", fontsize=9)
        axis.set_xlabel("observed cost")
        axis.set_ylabel("predicted cost")
    study.save_figure(figure, path)
