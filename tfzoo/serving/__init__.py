"""Writes, verifies, serves and queries SavedModels for TensorFlow Serving.

`grpc` and the serving stubs are imported only when a server or a client is created.
"""

from tfzoo.serving.errors import ExportError
from tfzoo.serving.portable import write_portable
from tfzoo.serving.saved_signature import load_signature
from tfzoo.serving.server import Server, serve
from tfzoo.serving.signature import Signature
from tfzoo.serving.verifier import verify
from tfzoo.serving.writer import write

__all__ = [
    "ExportError",
    "Server",
    "Signature",
    "load_signature",
    "serve",
    "verify",
    "write",
    "write_portable",
]
