"""Every arm on every task: equal steps, and cross-entropy at equal wall time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras

from tfzoo.ala.experiments import methods, plots, surface
from tfzoo.ala.experiments.methods import Outcome
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row

SURFACE_ROWS = 512


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> dict[str, list[Row]]:
    """Runs and reports each task, seed by seed; a seed that is finished is not repeated."""
    found = {}
    for name, make in tasks.items():
        rows: list[Row] = []
        for seed in seeds:
            pictures = output / name if seed == seeds[0] else None
            settings, part = methods.settings(name), f"{name}, seed {seed}"
            rows += kept(output / name, part, settings, _of_seed, name, make, seed, pictures)
        _report(name, rows, output / name)
        found[name] = rows
    return found


def _of_seed(
    name: str, make: Callable[[int], Problem], seed: int, pictures: Path | None
) -> list[Row]:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    problem, (count, schedule) = make(seed), methods.settings(name)
    rows, outcomes = [], {}
    for arm_name, arm in methods.arms(problem, name == "digits").items():
        outcome = methods.train(problem, arm, count, schedule, seed)
        row = _row(arm_name, seed, problem, outcome, schedule.total)
        print(f"{name}, seed {seed}, {arm_name}: {row.metrics} {row.seconds:.0f} s", flush=True)
        rows.append(row)
        outcomes[arm_name] = outcome
    plain, ours = _ends(problem)
    seconds = next(r.seconds for r in rows if r.arm == ours)
    arm = methods.arms(problem)[plain]
    outcome, steps = methods.train_for(problem, arm, count, schedule, seed, seconds)
    rows.append(_row(f"{plain}, equal time", seed, problem, outcome, steps))
    if pictures is not None:
        plots.parameters(outcomes, problem, pictures / "parameters.png")
        plots.progress(outcomes, problem.metric, pictures / "progress.png")
        if "ALA Eq. 6" in outcomes:
            plots.matrix(outcomes["ALA Eq. 6"], pictures / "correlations.png")
    return rows


def _row(name: str, seed: int, problem: Problem, outcome: Outcome, steps: int) -> Row:
    found = problem.report(outcome.model.predict(problem.test[0], batch_size=1000, verbose=0))
    alignment = outcome.learning.alignment
    phi = keras.ops.convert_to_numpy(alignment.phi)[outcome.child]
    part = [a[:SURFACE_ROWS] for a in problem.train]
    if not problem.classes:
        part = [a[:64] for a in problem.train]  # some classes, whole
    found |= surface.smoothness(outcome.model, alignment.loss, phi, *part)
    found |= {"steps": steps}
    size = outcome.model.count_params()
    return Row(name, seed, size, found, outcome.seconds)


def _ends(problem: Problem) -> tuple[str, str]:
    """The plain arm and ours, which it is given the time of."""
    return ("CE", "ALA class weights") if problem.classes else ("triplet", "ALA distance mixture")


def _report(name: str, rows: Sequence[Row], output: Path) -> None:
    by_task = {"digits": "balanced_error", "mnist": "balanced_error", "omniglot": "recall_at_1"}
    metric = by_task.get(name, "aucpr" if name.endswith("aucpr") else "misclassification")
    count, schedule = methods.settings(name)
    ours = "ALA distance mixture" if name == "omniglot" else "ALA class weights"
    sign = "above" if metric in ("recall_at_1", "aucpr") else "below"
    names = list(dict.fromkeys(r.arm for r in rows))
    # a negative difference bears a claim out
    claims = [
        (f"{ours} {sign} {other}", *((other, ours) if sign == "above" else (ours, other)))
        for other in names
        if other != ours
    ]
    way = f"SGD {methods.RATE}" if name != "omniglot" else f"Adam {methods.EMBEDDING_RATE}"
    note = (
        f"Test {metric}. {count} children each, {schedule.total} steps of {way}, "
        f"batch {methods.BATCH}, {schedule.warmup_steps} of them "
        f"a warm-up by the fixed loss; {schedule.actions} actions, {schedule.evaluations} "
        "evaluations a window; of every arm the child that is best on validation is reported. "
        "`equal time` had the seconds of ours, compilation and evaluations included (the "
        "process's own seconds on one thread, since the machine was shared)."
    )
    others = sorted({k for r in rows for k in r.metrics} - {metric})
    lines = ["", f"| arm | {' | '.join(others)} |", "|---" * (len(others) + 1) + "|"]
    for arm in names:
        found = [
            statistics.interval(list(statistics.values(rows, arm, k).values())) for k in others
        ]
        lines.append(f"| {arm} | {' | '.join(map(str, found))} |")
    table = study.report(f"ala {name}", rows, metric, output, claims, [note, *lines])
    plots.errors(rows, metric, output / "errors.png")
    print(f"{name}\n{table}", flush=True)
