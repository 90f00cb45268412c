"""`enwik8`: the first 10^8 bytes of an English Wikipedia dump, downloaded or from a file."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import lzma
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import tensorflow_datasets as tfds

from tfzoo.data.config import DataConfig
from tfzoo.data.text.segments import TextBuilder
from tfzoo.errors import InputError
from tfzoo.zoo import digest

_URL = "http://mattmahoney.net/dc/enwik8.zip"
_SHA256 = "2b49720ec4d78c3c9fabaee6e4179a5e997302b3a70029f30f2d582218c024a8"
_LEAST = 1000
_BROKEN = (OSError, EOFError, RuntimeError, lzma.LZMAError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass
class Enwik8Config(tfds.core.BuilderConfig):
    """The source: `path` of a local file, or None to download; a prefix or everything."""

    path: str | None = None
    prefix_bytes: int | None = None


_WHOLE = Enwik8Config(name="download-whole")


def source(config: DataConfig) -> Enwik8Config:
    """A builder config named after the content, so that sources never share prepared data.

    Raises:
        InputError: the local file does not exist or cannot be read.
    """
    if config.path is None and config.prefix_bytes is None:
        return _WHOLE
    origin = "download"
    if config.path is not None:
        if not Path(config.path).is_file():
            raise InputError(f"data.path={config.path!r}: no such file")
        try:
            origin = f"file-{digest(config.path)[:12]}"
        except OSError as error:
            raise InputError(f"data.path={config.path!r}: cannot be read: {error}") from None
    part = "whole" if config.prefix_bytes is None else f"first{config.prefix_bytes}"
    return Enwik8Config(name=f"{origin}-{part}", path=config.path, prefix_bytes=config.prefix_bytes)


class Enwik8(TextBuilder):
    """The Hutter prize text; the usual split of 90, 5 and 5 million bytes, or 90/5/5 % of a prefix.

    A local file may be raw bytes, `.zip`, `.xz` or `.gz`, and may hold any other text.
    """

    name = "enwik8"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [_WHOLE]

    def text(self, manager: tfds.download.DownloadManager) -> bytes:
        """The bytes that the config asks for."""
        path, length = self.builder_config.path, self.builder_config.prefix_bytes
        if path is None:
            _reach(_URL)
            text = _read(manager.download(_URL), None)
            if hashlib.sha256(text).hexdigest() != _SHA256:
                raise InputError(f"{_URL}: is not enwik8; must have sha256 {_SHA256}")
            return text[:length]
        text = _read(path, length)
        least = length or _LEAST
        if len(text) < least:
            raise InputError(f"data.path={path!r}: has {len(text)} bytes, must have {least}")
        return text


def _reach(url: str) -> None:
    """Fails at once without a network, where TFDS would retry for minutes."""
    try:
        urllib.request.urlopen(url, timeout=30).close()
    except OSError as error:
        raise InputError(
            f"data.path=None: {url} cannot be reached ({error}); needs a network or a local copy"
        ) from None


def _read(path: str | Path, length: int | None) -> bytes:
    """At most `length` bytes of a raw or compressed file."""
    try:
        with _open(Path(str(path))) as file:
            return file.read(-1 if length is None else length)
    except _BROKEN as error:
        raise InputError(f"data.path={str(path)!r}: cannot be read: {error}") from None


class _Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_Readable]:
    """Opens a file, detecting the compression by its first bytes."""
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"PK\3\4"):
            with zipfile.ZipFile(file) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
                if len(members) != 1:
                    raise zipfile.BadZipFile(f"holds {len(members)} files, must hold one")
                with archive.open(members[0]) as member:
                    yield member
        elif magic.startswith(b"\xfd7zXZ"):
            with lzma.open(file) as member:
                yield member
        elif magic.startswith(b"\x1f\x8b"):
            with gzip.open(file) as member:
                yield member
        else:
            yield file
