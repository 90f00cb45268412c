"""The real `tensorflow_model_server` as a child process."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from tfzoo.errors import InputError

PROGRAM = "tensorflow_model_server"


def model_config(models: Mapping[str, Path]) -> str:
    """A ModelServerConfig in text form: every version of every model, as in the embedded server."""

    def quoted(text: object) -> str:
        escaped = str(text).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'

    entries = "".join(
        f"  config {{\n    name: {quoted(name)}\n    base_path: {quoted(folder)}\n"
        '    model_platform: "tensorflow"\n    model_version_policy { all {} }\n  }\n'
        for name, folder in models.items()
    )
    return f"model_config_list {{\n{entries}}}\n"


class ModelServerProcess:
    """`tensorflow_model_server` over some models; ready once constructed.

    Its log is kept in a temporary folder until `close`.

    Raises:
        InputError: it exits before it is ready; the message holds the end of its log.
    """

    def __init__(
        self,
        program: str,
        models: Mapping[str, Path],
        rest_port: int,
        grpc_port: int,
        config_file: str = "",
        flags: Sequence[str] = (),
        timeout: float = 120.0,
    ):
        self.rest_port = rest_port or _free_port()
        self.grpc_port = grpc_port or _free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="tfzoo-serving-"))
        config = Path(config_file) if config_file else self._folder / "models.config"
        if config_file:
            from tfzoo.serving.config_files import read_models

            self.models = [model.name for model in read_models(config_file)]
        else:
            config.write_text(model_config(models), encoding="utf-8")
            self.models = list(models)
        self._log = self._folder / "log.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--port={self.grpc_port}",
                    f"--rest_api_port={self.rest_port}",
                    f"--model_config_file={config}",
                    *flags,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            for name in self.models:
                self._wait_available(name, time.monotonic() + timeout)
        except BaseException:
            self.close(grace=1.0)
            raise

    def _wait_available(self, name: str, deadline: float) -> None:
        url = f"http://127.0.0.1:{self.rest_port}/v1/models/{name}"
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    if b"AVAILABLE" in answer.read():
                        return
            except (OSError, urllib.error.URLError):
                pass  # not up yet
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace").strip().splitlines()[-5:]
                what = "did not get ready" if ended is None else f"ended with status {ended}"
                raise InputError(f"{PROGRAM}: {what}: {' | '.join(said) or 'no output'}")
            time.sleep(0.1)

    def close(self, grace: float) -> None:
        """Terminates the process; kills it after the grace period."""
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]
