"""`tfzoo bench serving`: the embedded server under mixed load, minute after minute.

Clients ask two models over REST and gRPC as fast as they are answered; every answer is compared
with the function's own. Times are set against direct calls of the same SavedModels, one at a time,
in the same process as the clients.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target
from tfzoo.files import expanded

MODELS = ("aft/digits", "skipclip/motions")
BATCHES = (1, 2, 5)
EXAMPLES = 12
"""Requests that are prepared for each model, of different rows and sizes."""

DIRECT_SECONDS = 20.0
TOLERANCE = 2e-4
GROWTH = 1.05


@dataclass(frozen=True)
class Question:
    """A request and its right answer."""

    model: str
    inputs: dict[str, np.ndarray]
    answer: dict[str, np.ndarray]

    def wrong(self, found: dict[str, np.ndarray]) -> bool:
        """Whether an answer is not the right one, up to rounding."""
        return found.keys() != self.answer.keys() or not all(
            found[k].shape == v.shape and np.allclose(found[k], v, rtol=TOLERANCE, atol=TOLERANCE)
            for k, v in self.answer.items()
        )


@dataclass
class Client:
    """One client's record: seconds of its requests, and how many went wrong."""

    protocol: str
    ask: Callable[..., dict[str, np.ndarray]]
    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, questions: Sequence[Question], seed: int, end: float) -> None:
        """Asks until the clock says `end`."""
        random = np.random.default_rng(seed)
        while time.monotonic() < end:
            question = questions[int(random.integers(len(questions)))]
            start = time.perf_counter()
            try:
                found = self.ask(question.model, question.inputs)
            except Exception as error:  # whatever it is, it counts
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            self.seconds.append(time.perf_counter() - start)
            self.wrong += question.wrong(found)


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench serving` with the arguments `argv`."""
    parser = argparse.ArgumentParser(prog="tfzoo bench serving", description=__doc__)
    parser.add_argument("--output", type=expanded, default="benches/serving")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load; default %(default)s")
    parser.add_argument("--clients", type=int, default=8, help="half REST; default %(default)s")
    words = parser.parse_args(argv)
    check(words.minutes > 0, "--minutes", words.minutes, "above 0")
    check(words.clients >= 2, "--clients", words.clients, "at least 2")
    with tempfile.TemporaryDirectory() as folder:
        questions, direct = _prepare(Path(folder))
        rows = [_row("direct", direct)]
        with _server(folder) as (pid, clients):
            made = [clients[i % 2]() for i in range(words.clients)]
            memory = _load(made, questions, words.minutes * 60, pid)
    for protocol in ("rest", "grpc"):
        mine = [c for c in made if c.protocol == protocol]
        found = _row(protocol, [s for c in mine for s in c.seconds])
        found["wrong"] = sum(c.wrong + len(c.failures) for c in mine)
        found["a_second"] = round(found["requests"] / (words.minutes * 60), 1)
        rows.append(found)
    for client in made:
        for line in client.failures[:3]:
            print(f"{client.protocol}: {line}")
    early, late = (_median(part) for part in (memory[: len(memory) // 2], memory[-3:]))
    for row in rows:
        row |= {"mib_early": round(early / 2**20, 1), "mib_end": round(late / 2**20, 1)}
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    bench.report("serving", rows, targets(rows), words.output)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """No wrong answer, and memory that stays."""
    wrong = sum(row.get("wrong", 0) for row in rows)
    growth = rows[0]["mib_end"] / rows[0]["mib_early"]
    return [
        Target("wrong or missing answers", wrong, 0, False),
        Target("server's memory at the end over that of the first half", growth, GROWTH, False),
    ]


def _prepare(folder: Path) -> tuple[list[Question], list[float]]:
    """Exports the models, works out right answers, and times direct calls."""
    import tensorflow as tf

    from tfzoo import runner, serving

    questions, calls = [], []
    for target in MODELS:
        model, resolved = runner.open_trained(target)
        signatures = resolved.recipe.signatures(model, resolved.info)
        name = target.replace("/", "_")
        path = serving.write(model, signatures, folder / name)
        loaded = tf.saved_model.load(str(path))
        function = loaded.signatures["serving_default"]
        given = signatures["serving_default"].examples
        random = np.random.default_rng(0)
        for i in range(EXAMPLES):
            rows = BATCHES[i % len(BATCHES)]
            inputs = {k: _shuffled(v[np.arange(rows) % len(v)], random) for k, v in given.items()}

            def call(function: Any = function, inputs: dict = inputs, loaded: Any = loaded) -> dict:
                found = function(**{k: tf.constant(v) for k, v in inputs.items()})
                return {k: v.numpy() for k, v in found.items()}

            questions.append(Question(name, inputs, call()))
            calls.append(call)
    seconds, end = [], time.monotonic() + DIRECT_SECONDS
    random = np.random.default_rng(1)
    while time.monotonic() < end:
        start = time.perf_counter()
        calls[random.integers(len(calls))]()
        seconds.append(time.perf_counter() - start)
    return questions, seconds


def _shuffled(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same values in another order, so that every request is another."""
    return random.permutation(x.reshape(-1)).reshape(x.shape)


@contextlib.contextmanager
def _server(folder: str) -> Iterator[tuple[int, list[Callable[[], Client]]]]:
    """`tfzoo serve` in another process: its number, and makers of a client of each protocol."""
    from tfzoo.serving.client import GrpcClient, RestClient

    words = ["serve", folder, "--rest-port", "0", "--grpc-port", "0"]
    command = [sys.executable, "-m", "tfzoo_cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # a pipe
            said = process.stdout.readline()
            found = re.search(r"REST (http://[^/]+).*gRPC (\S+);", said)
            if found is None:
                raise RuntimeError(f"the server did not start: {said!r}")
            url, address = found.groups()
            yield (
                process.pid,
                [
                    lambda: Client("rest", RestClient(url).predict),
                    lambda: Client("grpc", GrpcClient(address).predict),
                ],
            )
        finally:
            process.terminate()


def _load(
    clients: Sequence[Client], questions: Sequence[Question], seconds: float, pid: int
) -> list[int]:
    """All clients at once; the server's resident bytes, forty times."""
    import psutil

    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client.run, args=(questions, i, end), daemon=True)
        for i, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    memory, process = [], psutil.Process(pid)
    for i in range(40):
        time.sleep(max(0.0, end - seconds * (39 - i) / 40 - time.monotonic()))
        memory.append(process.memory_info().rss)
    for thread in threads:
        thread.join(120)
    return memory[4:]  # after warming up


def _row(name: str, seconds: Sequence[float]) -> dict[str, Any]:
    p50, p99 = np.percentile(seconds, [50, 99]) if len(seconds) else (float("nan"),) * 2
    return {
        "alternative": name,
        "requests": len(seconds),
        "p50_ms": round(1e3 * float(p50), 2),
        "p99_ms": round(1e3 * float(p99), 2),
    }


def _median(values: Sequence[int]) -> float:
    return float(np.median(values))
