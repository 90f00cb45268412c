"""Processes that build alternatives and repeat them on request, used by `tfzoo bench`.

A worker that exceeds the memory limit is killed and reported as such.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import multiprocessing
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import psutil

STARTUP_SECONDS = 300.0


class Worker:
    """One process that builds alternatives and repeats them on request.

    Args:
        memory_limit: bytes of resident memory at which the process is killed.
        time_limit: seconds that one request may take.
    """

    def __init__(self, memory_limit: float, time_limit: float):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.daemon = True
        with _errors_to(self._errors):
            self._process.start()
        theirs.close()
        self.memory_limit, self.time_limit = memory_limit, time_limit

    @property
    def alive(self) -> bool:
        """Whether the process accepts requests."""
        return self._process.is_alive()

    def another(self) -> Worker:
        """A new process with the same limits."""
        return Worker(self.memory_limit, self.time_limit)

    def ask(self, *request: Any, time_limit: float | None = None) -> Any:
        """Sends a request and waits for the response.

        Raises:
            Lost: the process exceeded a limit, failed or died; it is terminated.
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
        """Describes how the process ended by itself."""
        self._process.join(5)
        killed = self._process.exitcode == -signal.SIGKILL
        last = self._last_error()
        self.close()
        if killed:
            return "killed by the system, probably out of memory"
        return f"process died: {last}" if last else "process died"

    def _last_error(self) -> str:
        """The last line that the process wrote to standard error."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        """Kills the process, whatever it is doing, and waits for it."""
        if self.alive:
            self._process.kill()
        self._process.join()
        self._pipe.close()
        self._errors.close()


@contextlib.contextmanager
def _errors_to(file: IO[bytes]) -> Iterator[None]:
    """Redirects the standard error of processes started in the block to `file`.

    They load TensorFlow, whose start-up messages are noise.
    """
    kept = os.dup(2)
    try:
        os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Lost(Exception):
    """A worker cannot respond; the message says why."""


def _serve(pipe: Connection) -> None:
    """The worker's loop: ("build", "module:function", keywords), ("time",), ("weigh",)."""
    step: Any = None  # the alternative built last
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
                getattr(step, "prepare", lambda: None)()
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
    """Resident bytes, after returning free memory to the system."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return _status("VmRSS")


def _peak(step: Callable[[], object]) -> int:
    """Peak resident bytes during a repetition (Linux)."""
    _resident()
    Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
    step()
    return _status("VmHWM")


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{name}:\s+(\d+) kB", text)[0]) * 1024


@contextlib.contextmanager
def workers(
    names: Sequence[str],
    memory_limit: float | None = None,
    time_limit: float = 120.0,
) -> Iterator[dict[str, Worker]]:
    """One worker for each name, ended when the block ends.

    Args:
        names: names of the alternatives.
        memory_limit: bytes for one process; default: 80 % of the memory available now.
        time_limit: seconds for one request.
    """
    limit = memory_limit or 0.8 * psutil.virtual_memory().available
    started = {name: Worker(limit, time_limit) for name in names}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.close()
