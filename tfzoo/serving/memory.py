"""Gives the memory of large requests back to the system."""

from __future__ import annotations

import ctypes
import threading

LARGE = 1 << 20
_peak = threading.Event()


def note(size: int) -> None:
    """Tells of a request or an answer of so many bytes."""
    if size >= LARGE:
        _peak.set()


def give_back() -> None:
    """After a large request: glibc keeps what was freed until it is asked."""
    if _peak.is_set():
        _peak.clear()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
