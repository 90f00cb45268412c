"""What the gRPC and REST front ends share: a server's models, limits and metrics."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np

from tfzoo.serving.config_files import (
    ModelConfig,
    read_batching,
    read_models,
    read_monitoring,
    read_ssl,
)
from tfzoo.serving.deadline import Deadline
from tfzoo.serving.errors import RequestFailed, code_of
from tfzoo.serving.manager import Manager
from tfzoo.serving.metrics import Metrics
from tfzoo.serving.options import ServerOptions
from tfzoo.serving.servable import Servable


class Core:
    """A server's models, the limit on concurrent calls, and its metrics.

    Attributes:
        options: the server's options.
        manager: the models' versions.
        metrics: counters and timings.
        metrics_path: the URL path at which REST serves them; None to not serve them.
        ssl: gRPC's certificates; None for no TLS.

    Raises:
        InputError: a configuration file is invalid.
    """

    def __init__(
        self,
        models: list[ModelConfig],
        options: ServerOptions,
        model_config_file: str = "",
    ):
        self.options = options
        self.metrics = Metrics()
        self.metrics_path = read_monitoring(options.monitoring_config_file)
        self.ssl = read_ssl(options.ssl_config_file)
        joining = None
        if options.enable_batching:
            joining = read_batching(options.batching_parameters_file)
        if model_config_file:
            models = read_models(model_config_file)
        self._slots = threading.BoundedSemaphore(options.max_calls)
        self.manager = Manager(models, options, joining, model_config_file, self.metrics.warm_up)

    @contextlib.contextmanager
    def call(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts a call, and refuses it if too many are in progress.

        Raises:
            RequestFailed: UNAVAILABLE.
        """
        start, code = time.perf_counter(), "OK"
        try:
            if not self._slots.acquire(blocking=False):
                raise RequestFailed(
                    "UNAVAILABLE",
                    f"{self.options.max_calls} calls are in progress; try again later",
                )
            try:
                yield
            finally:
                self._slots.release()
        except Exception as error:
            code = code_of(error) if isinstance(error, RequestFailed) else "INTERNAL"
            raise
        finally:
            known = model if model in self.manager.names() else ""  # the caller may send any name
            self.metrics.request(known, api, entrypoint, code, time.perf_counter() - start)

    def run(
        self,
        servable: Servable,
        key: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: list[str],
        deadline: Deadline,
    ) -> dict[str, np.ndarray]:
        """Runs a signature for Predict.

        Raises:
            RequestFailed: see `Servable.run`.
        """
        start = time.perf_counter()
        outputs = servable.run(key, inputs, output_filter, deadline)
        self.metrics.run(servable.name, "Predict", time.perf_counter() - start)
        return outputs

    def close(self) -> None:
        """Unloads the models; calls must have ended."""
        self.manager.close()
