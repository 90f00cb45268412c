"""`tfzoo bench serving`: the embedded server under load, from another process.

Its parts can be run separately; every response is compared with the function's own output:

- `load`: a single client, compared with direct calls of the same SavedModels in the client's
    process; then clients of two models over REST and gRPC, for minutes.
- `batching`: 16 clients sending one row each, without and with `--enable_batching`.
- `versions`: clients while a new version appears every 20 seconds.
- `kills`: clients while the server is killed and started again.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.config import check
from tfzoo.experiments import bench
from tfzoo.experiments.bench import Target
from tfzoo.files import expanded

if TYPE_CHECKING:
    from tfzoo.serving.client import RestClient

PARTS = ("load", "batching", "versions", "kills")
MODELS = ("aft/digits", "skipclip/motions")
BATCHED = ("afv/digits", "skipclip/motions")
BATCHES = (1, 2, 5)
EXAMPLES = 12
"""Number of requests prepared for each model, with different rows and sizes."""

ALONE_SECONDS = 20.0
BATCHING_SECONDS = 30.0
BATCHING_CLIENTS = 16
VERSION_EVERY = 20.0
VERSIONS = 6
TOLERANCE = 2e-4
GROWTH = 1.05
GAIN = 3.0
SWITCH = 2.0
OVER_DIRECT = {"grpc": 1.0, "rest": 3.0}
"""Milliseconds that a median call may take beyond 1.5 times the direct call."""

BATCHING = """max_batch_size { value: 16 }
batch_timeout_micros { value: 10000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 1 }
"""
"""One thread: while it runs a batch, the other clients' rows accumulate for the next."""


@dataclass(frozen=True)
class Question:
    """A request and its correct response."""

    model: str
    inputs: dict[str, np.ndarray]
    answer: dict[str, np.ndarray]

    def wrong(self, answer: dict[str, np.ndarray]) -> bool:
        """Whether a response is wrong, beyond rounding."""
        return answer.keys() != self.answer.keys() or not all(
            answer[k].shape == v.shape and np.allclose(answer[k], v, rtol=TOLERANCE, atol=TOLERANCE)
            for k, v in self.answer.items()
        )


@dataclass
class Client:
    """One client's record: seconds of its requests, and the number of failures.

    Attributes:
        protocol: `"rest"` or `"grpc"`.
        ask: sends a model's name and inputs.
        read: converts the results of `ask` to arrays, after all requests are done.
    """

    protocol: str
    ask: Callable[[str, dict[str, np.ndarray]], Any]
    read: Callable[[Any], dict[str, np.ndarray]] = dict
    seconds: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    wrong: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, questions: Sequence[Question], seed: int, end: float) -> None:
        """Sends requests until the time `end`."""
        random = np.random.default_rng(seed)
        answers: list[tuple[Question, Any]] = []
        while time.monotonic() < end:
            question = questions[int(random.integers(len(questions)))]
            start = time.perf_counter()
            try:
                answer = self.ask(question.model, question.inputs)
            except Exception as error:  # any failure counts
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            self.seconds.append(time.perf_counter() - start)
            self.begun.append(time.monotonic() - self.seconds[-1])
            answers.append((question, answer))
        self.wrong += sum(question.wrong(self.read(answer)) for question, answer in answers)


def main(argv: Sequence[str]) -> None:
    """Runs `tfzoo bench serving` with the arguments `argv`."""
    parser = argparse.ArgumentParser(prog="tfzoo bench serving", description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=expanded, default="benches/serving")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="minutes of load; default %(default)s"
    )
    parser.add_argument("--clients", type=int, default=8, help="half REST; default %(default)s")
    parser.add_argument("--kills", type=int, default=100, help="default %(default)s")
    words = parser.parse_args(argv)
    check(words.minutes > 0, "--minutes", words.minutes, "above 0")
    check(words.clients >= 2, "--clients", words.clients, "at least 2")
    check(words.kills >= 1, "--kills", words.kills, "at least 1")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if {"load", "versions", "kills"} & set(words.parts):
            questions, calls = _prepare(folder / "models", MODELS)
        if "load" in words.parts:
            rows += _load(folder / "models", questions, calls, words.minutes * 60, words.clients)
        if "batching" in words.parts:
            rows += _batching(folder / "joined")
        if "versions" in words.parts:
            rows += _versions(folder / "models", questions, words.clients)
        if "kills" in words.parts:
            rows.append(_kills(folder / "models", questions, words.clients, words.kills))
    for row in rows:
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    bench.report("serving", rows, targets(rows), words.output)


def targets(rows: Sequence[dict[str, Any]]) -> list[Target]:
    """The targets of the parts that ran."""
    named = {row["alternative"]: row for row in rows}
    wrong = sum(row.get("wrong", 0) for row in rows)
    reached = [Target("wrong or missing answers", wrong, 0, False)]
    if "direct" in named:
        direct, loaded = named["direct"]["p50_ms"], named["grpc"]
        for protocol, extra in OVER_DIRECT.items():
            time_of = named[f"{protocol} alone"]["p50_ms"]
            bound = round(1.5 * direct + extra, 2)
            reached.append(Target(f"{protocol} alone, p50 ms", time_of, bound, False))
        growth = loaded["mib_end"] / loaded["mib_early"]
        text = "server's memory at the end over that of the first half"
        reached.append(Target(text, growth, GROWTH, False))
    joined = f"{BATCHED[0]} batching"
    if f"{joined} on" in named:
        gain = named[f"{joined} on"]["a_second"] / named[f"{joined} off"]["a_second"]
        reached.append(Target(f"{joined}: answers a second over those without", gain, GAIN, True))
    if "versions loading" in named:
        rise = named["versions loading"]["p99_ms"] / named["versions else"]["p99_ms"]
        reached.append(Target("p99 while a version loads over p99 else", rise, SWITCH, False))
    return reached


def _prepare(
    folder: Path, models: Sequence[str], batches: Sequence[int] = BATCHES
) -> tuple[list[Question], list[Callable[[], Any]]]:
    """Exports the models and returns the correct responses, computed by direct calls."""
    import tensorflow as tf

    from tfzoo import runner, serving

    questions: list[Question] = []
    calls: list[Callable[[], Any]] = []
    for target in models:
        model, resolved = runner.open_trained(target)
        signatures = resolved.recipe.signatures(model, resolved.info)
        name = target.replace("/", "_")
        path = serving.write(model, signatures, folder / name)
        loaded = tf.saved_model.load(str(path))
        function = loaded.signatures["serving_default"]
        given = signatures["serving_default"].examples
        random = np.random.default_rng(0)
        for i in range(EXAMPLES):
            rows = batches[i % len(batches)]
            inputs = {k: _shuffled(v[np.arange(rows) % len(v)], random) for k, v in given.items()}

            def call(function: Any = function, inputs: dict = inputs, loaded: Any = loaded) -> dict:
                outputs = function(**{k: tf.constant(v) for k, v in inputs.items()})
                return {k: v.numpy() for k, v in outputs.items()}

            questions.append(Question(name, inputs, call()))
            calls.append(call)
    return questions, calls


def _shuffled(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same values in a different order, so that no two requests are equal."""
    return random.permutation(x.reshape(-1)).reshape(x.shape)


def _load(
    folder: Path,
    questions: Sequence[Question],
    calls: Sequence[Callable[[], Any]],
    seconds: float,
    count: int,
) -> list[dict[str, Any]]:
    """Direct calls, one client per protocol alone, then all clients at once, with memory use."""
    import psutil

    direct, end = [], time.monotonic() + ALONE_SECONDS
    random = np.random.default_rng(1)
    while time.monotonic() < end:
        start = time.perf_counter()
        calls[int(random.integers(len(calls)))]()
        direct.append(time.perf_counter() - start)
    rows = [_row("direct", direct)]
    with _server(folder) as server:
        for protocol in ("rest", "grpc"):
            client = server.client(protocol)
            client.run(questions, 0, time.monotonic() + ALONE_SECONDS)
            rows.append(_row(f"{protocol} alone", [client]))
        clients = [server.client(("rest", "grpc")[i % 2]) for i in range(count)]
        memory: list[int] = []
        process = psutil.Process(server.pid)
        with _running(clients, questions, seconds) as end:
            for i in range(40):
                time.sleep(max(0.0, end - seconds * (39 - i) / 40 - time.monotonic()))
                memory.append(process.memory_info().rss)
    memory = memory[4:]  # after warm-up
    early, late = (_median(part) for part in (memory[: len(memory) // 2], memory[-3:]))
    for protocol in ("rest", "grpc"):
        row = _row(protocol, [c for c in clients if c.protocol == protocol], seconds)
        rows.append(row | {"mib_early": early, "mib_end": late})
    return rows


def _batching(folder: Path) -> list[dict[str, Any]]:
    """Responses per second without and with batched requests."""
    rows = []
    parameters = folder / "batching.config"
    for target in BATCHED:
        name = target.replace("/", "_")
        questions, _ = _prepare(folder / name, [target], [1])
        parameters.write_text(BATCHING, encoding="utf-8")
        flags = ["--enable_batching", f"--batching_parameters_file={parameters}"]
        for word, words in (("off", []), ("on", flags)):
            with _server(folder / name / name, *words) as server:
                with _running(server.light_clients(questions), questions, 5.0):  # warms up
                    pass
                clients = server.light_clients(questions)
                with _running(clients, questions, BATCHING_SECONDS):
                    pass
            rows.append(_row(f"{target} batching {word}", clients, BATCHING_SECONDS))
    return rows


def _versions(folder: Path, questions: Sequence[Question], count: int) -> list[dict[str, Any]]:
    """Response times while versions load and otherwise; all versions respond alike."""
    name = MODELS[0].replace("/", "_")
    first = folder / name / "1"
    windows: list[tuple[float, float]] = []
    seconds = VERSION_EVERY * (VERSIONS + 0.5)
    with _server(folder) as server:
        watcher = server.rest_client()
        clients = [server.client(("rest", "grpc")[i % 2]) for i in range(count)]
        with _running(clients, questions, seconds) as end:
            for number in range(2, VERSIONS + 2):
                time.sleep(
                    max(0.0, end - seconds + VERSION_EVERY * (number - 1.5) - time.monotonic())
                )
                aside = folder / name / f".next-{number}"
                shutil.copytree(first, aside)
                start = time.monotonic()
                aside.rename(folder / name / str(number))
                if number > 2:
                    shutil.rmtree(folder / name / str(number - 1))
                while time.monotonic() < end:
                    if watcher.status(name).get(number) == "AVAILABLE":
                        break
                    time.sleep(0.2)
                windows.append((start, time.monotonic()))
    for number in range(2, VERSIONS + 2):
        shutil.rmtree(folder / name / str(number), ignore_errors=True)
    inside: list[float] = []
    outside: list[float] = []
    for client in clients:
        for begun, took in zip(client.begun, client.seconds, strict=True):
            loading = any(start < begun + took and begun < end for start, end in windows)
            (inside if loading else outside).append(took)
    failed = sum(client.wrong + len(client.failures) for client in clients)
    load = round(float(np.median([end - start for start, end in windows])), 2)
    return [
        _row("versions loading", inside) | {"wrong": failed, "load_seconds": load},
        _row("versions else", outside),
    ]


def _kills(folder: Path, questions: Sequence[Question], count: int, kills: int) -> dict[str, Any]:
    """Kills the server at random under load; refusals are correct, partial responses are not."""
    random = np.random.default_rng(0)
    clients: list[Client] = []
    ports = [0, 0]
    for _ in range(kills):
        with _server(folder, ports=ports) as server:
            ports = [server.rest_port, server.grpc_port]
            if not clients:
                clients = [server.client(("rest", "grpc")[i % 2]) for i in range(count)]
            with _running(clients, questions, seconds := float(random.uniform(0.2, 1.5))) as end:
                time.sleep(max(0.0, end - seconds / 2 - time.monotonic()))
                server.process.kill()
                server.process.wait()
    taken = 0
    for port in ports:
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            taken += 1
    row = _row("kills", clients)
    refused = row.pop("failed")
    return row | {
        "wrong": sum(client.wrong for client in clients) + taken,
        "refused": refused,
        "kills": kills,
    }


class _Served:
    """`tfzoo serve` in another process, and factories of its clients."""

    def __init__(self, process: subprocess.Popen, url: str, address: str):
        self.process = process
        self.pid = process.pid
        self._url = url
        self._address = address
        self.rest_port = int(url.rpartition(":")[2])
        self.grpc_port = int(address.rpartition(":")[2])

    def rest_client(self) -> RestClient:
        """Sends requests over REST."""
        from tfzoo.serving.client import RestClient

        return RestClient(self._url)

    def client(self, protocol: str) -> Client:
        """A client with its own connection."""
        from tfzoo.serving.client import GrpcClient

        if protocol == "rest":
            return Client("rest", self.rest_client().predict)
        return Client("grpc", GrpcClient(self._address).predict)

    def light_clients(self, questions: Sequence[Question]) -> list[Client]:
        """Clients with pre-serialised requests, which take little of the cores."""
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        requests = {}
        for question in questions:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = question.model
            for name, value in question.inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            requests[id(question.inputs)] = request.SerializeToString()

        def read(data: bytes) -> dict[str, np.ndarray]:
            answer = predict_pb2.PredictResponse.FromString(data)
            return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

        clients = []
        for _ in range(BATCHING_CLIENTS):
            channel = grpc.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)])
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

            def ask(model: str, inputs: dict[str, np.ndarray], call: Any = call) -> bytes:
                return call(requests[id(inputs)])

            clients.append(Client("grpc", ask, read))
        return clients


@contextlib.contextmanager
def _server(folder: Path, *flags: str, ports: Sequence[int] = (0, 0)) -> Iterator[_Served]:
    words = ["serve", str(folder), f"--rest_api_port={ports[0]}", f"--port={ports[1]}", *flags]
    command = [sys.executable, "-m", "tfzoo_cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # a pipe
            said = process.stdout.readline()
            match = re.search(r"REST (http://[^/]+).*gRPC (\S+);", said)
            if match is None:
                raise RuntimeError(f"the server did not start: {said!r}")
            yield _Served(process, *match.groups())
        finally:
            process.terminate()


@contextlib.contextmanager
def _running(
    clients: Sequence[Client], questions: Sequence[Question], seconds: float
) -> Iterator[float]:
    """Starts all clients at once for some seconds; returns the time at which they end."""
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=client.run, args=(questions, i, end), daemon=True)
        for i, client in enumerate(clients)
    ]
    for thread in threads:
        thread.start()
    yield end
    for thread in threads:
        thread.join(seconds + 120)


def _row(
    name: str, source: Sequence[float] | Sequence[Client], seconds: float = 0.0
) -> dict[str, Any]:
    clients = [item for item in source if isinstance(item, Client)]
    times = [s for client in clients for s in client.seconds] or [
        item for item in source if not isinstance(item, Client)
    ]
    p50, p99, most = np.percentile(times, [50, 99, 100]) if times else (float("nan"),) * 3
    row: dict[str, Any] = {
        "alternative": name,
        "requests": len(times),
        "p50_ms": round(1e3 * float(p50), 2),
        "p99_ms": round(1e3 * float(p99), 2),
        "max_ms": round(1e3 * float(most), 2),
    }
    if clients:
        row["failed"] = sum(len(client.failures) for client in clients)
        row["wrong"] = sum(client.wrong for client in clients) + row["failed"]
        for client in clients:
            for line in client.failures[:1]:
                print(f"{name}, {client.protocol}: {line}", flush=True)
    if seconds:
        row["a_second"] = round(len(times) / seconds, 1)
    return row


def _median(values: Sequence[int]) -> float:
    """The median of byte counts, in MiB."""
    return round(float(np.median(values)) / 2**20, 1)
