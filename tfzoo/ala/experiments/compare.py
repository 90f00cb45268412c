"""Every arm on every task: equal steps, and the plain loss at equal time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tfzoo.ala.experiments import methods, plots, surface
from tfzoo.ala.experiments.methods import Arm, Outcome
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.experiments import statistics, study
from tfzoo.experiments.keeping import kept
from tfzoo.experiments.statistics import Row

SURFACE_ROWS = 512
SMOOTH = ("CE, momentum", "ALA", "ALA, Eq. 6", "triplet")
"""Arms whose loss surface is examined at the end of training."""

OURS = "ALA"


def run(
    tasks: Mapping[str, Callable[[int], Problem]], seeds: Sequence[int], output: Path
) -> dict[str, list[Row]]:
    """Runs and reports each task, seed by seed; finished seeds are not repeated."""
    finished = {}
    for name, make in tasks.items():
        rows: list[Row] = []
        for seed in seeds:
            pictures = output / name if seed == seeds[0] else None
            settings, part = methods.settings(name), f"{name}, seed {seed}"
            rows += kept(output / name, part, settings, _of_seed, name, make, seed, pictures)
        _report(name, rows, output / name)
        finished[name] = rows
    return finished


def plain(problem: Problem) -> str:
    """The fixed loss from which ours starts."""
    return "CE, momentum" if problem.classes else "triplet"


def _of_seed(
    name: str, make: Callable[[int], Problem], seed: int, pictures: Path | None
) -> list[Row]:
    problem, (count, schedule) = make(seed), methods.settings(name)
    rows, outcomes = [], {}
    arms = methods.arms(problem, methods.CHOSEN[name])
    for arm_name, arm in arms.items():
        outcome = methods.train(problem, arm, count, schedule, seed)
        row = _row(arm_name, arm, seed, problem, outcome, schedule.total)
        print(f"{name}, seed {seed}, {arm_name}: {row.metrics} {row.seconds:.1f} s", flush=True)
        rows.append(row)
        outcomes[arm_name] = outcome
    seconds, first = outcomes[OURS].seconds, plain(problem)
    outcome, steps = methods.train_for(problem, arms[first], count, schedule, seed, seconds)
    rows.append(_row(f"{first}, equal time", arms[first], seed, problem, outcome, steps))
    if pictures is not None:
        plots.parameters(outcomes, arms, problem, pictures / "parameters.png")
        plots.progress(outcomes, problem.metric, pictures / "progress.png")
        if "ALA, Eq. 6" in outcomes:
            plots.matrix(outcomes["ALA, Eq. 6"], pictures / "correlations.png")
    return rows


def _row(name: str, arm: Arm, seed: int, problem: Problem, outcome: Outcome, steps: int) -> Row:
    metrics = problem.report(methods.said(problem, arm, outcome.model, problem.test[0]))
    metrics |= {"validation": outcome.validation, "steps": steps}
    if name in SMOOTH:
        part = [a[:SURFACE_ROWS] for a in problem.train]
        if not problem.classes:
            part = [a[:64] for a in problem.train]  # selected classes, complete
        loss, phi = outcome.learning.alignment.loss, outcome.phi[-1][outcome.child]
        metrics |= surface.smoothness(outcome.model, loss, phi, *part)
    return Row(name, seed, outcome.model.count_params(), metrics, outcome.seconds)


def _report(name: str, rows: Sequence[Row], output: Path) -> None:
    by_task = {"digits": "balanced_error", "mnist": "balanced_error", "omniglot": "recall_at_1"}
    metric = by_task.get(name, "aucpr" if name.endswith("aucpr") else "misclassification")
    count, schedule = methods.settings(name)
    more = metric in ("recall_at_1", "aucpr")
    names = list(dict.fromkeys(r.arm for r in rows))
    others = [n for n in names if n != OURS and not n.startswith(("one child", "oracle"))]
    way = f"SGD {methods.RATE}" if name != "omniglot" else f"Adam {methods.EMBEDDING_RATE}"
    note = (
        f"Test {metric} ({'more' if more else 'less'} is better). {count} children each (`one "
        f"child`: 1), {schedule.total} steps of {way}, batch {methods.BATCH}; losses that move: "
        f"{schedule.warmup_steps} of these a warm-up by the fixed loss, {schedule.actions} "
        f"actions, {schedule.evaluations} evaluations a window; of every arm the child that is "
        f"best on validation is reported. Settings: {methods.CHOSEN[name]}. `equal time` had the "
        "seconds of ours, evaluations included and compilation not (the process's own seconds on "
        "one thread)."
    )
    lines = ["", *statistics.against_all(rows, OURS, others, metric, more), ""]
    alone = [n for n in names if n.startswith("one child")]
    for arm in alone[1:]:
        lines += [*statistics.against_all(rows, arm, alone[:1], metric, more), ""]
    rest = sorted({k for r in rows for k in r.metrics} - {metric})
    lines += [f"| arm | {' | '.join(rest)} |", "|---" * (len(rest) + 1) + "|"]
    for arm in names:
        means = [
            statistics.interval([r.metrics[k] for r in rows if r.arm == arm and k in r.metrics])
            for k in rest
        ]
        lines.append(f"| {arm} | {' | '.join(map(str, means))} |")
    table = study.report(f"ala {name}", rows, metric, output, (), [note, *lines])
    plots.errors(rows, metric, output / "errors.png")
    print(f"{name}\n{table}", flush=True)
