"""Errors of exports and of requests."""

from __future__ import annotations

import re


class ExportError(RuntimeError):
    """A model could not be written, or does not do what its signatures promise."""


class RequestFailed(Exception):
    """A request that cannot be answered.

    Attributes:
        code: name of a gRPC status code, e.g. `"NOT_FOUND"`; REST derives its status from it.
        message: one line for the caller.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""Names of status codes by number; TensorFlow, gRPC and TensorFlow Serving share them."""


def code_of(error: BaseException) -> str:
    """The name of the status code that fits an error."""
    if isinstance(error, RequestFailed):
        return error.code
    number = getattr(error, "error_code", None)
    if isinstance(number, int):
        return CODES[number] if number < len(CODES) else "UNKNOWN"
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND"
    return "INVALID_ARGUMENT" if isinstance(error, ValueError) else "UNKNOWN"


def first_line(error: BaseException) -> str:
    """An error's message in one line, without the traces that TensorFlow puts around it."""
    text = re.sub(r"\{\{function_node [^}]*\}\}", "", str(getattr(error, "message", None) or error))
    lines = [line.strip() for line in text.split("\t [[")[0].splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].startswith("Graph execution error") else lines[0]
