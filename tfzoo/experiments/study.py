"""Runs a grid of recipes over seeds and reports every seed, the mean and a 95 % interval."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo import runner
from tfzoo.config import to_yaml
from tfzoo.environment import columns, environment
from tfzoo.errors import InputError
from tfzoo.experiments.keeping import fingerprint
from tfzoo.experiments.statistics import Row, interval, paired, values, verdict
from tfzoo.files import expanded, write_csv, write_text
from tfzoo.training.callbacks import TrainingInterrupted


@dataclass(frozen=True)
class Arm:
    """One setting of a study.

    Attributes:
        name: its name in tables and plots.
        recipe: a recipe's name or path.
        overrides: `key=value` words applied to the recipe.
    """

    name: str
    recipe: str
    overrides: Sequence[str] = ()


def run_grid(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    output: str | Path,
    run: Callable[..., dict[str, float]] = runner.run_recipe,
) -> list[Row]:
    """Trains every arm with every seed, one after another, with seeds in the outer loop.

    Each run has its own directory below `output`. Finished runs are not repeated unless settings or
    code have changed, so that a killed study resumes where it stopped. A run that fails gives a row
    with its error.

    Args:
        arms: the settings.
        seeds: the same for every arm.
        output: the study's folder.
        run: trains one resolved recipe in a directory and returns test metrics.

    Returns:
        A row for each arm and seed.
    """
    rows: list[Row] = []
    total = len(arms) * len(seeds)
    for seed in seeds:
        for arm in arms:
            folder = Path(output) / "runs" / f"{arm.name}-seed{seed}"
            print(f"[{len(rows) + 1}/{total}] {arm.name}, seed {seed}", flush=True)
            rows.append(_run_one(arm, seed, folder, run))
    return rows


def _run_one(arm: Arm, seed: int, folder: Path, run: Callable) -> Row:
    resolved = runner.resolve(arm.recipe, [*arm.overrides, f"seed={seed}"])
    _clear_outdated(folder, resolved)
    start = time.monotonic()
    try:
        metrics = run(resolved, folder, export=False)
    except (KeyboardInterrupt, TrainingInterrupted, InputError):
        raise
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Row(arm.name, seed, seconds=time.monotonic() - start, error=first)
    seconds, clock = time.monotonic() - start, folder / "seconds.json"
    if clock.is_file():
        seconds = json.loads(clock.read_text(encoding="utf-8"))
    elif folder.is_dir():
        write_text(clock, json.dumps(round(seconds, 1)))
    finished = folder / "metrics.json"
    parameters = (
        json.loads(finished.read_text(encoding="utf-8"))["parameters"]
        if finished.is_file()
        else None
    )
    return Row(arm.name, seed, parameters, metrics, seconds)


def _clear_outdated(folder: Path, resolved: runner.Resolved) -> None:
    """Removes the files of a run with other settings or code from an arm's folder."""
    path = folder / "fingerprint.txt"
    mark = fingerprint(to_yaml(resolved.config), type(resolved.recipe).__module__)
    if path.is_file() and path.read_text(encoding="utf-8") != mark:
        print(f"{folder.name}: settings or code have changed; starts over", flush=True)
        shutil.rmtree(folder)
    write_text(path, mark)


def report(
    name: str,
    rows: Sequence[Row],
    metric: str,
    output: str | Path,
    claims: Sequence[tuple[str, str, str]] = (),
    notes: Sequence[str] = (),
    extra: dict[str, Any] | None = None,
) -> str:
    """Writes `results.csv`, `table.md` and `study.json` and returns the table.

    Args:
        name: the study's name.
        rows: from `run_grid`.
        metric: the headline metric; claims are about lower values.
        output: the study's folder.
        claims: (text, first arm, second arm): the first arm's metric is below the second's.
        notes: lines below the table, such as the paper's figures and the difference in scale.
        extra: further entries of the JSON.
    """
    output, arms = Path(output), list(dict.fromkeys(r.arm for r in rows))
    metrics = list(dict.fromkeys(m for r in rows for m in r.metrics))
    machine = environment()
    written = [
        {"arm": r.arm, "seed": r.seed, "parameters": r.parameters}
        | {name: r.metrics.get(name, "") for name in metrics}
        | {"seconds": round(r.seconds, 1), "error": r.error}
        | columns(machine)
        for r in rows
    ]
    write_csv(output / "results.csv", written)

    lines = [f"| arm | parameters | {metric} | seeds | seconds |", "|---|---|---|---|---|"]
    for arm in arms:
        mine = [r for r in rows if r.arm == arm]
        mean = interval(list(values(rows, arm, metric).values()))
        parameters = next((f"{r.parameters:,}" for r in mine if r.parameters), "-")
        seconds = np.median([r.seconds for r in mine])
        lines.append(
            f"| {arm} | {parameters} | {mean} | {mean.count}/{len(mine)} | {seconds:.0f} |"
        )
    if claims:
        lines += ["", "| claim | difference, paired by seed | verdict |", "|---|---|---|"]
        for says, first, second in claims:
            difference = paired(rows, first, second, metric)
            lines.append(f"| {says} | {difference} | {verdict(difference)} |")
    lines += [
        "",
        *notes,
        "",
        f"Mean ± half of the 95 % interval over seeds. {machine['processor']}, "
        f"{machine['cores']} cores, TensorFlow {machine['versions'].get('tensorflow')}, "
        f"Keras {machine['versions'].get('keras')}, "
        f"{machine['date'][:10]}. Command: `{machine['command']}`",
    ]
    result = "\n".join(lines) + "\n"
    write_text(output / "table.md", result)
    write_text(
        output / "study.json", json.dumps({"study": name, **machine, **(extra or {})}, indent=2)
    )
    return result


def parser(name: str, overrides: bool = True) -> argparse.ArgumentParser:
    """The common options of all studies, and `overrides` for those whose arms are recipes."""
    arguments = argparse.ArgumentParser(prog=f"tfzoo study {name}")
    if overrides:
        arguments.add_argument("overrides", nargs="*", metavar="key=value", help="for every arm")
    arguments.add_argument("--seeds", default="0,1,2", help="comma-separated; default 0,1,2")
    arguments.add_argument("--output", type=expanded, help=f"folder; default studies/{name}-<data>")
    return arguments


def parse_seeds(text: str) -> list[int]:
    """Parses seeds such as `"0,1,2"`.

    Raises:
        InputError: the text has another form.
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds={text!r}: must be different whole numbers, e.g. 0,1,2")
    return seeds
