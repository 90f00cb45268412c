"""`serve`: exported models over TensorFlow Serving's REST and gRPC protocols."""

from __future__ import annotations

import contextlib
import shutil
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tfzoo.errors import InputError
from tfzoo.files import expanded
from tfzoo.serving.model_server import PROGRAM, ModelServerProcess
from tfzoo.serving.options import ServerOptions
from tfzoo.serving.writer import versions

GRACE = 10.0


class _Backend(Protocol):
    rest_port: int
    grpc_port: int
    models: list[str]

    def close(self, grace: float) -> None: ...


class Server:
    """A running server; a context manager that closes it.

    Attributes:
        backend: `"tensorflow_model_server"` or `"in-process"`.
        host: where it listens.
        rest_port, grpc_port: the actual ports, also if free ones were requested.
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
        """Accepts no more requests, finishes those in progress, and stops. Idempotent.

        Args:
            grace: seconds to wait for requests in progress.
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
    directory: str | Path | None = None,
    *,
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    model_name: str | None = None,
    model_config_file: str | Path | None = None,
    backend: str = "auto",
    **options: Any,
) -> Server:
    """Serves a model, or a folder of models, until the returned server is closed.

    Returns when all models are ready. Requests get the newest version unless they name another;
    versions that appear later are served, too. The in-process server has no authentication: it is
    for a single machine and trusted callers.

    Args:
        directory: a model's folder (`<version>/saved_model.pb` in it), or a folder of such.
        host: address to listen on. The real server always listens on all interfaces.
        rest_port: 0 picks a free one.
        grpc_port: 0 picks a free one.
        model_name: default: the folder's name.
        model_config_file: a ModelServerConfig in text form, instead of `directory`.
        backend: `"tensorflow_model_server"`, `"in-process"`, or `"auto"`: the real server if it is
            on PATH.
        **options: fields of `ServerOptions`.

    Raises:
        InputError: there is nothing to serve, a port is taken, a value is out of range, or the
            server does not start.
    """
    if backend not in ("auto", PROGRAM, "in-process"):
        raise InputError(f"backend={backend!r}: must be auto, {PROGRAM} or in-process")
    for key, port in (("rest_port", rest_port), ("grpc_port", grpc_port)):
        if not 0 <= port < 65536:
            raise InputError(f"{key}={port}: must be from 0 to 65535")
    settings = ServerOptions(**options)
    if (directory is None) == (model_config_file is None):
        raise InputError("directory, model_config_file: exactly one must be given")
    folders = {} if directory is None else find_models(directory, model_name)
    config_file = "" if model_config_file is None else expanded(str(model_config_file))
    program = shutil.which(PROGRAM) if backend != "in-process" else None
    if backend == PROGRAM and program is None:
        raise InputError(f"backend={backend!r}: is not on PATH")
    running: _Backend
    if program is None:
        running = InProcessServer(folders, config_file, host, rest_port, grpc_port, settings)
        return Server("in-process", running, host, running.models)
    if host not in ("0.0.0.0", "::"):
        warnings.warn(
            f"{PROGRAM} cannot be restricted to host={host}: it listens on all interfaces",
            stacklevel=2,
        )
    running = ModelServerProcess(
        program, folders, rest_port, grpc_port, config_file, settings.model_server_flags()
    )
    return Server(PROGRAM, running, host, running.models)


class InProcessServer:
    """REST and gRPC over the same loaded models, in threads of this process.

    Raises:
        InputError: a port is taken, a model cannot be loaded, or the serving packages are not
            installed.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        config_file: str,
        host: str,
        rest_port: int,
        grpc_port: int,
        options: ServerOptions,
    ):
        try:
            from tfzoo.serving.config_files import ModelConfig
            from tfzoo.serving.core import Core
            from tfzoo.serving.grpc_server import GrpcServer
            from tfzoo.serving.http_server import RestServer
        except ImportError as error:
            raise InputError(f"serving needs pip install 'tfzoo[serve]': {error}") from None
        with contextlib.ExitStack() as stack:
            models = [ModelConfig(name, folder) for name, folder in folders.items()]
            self._core = Core(models, options, config_file)
            stack.callback(self._core.close)
            self._core.manager.wait()
            try:
                key, port = "rest_port", rest_port
                self._rest = RestServer(self._core, host, rest_port)
                stack.callback(self._rest.close, 0)
                key, port = "grpc_port", grpc_port
                self._grpc = GrpcServer(self._core, host, grpc_port)
            except OSError as error:
                reason = error.strerror or str(error)
                raise InputError(f"{key}={port}: cannot listen on {host}: {reason}") from None
            stack.pop_all()
        self.models = self._core.manager.names()
        self.rest_port = self._rest.port
        self.grpc_port = self._grpc.port

    def close(self, grace: float) -> None:
        """Accepts no more requests, waits for those in progress, and unloads the models."""
        self._rest.close(grace)
        self._grpc.close(grace)
        self._core.close()


def find_models(directory: str | Path, model_name: str | None = None) -> dict[str, Path]:
    """Models by name, in a model's folder (numbered versions) or a folder of such folders.

    Raises:
        InputError: the folder holds no models.
    """
    folder = Path(expanded(directory)).resolve()
    if not folder.is_dir():
        raise InputError(f"directory={str(directory)!r}: no such folder")
    if (folder / "saved_model.pb").is_file():
        raise InputError(
            f"directory={str(directory)!r}: is one version; must be the model's folder above it"
        )
    if _has_versions(folder):
        return {model_name or folder.name: folder}
    models = {path.name: path for path in sorted(folder.iterdir()) if _has_versions(path)}
    if not models:
        raise InputError(
            f"directory={str(directory)!r}: no models in it; must be a folder of versions "
            "(<version>/saved_model.pb) or a folder of such folders"
        )
    if model_name is not None:
        raise InputError(f"model_name={model_name!r}: {str(directory)!r} holds {', '.join(models)}")
    return models


def _has_versions(folder: Path) -> bool:
    return any((path / "saved_model.pb").is_file() for path in versions(folder).values())
