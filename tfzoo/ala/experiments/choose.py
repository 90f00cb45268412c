"""Chooses the study's settings one by one, on validation splits of seeds that are not reported.

Each setting is varied with the others at their current values; its arm is trained with every seed,
and the value with the best mean validation metric (of the child that is best by it) is kept. Test
splits are not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.ala.experiments import methods
from tfzoo.ala.experiments.methods import Chosen
from tfzoo.ala.experiments.tasks import Problem
from tfzoo.experiments.keeping import kept
from tfzoo.files import write_text

GRID: dict[str, tuple[str, tuple[Any, ...]]] = {
    "momentum": ("CE, momentum", (0.0, 0.9)),
    "tau": ("logit adjustment", (0.5, 1.0, 1.5, 2.0)),
    "effective": ("class-balanced", (0.999, 0.9999)),
    "perturbation": ("PBT", (0.3, 1.0, 2.0)),
    "spread": ("evolution", (0.3, 1.0, 2.0)),
    "beta": ("ALA", (0.1, 0.2)),
    "exploration": ("ALA", (0.0, 0.3)),
    "trace": ("ALA", (1.0, 0.97)),
    "random": ("persistent random", (0.3, 1.0, 2.0)),
}
"""By field of `Chosen`: the arm to evaluate, and the values to try."""


def run(name: str, make: Callable[[int], Problem], seeds: Sequence[int], output: Path) -> Chosen:
    """Goes through `GRID` on one task; writes and prints the results and the choices."""
    problems: dict[int, Problem] = {}
    best, known = Chosen(), {}
    lines = ["| setting | arm | validation | chosen |", "|---|---|---|---|"]
    for field, (arm, values) in GRID.items():
        means = {}
        for value in values:
            trial, part = replace(best, **{field: value}), f"{field} {value}"
            if (arm, trial) not in known:
                given = (name, make, problems, seeds, arm, trial)
                known[arm, trial] = kept(output / name, part, (trial, seeds), _seen, *given)
            seen = known[arm, trial]
            means[value] = float(np.mean(seen)) if seen else np.inf
        if not np.isfinite(list(means.values())).all():
            continue  # the task lacks this arm
        best = replace(best, **{field: min(means, key=lambda v: means[v])})
        for value, mean in means.items():
            mark = "*" if value == getattr(best, field) else ""
            lines.append(f"| {field} {value} | {arm} | {mean:.4f} | {mark} |")
            print(lines[-1], flush=True)
    lines += ["", f"Mean validation cost over seeds {', '.join(map(str, seeds))}.", "", f"`{best}`"]
    write_text(output / name / "choice.md", "\n".join(lines) + "\n")
    print(name, asdict(best), flush=True)
    return best


def _seen(
    name: str,
    make: Callable[[int], Problem],
    problems: dict[int, Problem],
    seeds: Sequence[int],
    arm: str,
    trial: Chosen,
) -> list[float]:
    """The validation cost of an arm with each seed; empty if the task lacks the arm."""
    seen, (count, schedule) = [], methods.settings(name)
    for seed in seeds:
        if seed not in problems:
            problems[seed] = make(seed)
        arms = methods.arms(problems[seed], trial)
        if arm not in arms:
            return []
        outcome = methods.train(problems[seed], arms[arm], count, schedule, seed)
        seen.append(problems[seed].black_box().cost(outcome.validation))
    return seen
