"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import shutil
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.errors import InputError


def expanded(path: str | Path) -> str:
    """A user's path with `~`, `~name` and environment variables expanded.

    Unset variables are left as they are.
    """
    return os.path.expanduser(os.path.expandvars(path))


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Yields a hidden name beside `path` for temporary work; whatever has it at the end is removed.

    A lock on `<name>.lock` shows, across machines, that its owner is alive; leftovers of killed
    owners are removed when the next one starts in the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    hidden = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    lock = hidden.with_name(f"{hidden.name}.lock")
    with locked(lock, wait=True):
        try:
            yield hidden
        finally:
            _remove(hidden)
            _unlock(lock)


def _sweep(folder: Path) -> None:
    """Removes leftovers of dead users of `aside` from a folder."""
    for lock in folder.glob(f".*-{'[0-9a-f]' * 8}*.lock"):
        with contextlib.suppress(OSError), locked(lock):  # held, or another user's
            _remove(lock.with_name(lock.name.removesuffix(".lock")))
            _unlock(lock)


def _unlock(lock: Path) -> None:
    with contextlib.suppress(PermissionError):  # Windows removes it when it is released
        lock.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a path to write to; on success it replaces `path`, otherwise it is removed.

    The temporary file is in the same folder and keeps the suffix, which Keras interprets.
    """
    path = Path(expanded(path))
    with aside(path) as hidden:
        hidden.touch(exist_ok=False)
        yield hidden
        sync(hidden)
        os.replace(hidden, path)
        sync(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, complete or not at all."""
    with replacing(path) as hidden:
        hidden.write_text(text, encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as a CSV file, complete or not at all: with a column for each key that occurs."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as hidden, hidden.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = False) -> Iterator[None]:
    """Holds a lock file; the lock is released when the process ends, however it does.

    Args:
        path: the lock file; created if missing, and not removed.
        wait: whether to wait for the current holder.

    Raises:
        BlockingIOError: it is held by someone else, and `wait` is False.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"{path} is locked by another process") from None
    try:
        yield
    finally:
        lock.release()


def read_npz(
    path: str | Path, named: str, names: Collection[str] = ("*",)
) -> dict[str, np.ndarray]:
    """Reads the arrays of a user's `.npz` by name.

    Args:
        path: the file.
        named: what messages call it, e.g. `data.path`.
        names: patterns of the arrays to read; others are ignored.

    Raises:
        InputError: no such file, or not an `.npz` of plain arrays.
    """
    path = expanded(path)
    if not os.path.isfile(path):
        raise InputError(f"{named}={path!r}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = [x for x in archive.files if any(fnmatchcase(x, n) for n in names)]
            arrays = {name: archive[name] for name in wanted}
        for name, value in arrays.items():
            if not isinstance(value, np.ndarray):  # numpy returns the bytes of other members
                raise ValueError(f"{name} is not an array")
        return arrays
    except Exception as error:  # errors of zipfile, zlib, struct, tokenize and numpy share no base
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        first = "it holds pickled objects" if "allow_pickle" in first else first
        raise InputError(
            f"{named}={str(path)!r}: must be an .npz of plain arrays: {first}"
        ) from None


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an `.npz` of plain arrays, complete or not at all.

    Unlike `np.savez`, it accepts any name, including `file` and `allow_pickle`.
    """
    with replacing(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)


def sync(path: str | Path) -> None:
    """Flushes a file or folder to disk, so that it survives a power loss.

    On Windows, which cannot open folders, only files.
    """
    windows = sys.platform == "win32"
    if windows and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)  # it cannot flush readers
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
