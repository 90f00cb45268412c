"""Metrics for Prometheus, under TensorFlow Serving's names."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

PREFIX = ":tensorflow:serving:"
MICROSECONDS = [10 * 1.8**power for power in range(33)]
"""Upper bounds of the latency buckets, as in servables/tensorflow/util.cc."""


class Metrics:
    """Counters and timings of a server's requests."""

    def __init__(self):
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{PREFIX}request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = self._histogram(
            "request_latency",
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ["model_name", "API", "entrypoint"],
        )
        self._runtime = self._histogram(
            "runtime_latency",
            "Distribution of wall time (in microseconds) for Tensorflow runtime.",
            ["model_name", "API", "runtime"],
        )
        self._warm_up = self._histogram(
            "model_warmup_latency",
            "Distribution of wall time (in microseconds) for warming up the model.",
            ["model_path", "status"],
        )

    def _histogram(self, name: str, text: str, labels: list[str]) -> Histogram:
        return Histogram(
            f"{PREFIX}{name}", text, labels, buckets=MICROSECONDS, registry=self._registry
        )

    def request(self, model: str, api: str, entrypoint: str, code: str, seconds: float) -> None:
        """Records a request that was answered, or refused with a code."""
        self._requests.labels(model, code).inc()
        if code == "OK":
            self._latency.labels(model, api, entrypoint).observe(seconds * 1e6)

    def run(self, model: str, api: str, seconds: float) -> None:
        """Records a run of a model."""
        self._runtime.labels(model, api, "TF1").observe(seconds * 1e6)

    def warm_up(self, folder: Path, seconds: float) -> None:
        """Records a version's warm-up."""
        self._warm_up.labels(str(folder), "OK").observe(seconds * 1e6)

    def page(self) -> bytes:
        """The metrics in Prometheus's text format, without the suffixes `_total` and `_created`."""
        text = generate_latest(self._registry).decode()
        lines = [line for line in text.splitlines() if "_created" not in line.partition("{")[0]]
        return re.sub(r"(:request_count)_total\b", r"\1", "\n".join([*lines, ""])).encode()
