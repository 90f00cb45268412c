"""`tfzoo serve`: flags named as in `tensorflow_model_server`, and running the server."""

from __future__ import annotations

import argparse
import gc
import signal
import threading
from typing import Any


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r}: must be true or false")
    return text.lower() == "true"


FLAGS: dict[str, tuple[Any, str]] = {
    "file_system_poll_wait_seconds": (float, "between polls of the folders; 0: once; default 1"),
    "model_config_file_poll_wait_seconds": (float, "between polls of that file; default 0: once"),
    "max_num_load_retries": (int, "for a version that fails to load; default 5"),
    "load_retry_interval_micros": (int, "before the first retry, then doubled; default 2000000"),
    "allow_version_labels_for_unavailable_models": (_switch, "default false"),
    "enable_model_warmup": (_switch, "run before a version is available; default true"),
    "enable_batching": (_switch, "batch requests of concurrent clients; default false"),
    "batching_parameters_file": (str, "BatchingParameters in text form"),
    "monitoring_config_file": (str, "MonitoringConfig in text form: metrics for Prometheus"),
    "ssl_config_file": (str, "SSLConfig in text form: TLS for gRPC"),
    "enable_serialization_as_tensor_content": (_switch, "instead of typed fields; default false"),
    "rest_api_enable_cors_support": (_switch, "default false"),
    "rest_api_timeout_in_ms": (int, "time limit of a REST call; default 30000; 0: none"),
    "max_bytes": (int, "per request; default 67108864"),
    "max_rows": (int, "per request; default 16384"),
    "max_elements": (int, "numbers and lists in a JSON body; default 4194304"),
    "max_calls": (int, "concurrent calls, others are refused; default 64"),
    "max_connections": (int, "open HTTP connections; default 1000"),
    "request_seconds": (float, "from a request's first byte to its last; default 60"),
}
"""Fields of `tfzoo.serving.ServerOptions`: type and help. Omitted flags keep its defaults."""


def add_flags(command: argparse.ArgumentParser) -> None:
    """Adds the arguments of `tfzoo serve`."""
    command.add_argument(
        "directory", nargs="?", help="a model folder with versions, or a folder of such folders"
    )
    command.add_argument("--host", default="127.0.0.1", help="default: loopback only")
    command.add_argument(
        "--rest_api_port", "--rest-port", type=int, default=8501, help="default 8501; 0: any free"
    )
    command.add_argument(
        "--port", "--grpc-port", type=int, default=8500, help="gRPC; default 8500; 0: any free"
    )
    command.add_argument("--model_name", "--model-name", help="default: the folder's name")
    command.add_argument("--model_base_path", help="TensorFlow Serving's name for the directory")
    command.add_argument(
        "--model_config_file", help="ModelServerConfig in text form, instead of a directory"
    )
    for name, (kind, text) in FLAGS.items():
        switch: dict[str, Any] = {"nargs": "?", "const": True} if kind is _switch else {}
        command.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=text, **switch)


def run(words: argparse.Namespace) -> None:
    """`tfzoo serve DIR`, until SIGINT or SIGTERM."""
    from tfzoo import serving

    done = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: done.set())
    options = {name: getattr(words, name) for name in FLAGS if hasattr(words, name)}
    with serving.serve(
        words.directory or words.model_base_path,
        host=words.host,
        rest_port=words.rest_api_port,
        grpc_port=words.port,
        model_name=words.model_name,
        model_config_file=words.model_config_file,
        **options,
    ) as server:
        gc.collect()
        gc.freeze()  # what TensorFlow has created takes a full collection 0.2 s to look through
        print(
            f"ready: {server.backend} serves {', '.join(server.models)}: "
            f"REST http://{words.host}:{server.rest_port}/v1/models/..., "
            f"gRPC {words.host}:{server.grpc_port}; Ctrl-C ends",
            flush=True,
        )
        done.wait()
