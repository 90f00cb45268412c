"""Serves the REST application with waitress, where a stalled client occupies no thread."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import Any

import waitress
from waitress import utilities, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask

from tfzoo.serving.core import Core
from tfzoo.serving.rest import RestApp, error_body

logging.getLogger("waitress").setLevel(logging.ERROR)  # its messages on the queue's depth are noise

SPARE_THREADS = 4
"""Threads in addition to those that run models: status, metrics, and refusals under full load."""

MARGIN = 1 << 20
"""How far waitress's limit on a body lies above the application's, which reports the limit."""

MAX_HEADER = 64 << 10
MAX_PATH = 8 << 10


class _PathTooLong(utilities.BadRequest):
    code = 414
    reason = "URI Too Long"


class _VersionNotSupported(utilities.BadRequest):
    code = 505
    reason = "HTTP Version Not Supported"


class _TooSlow(utilities.BadRequest):
    code = 408
    reason = "Request Timeout"


class _Parser(HTTPRequestParser):
    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if len(self.request_uri) > MAX_PATH:
            self._refuse(_PathTooLong(f"longer than {MAX_PATH} bytes"))
        elif self.version not in ("1.0", "1.1"):
            self._refuse(_VersionNotSupported(f"HTTP/{self.version}: must be 1.0 or 1.1"))

    def _refuse(self, error: utilities.Error) -> None:
        self.error = error
        self.completed = True


class _ErrorTask(ErrorTask):
    """Reports as JSON what waitress itself refuses."""

    def execute(self) -> None:
        error = self.request.error
        body = error_body(f"{error.reason}: {error.body}")
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    """Drops clients whose request does not end, however often they send a byte."""

    parser_class = _Parser
    error_task_class = _ErrorTask
    request: Any
    _began = 0.0

    def received(self, data: bytes) -> bool:
        if self.request is None:
            self._began = time.monotonic()
        return super().received(data)

    def expire(self, seconds: float) -> None:
        """Answers 408 and closes if the current request began too long ago."""
        with self.requests_lock:
            if self.request is None or time.monotonic() - self._began < seconds:
                return
            if self.requests or self.will_close:
                return
            request, self.request = self.request, None
            request.error = _TooSlow(f"must be complete within {seconds:g} seconds")
            request.completed = True
            self.requests.append(request)
        self.server.add_task(self)

    @property
    def busy(self) -> bool:
        """Whether a request is being processed or its response still being sent."""
        return bool(self.requests or self.total_outbufs_len)


class RestServer:
    """Serves the application on a socket, in threads.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, core: Core, host: str, port: int):
        options = core.options
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # bound here, so that a second server on the same port is an error
        self._socket = socket.create_server((host, port), family=family, backlog=128)
        self._map: dict[int, Any] = {}
        self._server: Any = waitress.create_server(
            RestApp(core),
            map=self._map,
            sockets=[self._socket],
            threads=options.max_calls + SPARE_THREADS,
            connection_limit=options.max_connections,
            channel_timeout=int(max(options.request_seconds, 1)),
            cleanup_interval=1,
            max_request_header_size=MAX_HEADER,
            max_request_body_size=options.max_bytes + MARGIN,
            inbuf_overflow=options.max_bytes + MARGIN,  # in memory, not in files
            outbuf_overflow=options.max_bytes + MARGIN,
            asyncore_use_poll=True,  # select cannot handle file descriptors above 1024
            clear_untrusted_proxy_headers=True,
            ident=None,
        )
        self._server.channel_class = _Channel
        tidy = self._server.maintenance

        def maintenance(now: float) -> None:
            tidy(now)
            for channel in list(self._server.active_channels.values()):
                channel.expire(options.request_seconds)

        self._server.maintenance = maintenance
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, name="rest", daemon=True)
        self._thread.start()

    def close(self, grace: float) -> None:
        """Accepts no more requests, and waits for those in progress."""
        channels = self._server.active_channels
        end = time.monotonic() + grace
        self._in_loop(lambda: wasyncore.dispatcher.close(self._server))
        while any(c.busy for c in list(channels.values())) and time.monotonic() < end:
            time.sleep(0.01)
        self._server.task_dispatcher.shutdown(timeout=max(0.1, end - time.monotonic()))
        self._in_loop(lambda: wasyncore.close_all(self._map))
        self._thread.join(5)
        self._socket.close()

    def _in_loop(self, do: Any) -> None:
        """Runs something on the loop's thread, and waits for it."""
        done = threading.Event()

        def run() -> None:
            try:
                do()
            finally:
                done.set()

        self._server.trigger.pull_trigger(run)
        done.wait(5)
