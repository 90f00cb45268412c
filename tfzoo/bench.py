"""Times and weighs alternatives side by side, each in a process of its own.

The parent asks the workers in turn for one repetition each, so that a machine that slows down slows
all of them. A worker that outgrows the memory limit is ended and reported so.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import gc
import importlib
import io
import json
import multiprocessing
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tfzoo.environment import environment
from tfzoo.files import write_text

STARTUP_SECONDS = 300.0
ROUND_SECONDS, ROUND_REPETITIONS = 1.0, 10
"""A round repeats an alternative until so much time is spent, at most so often: short ones vary."""


@dataclass
class Result:
    """What was measured of one alternative.

    Attributes:
        name: the alternative.
        seconds: each repetition, in the order of the rounds.
        peak_bytes: greatest resident memory during a repetition, above that of a process that has
            built the alternative and not yet run it.
        error: why there is no (further) measurement, e.g. out of memory.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    error: str = ""

    @property
    def median(self) -> float:
        """Median seconds; NaN if there are none."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


class Worker:
    """One process that builds alternatives and repeats them when asked.

    Args:
        memory_limit: bytes of resident memory at which the process is ended.
        time_limit: seconds that one request may take.
        environment: variables set in the process before it imports anything.
    """

    def __init__(self, memory_limit: float, time_limit: float, environment: dict | None = None):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, environment or {}))
        self._process.daemon = True
        self._process.start()
        theirs.close()
        self.memory_limit, self.time_limit = memory_limit, time_limit
        self.environment = environment

    @property
    def alive(self) -> bool:
        """Whether the process can be asked."""
        return self._process.is_alive()

    def another(self) -> Worker:
        """A new process with the same limits."""
        return Worker(self.memory_limit, self.time_limit, self.environment)

    def ask(self, *request: Any, time_limit: float | None = None) -> Any:
        """Sends a request and waits for the answer.

        Raises:
            Lost: the process outgrew a limit, failed or died; it is ended.
        """
        if not self.alive:
            raise Lost(self._end())
        self._pipe.send(request)
        deadline = time.monotonic() + (time_limit or self.time_limit)
        process = psutil.Process(self._process.pid)
        while not self._pipe.poll(0.02):
            with contextlib.suppress(psutil.Error):
                if process.memory_info().rss > self.memory_limit:
                    self.close()
                    raise Lost(f"out of memory (> {self.memory_limit / 2**30:.1f} GiB)")
            if time.monotonic() > deadline:
                self.close()
                raise Lost(f"over the time limit ({time_limit or self.time_limit:.0f} s)")
        try:
            kind, value = self._pipe.recv()
        except EOFError:
            raise Lost(self._end()) from None
        if kind == "error":
            raise Lost(value)
        return value

    def _end(self) -> str:
        """How the process ended by itself, in words."""
        self._process.join(5)
        killed = self._process.exitcode == -signal.SIGKILL
        self.close()
        return "killed by the system, as it does when memory runs out" if killed else "process died"

    def close(self) -> None:
        """Ends the process."""
        if self.alive:
            self._process.kill()
        self._process.join()
        self._pipe.close()


class Lost(Exception):
    """A worker has no answer; the message says why."""


def _serve(pipe: Any, environment: dict) -> None:
    """The worker's loop: ("build", "module:function", keywords), ("time",), ("weigh",)."""
    import os

    os.environ.update(environment)
    step: Callable[[], None] | None = None
    before = 0
    while True:
        try:
            kind, *arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer: Any = None
            if kind == "build":
                step = None
                gc.collect()
                module, function = arguments[0].split(":")
                step = getattr(importlib.import_module(module), function)(**arguments[1])
                before = _resident()
                step()  # traces and compiles
            elif kind == "time":
                start = time.perf_counter()
                step()
                answer = time.perf_counter() - start
            elif kind == "weigh":
                answer = max(_peak(step) - before, 0)
            pipe.send(("ok", answer))
        except Exception as error:
            lines = str(error).splitlines() or [type(error).__name__]
            pipe.send(("error", lines[0]))


def _resident() -> int:
    """Resident bytes, after what is free was given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _peak(step: Callable[[], None]) -> int:
    """Most resident bytes during a repetition (Linux)."""
    _resident()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark counts from here
    step()
    return _status("VmHWM")


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", text).group(1)) * 1024


@contextlib.contextmanager
def workers(
    names: Sequence[str],
    memory_limit: float | None = None,
    time_limit: float = 120.0,
    environment: dict | None = None,
) -> Iterator[dict[str, Worker]]:
    """One worker for each name, ended when the block ends.

    Args:
        names: of the alternatives.
        memory_limit: bytes for one process; default: 80 % of what is available now.
        time_limit: seconds for one request.
        environment: variables set in the processes.
    """
    limit = memory_limit or 0.8 * psutil.virtual_memory().available
    made = {name: Worker(limit, time_limit, environment) for name in names}
    try:
        yield made
    finally:
        for worker in made.values():
            worker.close()


def compare(
    made: dict[str, Worker],
    target: str,
    keywords: dict[str, dict[str, Any]],
    rounds: int,
    memory: bool = True,
) -> dict[str, Result]:
    """Builds one alternative in each worker, then times them in turn, round by round.

    Within its turn a short alternative is repeated, up to about a second. A worker that was lost
    to an earlier comparison is started anew.

    Args:
        made: workers by alternative.
        target: `"module:function"`; called with an alternative's keywords it returns a function
            that does one repetition and returns when it is done.
        keywords: by alternative.
        rounds: turns of each.
        memory: also does what `weigh` does.
    """
    results = {name: Result(name) for name in keywords}
    for name, given in keywords.items():
        if not made[name].alive:
            made[name] = made[name].another()
        with _noting(results[name]):
            made[name].ask("build", target, given, time_limit=STARTUP_SECONDS)
    for _ in range(rounds):
        for name, result in results.items():
            with _noting(result):
                _take_turn(made[name], result)
    if memory:
        weigh(made, target, keywords, results)
    return results


def weigh(
    made: dict[str, Worker],
    target: str,
    keywords: dict[str, dict[str, Any]],
    results: dict[str, Result],
) -> None:
    """Puts each alternative's memory into its result, unless that has an error.

    Each is weighed in a fresh process: TensorFlow's pooling allocators (oneDNN's, on some CPUs)
    keep what earlier work took, so that an old process shows nothing.

    Args:
        made: as in `compare`.
        target: as in `compare`.
        keywords: as in `compare`.
        results: of `compare`; their `peak_bytes` are set.
    """
    for name, given in keywords.items():
        if results[name].error:
            continue
        with contextlib.closing(made[name].another()) as worker, _noting(results[name]):
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
    """Makes a worker's loss the result's error."""
    try:
        yield
    except Lost as lost:
        result.error = str(lost)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Growth exponent: the slope of log y over log x by least squares."""
    import numpy as np

    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Attributes:
        says: what it is about.
        found: the figure measured.
        bound: the figure to reach.
        at_least: whether `found` must be at least `bound`, or at most.
    """

    says: str
    found: float
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether it is reached; a figure that is missing is not."""
        return self.found >= self.bound if self.at_least else self.found <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        word = "met" if self.met else "NOT MET"
        return f"{word:8} {self.says}: {self.found:.2f} (to reach: {sign} {self.bound:g})"


def report(
    name: str, rows: Sequence[dict[str, Any]], targets: Sequence[Target], output: str | Path
) -> None:
    """Writes `results.csv` and `bench.json` (targets, hardware, versions, command)."""
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(Path(output) / "results.csv", text.getvalue())
    reached = [
        {"target": t.says, "found": t.found, "bound": t.bound, "met": t.met} for t in targets
    ]
    made = {"bench": name, **environment(), "targets": reached}
    write_text(Path(output) / "bench.json", json.dumps(made, indent=2))
