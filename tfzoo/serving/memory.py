"""Returns the memory of large requests to the system."""

from __future__ import annotations

import ctypes
import threading

LARGE = 1 << 20
_peak = threading.Event()


def note(size: int) -> None:
    """Registers a request or a response of `size` bytes."""
    if size >= LARGE:
        _peak.set()


def give_back() -> None:
    """Trims the heap after a large request: glibc keeps freed memory until asked."""
    if _peak.is_set():
        _peak.clear()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
