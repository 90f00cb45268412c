"""Runs a grid of recipes over seeds and reports every seed, the mean and a 95 % interval."""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo import runner
from tfzoo.callbacks import TrainingInterrupted
from tfzoo.environment import columns, environment
from tfzoo.errors import InputError
from tfzoo.files import replacing, write_csv, write_text


@dataclass(frozen=True)
class Arm:
    """One setting of a study.

    Attributes:
        name: in tables and plots.
        recipe: name or path.
        overrides: laid over the recipe's config.
    """

    name: str
    recipe: str
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Row:
    """What one arm gave with one seed."""

    arm: str
    seed: int
    parameters: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


def run_grid(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    output: str | Path,
    run: Callable[..., dict[str, float]] = runner.run_recipe,
) -> list[Row]:
    """Trains every arm with every seed, one after the other, seeds outermost.

    Each run has its own directory below `output`; finished ones are not repeated, so that an
    interrupted study goes on where it stopped. A run that fails is a row that says so.

    Args:
        arms: the settings.
        seeds: the same for every arm.
        output: folder of the study.
        run: trains one resolved recipe in a directory and returns test metrics.

    Returns:
        A row for each arm and seed.
    """
    rows, total = [], len(arms) * len(seeds)
    for seed in seeds:
        for arm in arms:
            folder = Path(output) / "runs" / f"{arm.name}-seed{seed}"
            print(f"[{len(rows) + 1}/{total}] {arm.name}, seed {seed}", flush=True)
            rows.append(_run_one(arm, seed, folder, run))
    return rows


def _run_one(arm: Arm, seed: int, folder: Path, run: Callable) -> Row:
    resolved = runner.resolve(arm.recipe, [*arm.overrides, f"seed={seed}"])
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


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval (Student's t); `half` is NaN for a single value."""

    mean: float
    half: float
    count: int

    def __str__(self) -> str:
        if self.count == 0:
            return "-"
        return f"{self.mean:.4f} ± {self.half:.4f}" if self.count > 1 else f"{self.mean:.4f}"


def interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % interval of some values."""
    from scipy import stats

    count = len(values)
    if count == 0:
        return Interval(float("nan"), float("nan"), 0)
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, float("nan"), 1)
    error = float(np.std(values, ddof=1)) / count**0.5
    return Interval(mean, float(stats.t.ppf(0.975, count - 1)) * error, count)


def values(rows: Sequence[Row], arm: str, metric: str) -> dict[int, float]:
    """An arm's metric by seed, failed runs left out."""
    return {r.seed: r.metrics[metric] for r in rows if r.arm == arm and not r.error}


def paired(rows: Sequence[Row], first: str, second: str, metric: str) -> Interval:
    """The difference `first - second` over the seeds that both finished."""
    a, b = values(rows, first, metric), values(rows, second, metric)
    return interval([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def verdict(difference: Interval) -> str:
    """Whether a difference is below 0, as a claim `first < second` wants it.

    Returns:
        `supported` or `contradicted` if the 95 % interval lies on one side of 0, else
        `inconclusive`, with the side of the mean.
    """
    if difference.count > 1 and difference.mean + difference.half < 0:
        return "supported"
    if difference.count > 1 and difference.mean - difference.half > 0:
        return "contradicted"
    side = "for" if difference.mean < 0 else "against"
    return f"inconclusive (mean {side} it)"


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
        name: of the study.
        rows: of `run_grid`.
        metric: the headline; lower is better in claims.
        output: folder of the study.
        claims: (what it says, first arm, second arm): first's metric is below second's.
        notes: lines below the table, such as the paper's figures and the difference in scale.
        extra: more for the JSON.
    """
    output, arms = Path(output), list(dict.fromkeys(r.arm for r in rows))
    metrics = list(dict.fromkeys(m for r in rows for m in r.metrics))
    made = environment()
    written = [
        {"arm": r.arm, "seed": r.seed, "parameters": r.parameters}
        | {name: r.metrics.get(name, "") for name in metrics}
        | {"seconds": round(r.seconds, 1), "error": r.error}
        | columns(made)
        for r in rows
    ]
    write_csv(output / "results.csv", written)

    lines = [f"| arm | parameters | {metric} | seeds | seconds |", "|---|---|---|---|---|"]
    for arm in arms:
        mine = [r for r in rows if r.arm == arm]
        found = interval(list(values(rows, arm, metric).values()))
        parameters = next((f"{r.parameters:,}" for r in mine if r.parameters), "-")
        seconds = np.median([r.seconds for r in mine])
        lines.append(
            f"| {arm} | {parameters} | {found} | {found.count}/{len(mine)} | {seconds:.0f} |"
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
        f"Mean ± half of the 95 % interval over seeds. {made['processor']}, {made['cores']} cores, "
        f"TensorFlow {made['versions'].get('tensorflow')}, Keras {made['versions'].get('keras')}, "
        f"{made['date'][:10]}. Command: `{made['command']}`",
    ]
    result = "\n".join(lines) + "\n"
    write_text(output / "table.md", result)
    write_text(
        output / "study.json", json.dumps({"study": name, **made, **(extra or {})}, indent=2)
    )
    return result


def read(path: Path, metric: str) -> list[Row]:
    """Rows of a study's CSV with one metric.

    Raises:
        InputError: no such file or column.
    """
    if not path.is_file():
        raise InputError(f"results {str(path)!r}: no such file")
    with path.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    if not found or metric not in found[0]:
        raise InputError(f"results {str(path)!r}: no column {metric!r}")
    return [
        Row(r["arm"], int(r["seed"]), metrics={metric: float(r[metric])}, error=r["error"])
        for r in found
        if r[metric]
    ]


def all_metrics(rows: Sequence[Row]) -> list[str]:
    """A column for each arm, a row for each metric."""
    arms = list(dict.fromkeys(r.arm for r in rows))
    names = list(dict.fromkeys(m for r in rows for m in r.metrics))
    lines = [f"| | {' | '.join(arms)} |", "|---" * (len(arms) + 1) + "|"]
    for name in names:
        cells = []
        for arm in arms:
            seen = [r.metrics[name] for r in rows if r.arm == arm and name in r.metrics]
            cells.append(str(interval(seen)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def save_figure(figure: Any, path: str | Path) -> None:
    """Writes a matplotlib figure as PNG, complete or not at all."""
    import matplotlib.pyplot as plt

    with replacing(path) as aside:
        figure.savefig(aside, dpi=150, bbox_inches="tight")
    plt.close(figure)


def parser(name: str, overrides: bool = True) -> argparse.ArgumentParser:
    """The options that all studies have, and `overrides` for those whose arms are recipes."""
    made = argparse.ArgumentParser(prog=f"tfzoo study {name}")
    if overrides:
        made.add_argument("overrides", nargs="*", metavar="key=value", help="for every arm")
    made.add_argument("--seeds", default="0,1,2", help="comma-separated; default 0,1,2")
    made.add_argument("--output", help=f"folder; default studies/{name}-<data>")
    return made


def parse_seeds(text: str) -> list[int]:
    """`"0,1,2"` as numbers.

    Raises:
        InputError: something else.
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds={text!r}: must be different whole numbers, e.g. 0,1,2")
    return seeds
