"""Measures time and memory of alternatives side by side, each in its own process.

The parent asks the workers in turn for one repetition each, so that a machine that slows down
affects all of them alike. A worker that exceeds the memory limit is killed and reported as such.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfzoo.config import check
from tfzoo.environment import columns, environment
from tfzoo.experiments.workers import STARTUP_SECONDS, Lost, Worker, workers
from tfzoo.files import expanded, write_csv, write_text

__all__ = [
    "Lost",
    "Pulling",
    "Result",
    "Target",
    "Times",
    "Worker",
    "compare",
    "parse",
    "parser",
    "report",
    "slope",
    "table",
    "weigh",
    "workers",
]

ROUND_SECONDS, ROUND_REPETITIONS = 1.0, 10
"""Seconds and repetitions at most per alternative and round: short measurements vary."""
BATCHES = 50
"""Batches per repetition of an input pipeline; as many are pulled untimed beforehand."""


@dataclass
class Result:
    """The measurements of one alternative.

    Attributes:
        name: the alternative.
        seconds: seconds of each repetition, in the order of the rounds.
        peak_bytes: peak resident memory during a repetition, above that of a process that has built
            the alternative but not run it yet.
        error: why measurements are missing, e.g. out of memory.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds; NaN if there are none."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


def compare(
    workers: dict[str, Worker],
    target: str,
    keywords: dict[str, dict[str, Any]],
    rounds: int,
    memory: bool = True,
) -> dict[str, Result]:
    """Builds one alternative in each worker, then times them in turn, round by round.

    Within its turn a short alternative is repeated for up to about a second. A worker that was lost
    in an earlier comparison is restarted.

    Args:
        workers: workers by alternative.
        target: `"module:function"`; called with an alternative's keywords, it returns a function
            that performs one repetition and returns when done.
        keywords: keyword arguments by alternative.
        rounds: turns of each alternative.
        memory: also measures memory, as `weigh` does.
    """
    results = {name: Result(name) for name in keywords}
    for name, given in keywords.items():
        if not workers[name].alive:
            workers[name] = workers[name].another()
        with _noting(results[name]):
            workers[name].ask("build", target, given, time_limit=STARTUP_SECONDS)
    for _ in range(rounds):
        for name, result in results.items():
            with _noting(result):
                _take_turn(workers[name], result)
    if memory:
        weigh(workers, target, keywords, results)
    return results


def weigh(
    workers: dict[str, Worker],
    target: str,
    keywords: dict[str, dict[str, Any]],
    results: dict[str, Result],
) -> None:
    """Adds each alternative's memory to its result, unless that has an error.

    Each is measured in a fresh process: TensorFlow's pooling allocators (oneDNN's, on some CPUs)
    keep memory of earlier work, so that an old process would show no increase.

    Args:
        workers: as in `compare`.
        target: as in `compare`.
        keywords: as in `compare`.
        results: from `compare`; their `peak_bytes` are set.
    """
    for name, given in keywords.items():
        if results[name].error:
            continue
        with contextlib.closing(workers[name].another()) as worker, _noting(results[name]):
            worker.ask("build", target, given, time_limit=STARTUP_SECONDS)
            results[name].peak_bytes = worker.ask("weigh")


def _take_turn(worker: Worker, result: Result) -> None:
    if result.error:
        return
    spent = 0.0
    for _ in range(ROUND_REPETITIONS):
        result.seconds.append(worker.ask("time"))
        spent += result.seconds[-1]
        if spent >= ROUND_SECONDS:
            return


@contextlib.contextmanager
def _noting(result: Result) -> Iterator[None]:
    """Records the loss of a worker as the result's error."""
    try:
        yield
    except Lost as lost:
        result.error = str(lost)


class Pulling:
    """An alternative that pulls `BATCHES` batches of a tf.data stream, by which `table` divides.

    An idle pipeline fills its buffers, so each repetition uses a new pipeline that has been pulled
    at this rate from its start.

    Args:
        stream: an infinite dataset.
    """

    def __init__(self, stream: Iterable[Any]):
        self._stream = stream
        self.prepare()

    def prepare(self) -> None:
        """Called, untimed, by `tfzoo.experiments.workers` before each timed repetition."""
        self._batches = iter(self._stream)
        self()

    def __call__(self) -> None:
        """One repetition: pulls `BATCHES` batches."""
        for _ in range(BATCHES):
            next(self._batches)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Growth exponent: the least-squares slope of log y over log x."""
    import numpy as np

    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Attributes:
        says: what is measured, in words.
        measured: the figure measured.
        bound: the figure to reach.
        at_least: whether `bound` is a lower bound; otherwise an upper one.
    """

    says: str
    measured: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether the target is reached; a missing figure does not reach it."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        word = "met" if self.met else "NOT MET"
        return f"{word:8} {self.says}: {self.measured:.2f} (to reach: {sign} {self.bound:g})"


class Times:
    """Median seconds by identifying columns, and targets that are ratios of two of them.

    Args:
        rows: from `table`; those without seconds are left out.
        *keys: the columns that identify a row.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], *keys: str):
        self.seconds = {tuple(r[k] for k in keys): r["seconds"] for r in rows if r["seconds"]}

    def ratio(self, says: str, over: tuple, under: tuple, bound: float, at_least: bool) -> list:
        """A `Target` on seconds of `over` / seconds of `under`, as a list; empty without both."""
        if over not in self.seconds or under not in self.seconds:
            return []
        return [Target(says, self.seconds[over] / self.seconds[under], bound, at_least)]


def table(
    results: dict[str, Result],
    per: int | Mapping[str, int] = 1,
    name: str = "alternative",
    **columns: Any,
) -> list[dict[str, Any]]:
    """A row for each result, printed as it is created.

    Args:
        results: from `compare`.
        per: the number of units (steps, tokens) in one repetition: seconds are per unit. A dict by
            name if it differs between alternatives.
        name: the column that holds the alternative's name.
        **columns: leading columns, the same in all rows.
    """
    rows = []
    for result in results.values():
        count = per if isinstance(per, int) else per.get(result.name, 1)
        peak, seconds = result.peak_bytes, result.median / count
        rows.append(
            {
                **columns,
                name: result.name,
                "seconds": round(seconds, 6) if result.seconds else "",
                "repetitions": len(result.seconds),
                "peak_mib": round(peak / 2**20, 1) if peak is not None else "",
                "error": result.error,
            }
        )
        memory = f" {rows[-1]['peak_mib']:9} MiB" if peak is not None else ""
        said = result.error or f"{seconds * 1e3:10.2f} ms{memory}"
        before = " ".join(f"{value!s:10}" for value in columns.values())
        print(f"{before} {result.name:15} {said}", flush=True)
    return rows


def parser(
    name: str, about: str | None, rounds: int, parts: Sequence[str] = ()
) -> argparse.ArgumentParser:
    """The common options of all benches: `--rounds`, `--output`, and `--parts` if there are any."""
    arguments = argparse.ArgumentParser(prog=f"tfzoo bench {name}", description=about)
    arguments.add_argument("--rounds", type=int, default=rounds, help="turns of each alternative")
    arguments.add_argument("--output", type=expanded, default=f"benches/{name}")
    if parts:
        arguments.add_argument("--parts", default=",".join(parts), help="a subset of %(default)s")
    return arguments


def parse(
    arguments: argparse.ArgumentParser, argv: Sequence[str], parts: Sequence[str] = ()
) -> argparse.Namespace:
    """Parses the command line and checks rounds and parts; `parts` becomes a list.

    Raises:
        InputError: fewer than one round, or an unknown part.
    """
    words = arguments.parse_args(argv)
    check(words.rounds >= 1, "--rounds", words.rounds, "at least 1")
    if parts:
        words.parts = words.parts.split(",")
        for part in words.parts:
            check(part in parts, "--parts", part, f"one of {', '.join(parts)}")
    return words


def report(
    name: str, rows: Sequence[dict[str, Any]], targets: Sequence[Target], output: str | Path
) -> None:
    """Writes `results.csv` and `bench.json` (targets, hardware, command); prints the targets."""
    machine = environment()
    write_csv(Path(output) / "results.csv", [row | columns(machine) for row in rows])
    reached = [
        {"target": t.says, "found": t.measured, "bound": t.bound, "met": t.met} for t in targets
    ]
    whole = {"bench": name, **machine, "targets": reached}
    write_text(Path(output) / "bench.json", json.dumps(whole, indent=2))
    for target in targets:
        print(target)
    print(f"written to {output}")
