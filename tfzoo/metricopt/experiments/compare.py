"""Every arm on every task, at equal metric evaluations and training steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.plots import save_figure
from tfzoo.experiments.statistics import Row
from tfzoo.files import write_text
from tfzoo.metricopt.experiments import methods, plots
from tfzoo.metricopt.experiments.tasks import Problem

NOTE = (
    f"Test error of the metric (1 - metric where more is better). Every arm but `base` had "
    f"{methods.EVALUATIONS} metric evaluations on the validation split (threshold tuning and "
    f"CMA-ES, in whole rounds, at most that) and keeps its best there; those that train had "
    f"{methods.STEPS} steps of SGD 0.02 with momentum 0.9, batch 64, from the same converged model."
)


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> dict[str, list[Row]]:
    """Runs and reports each task; finished tasks are reported at once."""
    by_task = {}
    for name, make in tasks.items():
        rows: list[Row] = []
        for seed in seeds:
            rows += kept(output / name, f"{name}, seed {seed}", NOTE, _of_seed, name, make, seed)
        claims = [
            (f"MetricOpt below {other}", "MetricOpt", other)
            for other in dict.fromkeys(r.arm for r in rows)
            if other not in ("MetricOpt",)
        ]
        others = [other for _, _, other in claims]
        holm = statistics.against_all(rows, "MetricOpt", others, "test_error")
        notes = [*holm, "", NOTE]
        table = study.report(f"metricopt {name}", rows, "test_error", output / name, claims, notes)
        print(f"{name}\n{table}", flush=True)
        by_task[name] = rows
    write_text(output / "verdicts.md", over_all_tasks(by_task))
    plot(by_task, output / "compare.png")
    return by_task


def over_all_tasks(by_task: Mapping[str, Sequence[Row]]) -> str:
    """MetricOpt compared with every competitor on every task, Holm-adjusted over all comparisons.

    Returns:
        A Markdown table; p-values are from Student's paired two-sided test on test errors.
    """
    pairs = [
        (task, other, statistics.paired(rows, "MetricOpt", other, "test_error"))
        for task, rows in by_task.items()
        for other in dict.fromkeys(r.arm for r in rows)
        if other != "MetricOpt"
    ]
    values = [statistics.p_value(gap) for _, _, gap in pairs]
    lines = ["| task | MetricOpt against | difference | p, adjusted | verdict |"]
    lines += ["|---|---|---|---|---|"]
    for (task, other, gap), p in zip(pairs, statistics.holm(values), strict=True):
        says = "no difference" if p >= 0.05 else "better" if gap.mean < 0 else "worse"
        lines.append(f"| {task} | {other} | {gap} | {p:.3g} | {says} |")
    return "\n".join(lines) + "\n"


def _of_seed(name: str, make: Callable[[int], Problem], seed: int) -> list[Row]:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    start = time.monotonic()
    problem, rows = make(seed), []
    print(f"{name}, seed {seed}: base in {time.monotonic() - start:.0f} s", flush=True)
    for arm, method in methods.arms(problem).items():
        keras.utils.set_random_seed(seed)
        start = time.monotonic()
        model = method(problem, seed)
        seconds = time.monotonic() - start
        values = {}
        for part in ("validation", "test"):
            x, y = getattr(problem, part)
            values[f"{part}_error"] = error(
                problem, y, model.predict(x, batch_size=1000, verbose=0)
            )
        parameters = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
        rows.append(Row(arm, seed, parameters if arm != "base" else None, values, seconds))
    return rows


def error(problem: Problem, y: np.ndarray, predictions: np.ndarray) -> float:
    """The metric of predictions as a cost, where lower is better."""
    metric = problem.black_box()
    value = metric(y, predictions)
    return value if metric.mode == "min" else 1 - value


def plot(by_task: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Mean test error of each arm with 95 % intervals, one panel per task."""
    figure, axes = plots.panels(len(by_task), 4.2, 2.6)
    for axis, (name, rows) in zip(axes, by_task.items(), strict=True):
        names = list(dict.fromkeys(r.arm for r in rows))[::-1]
        means = [
            statistics.interval(list(statistics.values(rows, n, "test_error").values()))
            for n in names
        ]
        colors = ["C1" if n == "MetricOpt" else "C0" for n in names]
        for i, (mean, color) in enumerate(zip(means, colors, strict=True)):
            half = 0 if np.isnan(mean.half) else mean.half
            axis.errorbar(mean.mean, i, xerr=half, fmt="o", color=color, capsize=3)
        axis.set_yticks(range(len(names)), names)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("test error")
    save_figure(figure, path)
