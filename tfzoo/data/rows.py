"""Arrays of a user's `.npz`, read by rows: none is loaded whole unless requested."""

from __future__ import annotations

import functools
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from tfzoo.errors import InputError, first_line

CHUNK_BYTES = 2**25
"""Bytes of an array held at a time."""

_PIECE = 2**20


class Archive(Mapping[str, "Rows"]):
    """The arrays of an `.npz` by name; opening reads none of them.

    Args:
        path: the file.

    Raises:
        InputError: no such file, or not an `.npz`; on access: a member that is not a plain array.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)
        if not Path(path).is_file():
            raise InputError(f"data.path={self.path!r}: no such file")
        try:
            self.zip = zipfile.ZipFile(path)
        except Exception as error:  # errors of zipfile, struct and the OS share no base
            raise self.broken(error) from None
        members = [i for i in self.zip.infolist() if not i.is_dir()]
        self._members = {i.filename.removesuffix(".npy"): i for i in members}
        self._rows: dict[str, Rows] = {}

    def __getitem__(self, name: str) -> Rows:
        if name not in self._rows:
            self._rows[name] = Rows(self, name, self._members[name])
        return self._rows[name]

    def __contains__(self, name: object) -> bool:  # without reading its header
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def broken(self, error: BaseException) -> InputError:
        """The error for a file that cannot be read."""
        return InputError(
            f"data.path={self.path!r}: must be an .npz of plain arrays: {first_line(error)}"
        )


class Sliced:
    """An array [N, ...] that is read by rows.

    Attributes:
        shape: the array's shape.
        dtype: the array's dtype.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def _read(self, start: int, stop: int) -> np.ndarray:
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return self.size * self.dtype.itemsize

    @property
    def at_once(self) -> int:
        """Number of rows that fit `CHUNK_BYTES`, at least one."""
        return max(1, CHUNK_BYTES // max(1, self.nbytes // max(1, len(self))))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Rows of a slice; skipped rows in between are read from the file, too."""
        start, stop, _ = rows.indices(len(self))
        return self._read(start, max(start, stop))

    def take(self, index: np.ndarray) -> np.ndarray:
        """The rows at given indices, in that order; reads the file forward once."""
        rows = np.empty((len(index), *self.shape[1:]), self.dtype)
        rest = np.argsort(index, kind="stable")
        while len(rest):
            start = int(index[rest[0]])
            near = rest[index[rest] < start + self.at_once]
            rows[near] = self[start : int(index[near[-1]]) + 1][index[near] - start]
            rest = rest[len(near) :]
        return rows

    def examples(self, index: np.ndarray, forward: bool) -> Iterator[tuple[int, np.ndarray]]:
        """Yields position and row for each entry of `index`, with few rows in memory at a time.

        Args:
            index: indices of rows.
            forward: yield in the file's order, reading it once; otherwise in that of `index`.
        """
        order = np.argsort(index, kind="stable") if forward else np.arange(len(index))
        for start in range(0, len(order), self.at_once):
            block = order[start : start + self.at_once]
            yield from zip(block.tolist(), self.take(index[block]), strict=True)


class Rows(Sliced):
    """One array of an `.npz`, read forward; an array in Fortran order is read whole."""

    def __init__(self, archive: Archive, name: str, member: zipfile.ZipInfo):
        self.archive, self.name, self._member = archive, name, member
        self._stream: IO[bytes] | None = None
        self._next = 0  # the stream's current row
        try:
            with archive.zip.open(member) as stream:
                self.shape, self._fortran, self.dtype = _header(stream, name)
                self._start = stream.tell()
            if self._start + self.nbytes != member.file_size:
                raise ValueError(
                    f"{name} has {member.file_size - self._start} bytes, must have {self.nbytes}"
                )
        except Exception as error:  # errors of zipfile, zlib, tokenize and numpy share no base
            raise archive.broken(error) from None

    def whole(self) -> np.ndarray:
        """Reads all rows into one array."""
        return self[:] if self.ndim and not self._fortran else self._held

    @functools.cached_property
    def _held(self) -> np.ndarray:
        try:
            with self.archive.zip.open(self._member) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except Exception as error:
            raise self.archive.broken(error) from None

    def _read(self, start: int, stop: int) -> np.ndarray:
        if self._fortran:
            return self._held[start:stop]
        width = self.nbytes // len(self) if len(self) else 0
        content = bytearray((stop - start) * width)
        target = memoryview(content)
        try:
            if self._stream is None or self._next > start:
                self._stream = self.archive.zip.open(self._member)
                self._next = 0
                _pass(self._stream, self._start)
            _pass(self._stream, (start - self._next) * width)
            while len(target):
                piece = self._stream.read(min(_PIECE, len(target)))
                if not piece:
                    raise EOFError(f"{self.name} ends early")
                target[: len(piece)] = piece
                target = target[len(piece) :]
            self._next = stop
            if stop == len(self):
                self._stream.read(1)  # reaching the end compares the checksum
        except Exception as error:  # errors of zipfile and zlib share no base
            self._stream = None
            raise self.archive.broken(error) from None
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = readers[version](stream)
    except (KeyError, ValueError):
        raise ValueError(f"{name} is not an array") from None
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects")
    return shape, fortran and len(shape) > 1, dtype


def _pass(stream: IO[bytes], count: int) -> None:
    while count > 0:
        piece = stream.read(min(_PIECE, count))
        if not piece:
            raise EOFError("the file ends early")
        count -= len(piece)
