"""What can go wrong in an export and in a request."""

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


def first_line(error: BaseException) -> str:
    """What an error says, in one line; TensorFlow puts traces before and after it."""
    text = re.sub(r"\{\{function_node [^}]*\}\}", "", str(getattr(error, "message", None) or error))
    lines = [line.strip() for line in text.split("\t [[")[0].splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].startswith("Graph execution error") else lines[0]
