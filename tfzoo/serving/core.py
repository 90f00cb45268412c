"""What the gRPC and the REST front share: models, limits and metrics of a server."""

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
    """The models of a server, how much of them is asked at once, and what is counted.

    Attributes:
        options: of the server.
        manager: the models' versions.
        metrics: what is counted.
        metrics_path: where REST shows them; None for nowhere.
        ssl: gRPC's certificates; None for none.

    Raises:
        InputError: a configuration file is wrong.
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
        """Counts a call, and refuses it where too many are being answered.

        Raises:
            RequestFailed: UNAVAILABLE.
        """
        start, code = time.perf_counter(), "OK"
        try:
            if not self._slots.acquire(blocking=False):
                raise RequestFailed(
                    "UNAVAILABLE",
                    f"{self.options.max_calls} calls are being answered; try again later",
                )
            try:
                yield
            finally:
                self._slots.release()
        except Exception as error:
            code = code_of(error) if isinstance(error, RequestFailed) else "INTERNAL"
            raise
        finally:
            known = model if model in self.manager.names() else ""  # callers may name anything
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
