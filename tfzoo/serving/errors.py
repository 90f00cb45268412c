"""What can go wrong in an export and in a request."""

from __future__ import annotations


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


def first_line(error: BaseException) -> str:
    """The first line that says something in an error's text; TensorFlow appends traces."""
    lines = [line.strip() for line in str(getattr(error, "message", None) or error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
