"""TensorFlow Serving's REST API over `Models`, as a WSGI application on Werkzeug."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
from typing import Any

from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import get_model_metadata_pb2
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tfzoo.serving import protocol
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.json_tensors import parse, read_inputs, write_outputs
from tfzoo.serving.servables import Models

log = logging.getLogger(__name__)

STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
}
"""HTTP status of a gRPC code, as in TensorFlow Serving's http_server.cc."""

PREFIX = r"(?i:/v1/models/)(?P<name>[^/:]+)(?:(?i:/versions/)(?P<version>\d+))?"
PREDICT = re.compile(PREFIX + r":(?P<method>(?i:predict|classify|regress))")
DESCRIBE = re.compile(PREFIX + r"(?P<metadata>(?i:/metadata))?")


class RestApp:
    """The WSGI application. Errors are `{"error": "..."}`; nothing that is sent brings it down."""

    def __init__(self, models: Models, max_bytes: int):
        self._models = models
        self._max_bytes = max_bytes

    def __call__(self, environ, start_response):
        """Answers one request."""
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        request.max_content_length = self._max_bytes + 1  # chunked bodies are cut off there
        try:
            return _json(self._answer(request))
        except RequestFailed as error:
            return _error(STATUS.get(error.code, 500), error.message)
        except RequestEntityTooLarge:
            return _error(413, f"Request body is larger than {self._max_bytes} bytes")
        except HTTPException as error:
            return _error(error.code or 400, error.description or error.name)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            log.exception("request failed")
            return _error(500, f"{type(error).__name__}: {error}")

    def _answer(self, request: Request) -> str | bytes:
        match = (PREDICT if request.method == "POST" else DESCRIBE).fullmatch(request.path)
        if request.method not in ("GET", "POST") or match is None:
            if not request.path.lower().startswith("/v1/"):
                raise RequestFailed("NOT_FOUND", f"Nothing here: {request.path}")
            raise RequestFailed(
                "INVALID_ARGUMENT", f"Malformed request: {request.method} {request.path}"
            )
        name, number = match["name"], match["version"]
        version = None if number is None else int(number)
        if request.method == "POST":
            data = request.get_data()
            if len(data) > self._max_bytes:
                raise RequestEntityTooLarge
            return self._predict(name, version, match["method"].lower(), data)
        if match["metadata"]:
            return _metadata(protocol.metadata(self._models.get(name, version)))
        states = protocol.status(self._models.states(name, version))
        return json.dumps(MessageToDict(states, always_print_fields_with_no_presence=True))

    def _predict(self, name: str, version: int | None, method: str, data: bytes) -> bytes:
        servable = self._models.get(name, version)
        try:
            body = parse(data)
        except (ValueError, RecursionError) as error:
            raise RequestFailed("INVALID_ARGUMENT", f"JSON Parse error: {error}") from None
        if not isinstance(body, dict):
            raise RequestFailed("INVALID_ARGUMENT", "JSON body must be an object")
        key = body.get("signature_name", "serving_default")
        if not isinstance(key, str):
            raise RequestFailed("INVALID_ARGUMENT", "'signature_name' must be a string")
        if method != "predict":
            raise RequestFailed(
                "INVALID_ARGUMENT",
                f"Expected {method} signature, found a predict signature; use :predict",
            )
        try:
            specs = servable.inputs(key or "serving_default")
            inputs, form = read_inputs(body, specs)
            return write_outputs(servable.run(key or "serving_default", inputs), form)
        except ValueError as error:
            raise RequestFailed("INVALID_ARGUMENT", str(error)) from None


def _metadata(message: get_model_metadata_pb2.GetModelMetadataResponse) -> str:
    """As TensorFlow Serving writes it: the packed map unpacked, field names kept."""
    table = get_model_metadata_pb2.SignatureDefMap()
    message.metadata["signature_def"].Unpack(table)
    spec, signatures = (
        MessageToDict(
            part, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for part in (message.model_spec, table)
    )
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": signatures}})


def _json(text: str | bytes, status: int = 200) -> Response:
    return Response(text, status, content_type="application/json")


def _error(status: int, message: str) -> Response:
    return _json(json.dumps({"error": message}), status)


class _InFlight:
    """Counts what is being answered."""

    def __init__(self):
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, timeout)


class _Handler(WSGIRequestHandler):
    """Logs through `logging`, and lets go of clients that stall."""

    server: Any  # Werkzeug's, with `in_flight`
    timeout = 60

    def run_wsgi(self) -> None:
        """Answers a request, and sends the answer."""
        with self.server.in_flight:
            super().run_wsgi()

    def log(self, type: str, message: str, *args: Any) -> None:
        """Access lines are debug output."""
        log.debug(message, *args)


class RestServer:
    """The application on a socket, in threads.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, models: Models, host: str, port: int, max_bytes: int):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # bound here: Werkzeug ends the process where the port is taken
        with socket.create_server((host, port), family=family, backlog=128) as bound:
            server: Any = make_server(
                host,
                bound.getsockname()[1],
                RestApp(models, max_bytes),
                threaded=True,
                request_handler=_Handler,
                fd=bound.fileno(),
            )
        server.in_flight = _InFlight()
        self._server = server
        self.port: int = server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.1], daemon=True)
        self._thread.start()

    def close(self, grace: float) -> None:
        """Takes no more requests, and waits for those being answered."""
        self._server.shutdown()
        self._server.in_flight.wait(grace)
        self._server.server_close()
        self._thread.join()
