"""`serve`: exported models over TensorFlow Serving's REST and gRPC protocols."""

from __future__ import annotations

import contextlib
import shutil
import threading
import warnings
from pathlib import Path
from typing import Protocol

from tfzoo.errors import InputError
from tfzoo.serving.model_server import PROGRAM, ModelServerProcess
from tfzoo.serving.servables import Models, find_models

MAX_BYTES = 64 << 20
GRACE = 10.0


class _Backend(Protocol):
    rest_port: int
    grpc_port: int

    def close(self, grace: float) -> None: ...


class Server:
    """A running server; a context manager that closes it.

    Attributes:
        backend: `"tensorflow_model_server"` or `"in-process"`.
        host: where it listens.
        rest_port, grpc_port: the ports, also where free ones were asked for.
        models: names of the models it serves.
    """

    def __init__(self, backend: str, running: _Backend, host: str, models: list[str]):
        self.backend = backend
        self.host = host
        self.models = models
        self.rest_port = running.rest_port
        self.grpc_port = running.grpc_port
        self._running = running
        self._lock = threading.Lock()
        self._closed = False

    def close(self, grace: float = GRACE) -> None:
        """Takes no more requests, finishes those at hand, and ends. Again: does nothing.

        Args:
            grace: seconds that requests at hand are waited for.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._running.close(grace)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def serve(
    directory: str | Path,
    *,
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    model_name: str | None = None,
    backend: str = "auto",
    max_bytes: int = MAX_BYTES,
) -> Server:
    """Serves a model, or a folder of models, until the result is closed.

    The newest version is the default, every other can be named; a version that appears later is
    served, too. The in-process server is for one machine and trusted callers: no TLS, no login.

    Args:
        directory: a model's folder (`<version>/saved_model.pb` in it), or a folder of such.
        host: address to listen on. The real server always listens on all interfaces.
        rest_port: 0 takes a free one.
        grpc_port: 0 takes a free one.
        model_name: default: the folder's name.
        backend: `"tensorflow_model_server"`, `"in-process"`, or `"auto"`: the real server where it
            is on PATH.
        max_bytes: of a request, in the in-process server.

    Raises:
        InputError: nothing to serve there, a port is taken, or the server does not start.
    """
    if backend not in ("auto", PROGRAM, "in-process"):
        raise InputError(f"backend={backend!r}: must be auto, {PROGRAM} or in-process")
    for key, port in (("rest_port", rest_port), ("grpc_port", grpc_port)):
        if not 0 <= port < 65536:
            raise InputError(f"{key}={port}: must be from 0 to 65535")
    folders = find_models(directory, model_name)
    program = shutil.which(PROGRAM) if backend != "in-process" else None
    if backend == PROGRAM and program is None:
        raise InputError(f"backend={backend!r}: is not on PATH")
    running: _Backend
    if program is None:
        running = InProcessServer(Models(folders), host, rest_port, grpc_port, max_bytes)
        return Server("in-process", running, host, list(folders))
    if host not in ("0.0.0.0", "::"):
        warnings.warn(
            f"{PROGRAM} cannot be held to host={host}: it listens on all interfaces",
            stacklevel=2,
        )
    running = ModelServerProcess(program, folders, rest_port, grpc_port)
    return Server(PROGRAM, running, host, list(folders))


class InProcessServer:
    """REST and gRPC over the same loaded models, in threads of this process.

    Raises:
        InputError: a port is taken, or the serving packages are not installed.
    """

    def __init__(self, models: Models, host: str, rest_port: int, grpc_port: int, max_bytes: int):
        try:
            from tfzoo.serving.grpc_server import GrpcServer
            from tfzoo.serving.rest import RestServer
        except ImportError as error:
            raise InputError(f"serving needs pip install 'tfzoo[serve]': {error}") from None
        with contextlib.ExitStack() as stack:
            try:
                key, port = "rest_port", rest_port
                self._rest = RestServer(models, host, rest_port, max_bytes)
                stack.callback(self._rest.close, 0)
                key, port = "grpc_port", grpc_port
                self._grpc = GrpcServer(models, host, grpc_port, max_bytes)
            except OSError as error:
                reason = error.strerror or str(error)
                raise InputError(f"{key}={port}: cannot listen on {host}: {reason}") from None
            stack.pop_all()
        self.rest_port = self._rest.port
        self.grpc_port = self._grpc.port

    def close(self, grace: float) -> None:
        """Takes no more requests, and waits for those being answered."""
        self._rest.close(grace)
        self._grpc.close(grace)
