"""TensorFlow Serving's REST API over `Core`, as a WSGI application."""

from __future__ import annotations

import gzip
import json
import logging
import re
import urllib.parse
import zlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import get_model_metadata_pb2

from tfzoo.serving import examples, memory, protocol
from tfzoo.serving.core import Core
from tfzoo.serving.deadline import Deadline
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.json_tensors import check_size, parse, read_inputs, write_outputs
from tfzoo.serving.servable import Servable
from tfzoo.serving.tensors import check_rows

log = logging.getLogger(__name__)

STATUS = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""HTTP status by status code, as in http_server.cc; 500 for others."""

WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
ASK = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){WHICH}:(?P<method>classify|regress|predict)", re.IGNORECASE
)
DESCRIBE = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{WHICH}(?P<metadata>/metadata)?", re.IGNORECASE
)
MOST_DIGITS, LARGEST_VERSION = 19, 2**63 - 1
SMALL = 1024
"""Responses below this many bytes are not compressed."""

CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
]


class _Refused(Exception):
    """A refusal whose HTTP status corresponds to no status code of TensorFlow Serving."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


class RestApp:
    """The WSGI application. Errors are `{"error": "..."}`; no request can crash it."""

    def __init__(self, core: Core):
        self._core = core

    def __call__(self, environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        """Answers one request."""
        kind = "application/json"
        try:
            status = 200
            body, kind = self._answer(environ)
        except RequestFailed as error:
            status, body = STATUS.get(error.code, 500), error_body(error.message)
        except _Refused as error:
            status, body = error.status, error_body(error.message)
        except Exception as error:
            log.exception("request failed")
            status, body = 500, error_body(f"{type(error).__name__}: {error}")
        headers = [("Content-Type", kind)]
        if self._core.options.rest_api_enable_cors_support:
            headers += CORS
        if len(body) >= SMALL and _accepts_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            body = gzip.compress(body, compresslevel=1)
            headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        memory.note(len(body))
        headers.append(("Content-Length", str(len(body))))
        known = {s.value: s.phrase for s in HTTPStatus}
        start_response(f"{status} {known.get(status, 'Client Closed Request')}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _answer(self, environ: dict[str, Any]) -> tuple[bytes, str]:
        method = environ["REQUEST_METHOD"]
        path = environ.get("REQUEST_URI", environ.get("PATH_INFO", "")).partition("?")[0]
        path = re.sub(r"^https?://[^/]*", "", path)  # absolute form, as sent by a proxy
        get = method in ("GET", "HEAD")
        if self._core.metrics_path is not None and path == self._core.metrics_path:
            if not get:
                raise _Refused(405, f"Malformed request: {method} {path}")
            return self._core.metrics.page(), "text/plain"
        if not path.lower().startswith("/v1/"):
            raise RequestFailed("NOT_FOUND", f"No such path: {path}")
        if method == "OPTIONS" and self._core.options.rest_api_enable_cors_support:
            if not environ.get("HTTP_ORIGIN", "").startswith(("http://", "https://")):
                raise RequestFailed(
                    "FAILED_PRECONDITION", "Origin header is missing in CORS preflight"
                )
            return b"", "application/json"
        match = (ASK if method == "POST" else DESCRIBE).fullmatch(path)
        if match is None or not (get or method == "POST"):
            raise RequestFailed("INVALID_ARGUMENT", f"Malformed request: {method} {path}")
        if match["name"] is None:
            raise RequestFailed("INVALID_ARGUMENT", "Missing model name in request.")
        wanted = (urllib.parse.unquote(match["name"]), _version(match), _label(match))
        if not get:
            return self._ask(wanted, match["method"].lower(), environ), "application/json"
        if match["metadata"]:
            with self._core.manager.use(*wanted) as servable:
                return _metadata(protocol.metadata(servable)), "application/json"
        states = protocol.status(self._core.manager.states(*wanted))
        text = json.dumps(MessageToDict(states, always_print_fields_with_no_presence=True))
        return text.encode(), "application/json"

    def _ask(self, wanted: tuple[str, int | None, str | None], method: str, environ: dict) -> bytes:
        options = self._core.options
        limit = options.rest_api_timeout_in_ms
        connected = environ.get("waitress.client_disconnected")
        deadline = Deadline(
            limit / 1e3 if limit else None, None if connected is None else lambda: not connected()
        )
        with self._core.call(wanted[0], method, "REST"):
            data = _body(environ, options.max_bytes)
            memory.note(len(data))
            with self._core.manager.use(*wanted) as servable:
                try:
                    check_size(data, options.max_elements)
                except OverflowError as error:
                    raise _Refused(413, str(error)) from None
                try:
                    body = parse(data)
                except (ValueError, RecursionError) as error:
                    text = f"JSON Parse error: {error}"
                    raise RequestFailed("INVALID_ARGUMENT", text) from None
                if not isinstance(body, dict):
                    raise RequestFailed("INVALID_ARGUMENT", "JSON body must be an object")
                key = body.get("signature_name", "serving_default")
                if not isinstance(key, str):
                    raise RequestFailed("INVALID_ARGUMENT", "'signature_name' must be a string")
                try:
                    return self._results(servable, method, key or "serving_default", body, deadline)
                except ValueError as error:
                    raise RequestFailed("INVALID_ARGUMENT", str(error)) from None

    def _results(
        self, servable: Servable, method: str, key: str, body: dict[str, Any], deadline: Deadline
    ) -> bytes:
        if method == "predict":
            inputs, form = read_inputs(body, servable.inputs(key))
            for name, value in inputs.items():
                check_rows(name, value.shape, self._core.options.max_rows)
            return write_outputs(self._core.run(servable, key, inputs, [], deadline), form)
        given = examples.read_examples(body)
        results: list[Any]
        if method == "classify":
            labelled = examples.classify(servable, key, given, deadline)
            results = [
                [[one.label, one.score] for one in entry.classes]
                for entry in labelled.classifications
            ]
        else:
            numbers = examples.regress(servable, key, given, deadline)
            results = [entry.value for entry in numbers.regressions]
        return json.dumps({"results": results}).encode()


def error_body(message: str) -> bytes:
    """The error response for a REST client."""
    return json.dumps({"error": message}).encode()


def _version(match: re.Match) -> int | None:
    text = match["version"]
    if text is None:
        return None
    digits = text.lstrip("0") or "0"
    if len(digits) > MOST_DIGITS or int(digits) > LARGEST_VERSION:
        raise RequestFailed(
            "INVALID_ARGUMENT", f"Failed to convert version: {text[:40]} to numeric."
        )
    return int(digits)


def _label(match: re.Match) -> str | None:
    return None if match["label"] is None else urllib.parse.unquote(match["label"])


def _body(environ: dict[str, Any], max_bytes: int) -> bytes:
    """The request's body, decompressed.

    Raises:
        _Refused: it is too large, or its encoding is unknown.
    """
    too_large = _Refused(413, f"Request body is larger than {max_bytes} bytes")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > max_bytes:
        raise too_large
    data = environ["wsgi.input"].read(length)
    coding = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
    if coding in ("identity", ""):
        return data
    if coding not in ("gzip", "x-gzip"):
        raise _Refused(415, f"Content-Encoding: {coding}: must be gzip or identity")
    unpacker = zlib.decompressobj(wbits=31)  # gzip's header
    try:
        data = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise RequestFailed("INVALID_ARGUMENT", f"Request body is not gzip: {error}") from None
    if len(data) > max_bytes:
        raise too_large
    if not unpacker.eof:
        raise RequestFailed("INVALID_ARGUMENT", "Request body is not gzip: it ends too early")
    return data


def _accepts_gzip(header: str) -> bool:
    for part in header.lower().split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", quality) is None
    return False


def _metadata(message: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """A message as TensorFlow Serving writes it: the packed map unpacked, field names kept."""
    table = get_model_metadata_pb2.SignatureDefMap()
    message.metadata["signature_def"].Unpack(table)
    spec, signatures = (
        MessageToDict(
            part, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        for part in (message.model_spec, table)
    )
    return json.dumps({"model_spec": spec, "metadata": {"signature_def": signatures}}).encode()
