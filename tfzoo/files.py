"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import csv
import os
import secrets
import sys
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from tfzoo.errors import InputError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to; on success it takes the place of `path`, else it vanishes.

    The temporary file lies in the same folder and keeps the suffix (Keras reads meaning from it).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    aside.touch(exist_ok=False)
    try:
        yield aside
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file, complete or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as a CSV file, complete or not at all: a column for each key that occurs."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = False) -> Iterator[None]:
    """Holds a lock file against others; ends with the process, however it ends.

    Args:
        path: of the lock file; made where it is missing, and left there.
        wait: for whoever holds it.

    Raises:
        BlockingIOError: someone holds it, and `wait` is False.
        OSError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"{path} is held") from None
    try:
        yield
    finally:
        lock.release()


def read_npz(
    path: str | Path, named: str, names: Collection[str] = ("*",)
) -> dict[str, np.ndarray]:
    """Arrays of a user's `.npz` by name.

    Args:
        path: of the file.
        named: what the message calls it, e.g. `data.path`.
        names: patterns of those that are read; others may be anything.

    Raises:
        InputError: no such file, or anything but an `.npz` of plain arrays.
    """
    if not Path(path).is_file():
        raise InputError(f"{named}={str(path)!r}: no such file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            wanted = [x for x in archive.files if any(fnmatchcase(x, n) for n in names)]
            found = {name: archive[name] for name in wanted}
        for name, value in found.items():
            if not isinstance(value, np.ndarray):  # numpy gives the bytes of other members
                raise ValueError(f"{name} is no array")
        return found
    except Exception as error:  # of zipfile, zlib, struct, tokenize, numpy: they share no base
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        first = "it holds pickled objects" if "allow_pickle" in first else first
        raise InputError(
            f"{named}={str(path)!r}: must be an .npz of plain arrays: {first}"
        ) from None


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an `.npz` of plain arrays, complete or not at all.

    Unlike `np.savez`, it takes arrays of any name, `file` and `allow_pickle` too.
    """
    with replacing(path) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)


def sync(path: str | Path) -> None:
    """Flushes a file or folder to the disk, so that it outlives a power loss.

    On Windows, which opens no folder, files alone.
    """
    windows = sys.platform == "win32"
    if windows and os.path.isdir(path):
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)  # there it flushes no reader
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
