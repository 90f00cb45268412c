"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; on success it takes the place of `path`, else it vanishes.

    The temporary file lies in the same folder and keeps the suffix (Keras reads meaning from it).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        os.chmod(aside, 0o666 & ~_umask())  # mkstemp's 0600 would hide the result from others
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, complete or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = False) -> Iterator[None]:
    """Holds a file or folder against other processes; ends with the process, however it ends.

    Raises:
        BlockingIOError: another process holds it, and `wait` is False.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def sync(path: str | Path) -> None:
    """Flushes a file or folder to the disk, so that it outlives a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
