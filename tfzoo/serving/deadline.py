"""Deadlines of calls, and cancellation when the caller has gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from tfzoo.serving.errors import RequestFailed


class Deadline:
    """The deadline of a call.

    Args:
        seconds: from now; None for no limit.
        waited_for: returns whether the caller is still connected.
    """

    def __init__(self, seconds: float | None, waited_for: Callable[[], bool] | None = None):
        self._end = None if seconds is None else time.monotonic() + seconds
        self._waited_for = waited_for

    def check(self) -> None:
        """Returns if there is time left and the caller is still waiting.

        Raises:
            RequestFailed: DEADLINE_EXCEEDED or CANCELLED.
        """
        if self._end is not None and time.monotonic() >= self._end:
            raise RequestFailed("DEADLINE_EXCEEDED", "the call's deadline has passed")
        if self._waited_for is not None and not self._waited_for():
            raise RequestFailed("CANCELLED", "the caller has disconnected")


NEVER = Deadline(None)
