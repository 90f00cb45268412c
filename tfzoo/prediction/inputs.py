"""A user's files, and the signature of a model that takes them.

An image file goes unchanged to a signature with a single string input; a video's frames to an input
uint8 [B, T, H, W, 3]; a text's bytes to an integer input [B, T]; an unnamed array to a single input
that it fits; named arrays to the signature whose inputs have these names.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfzoo.config import check
from tfzoo.data.decoding import SUFFIXES, read_image
from tfzoo.data.videos import video_files
from tfzoo.errors import InputError
from tfzoo.files import expanded, read_npz
from tfzoo.serving.json_tensors import parse, to_array
from tfzoo.serving.signature import cast, takes_dtype

if TYPE_CHECKING:
    import tensorflow as tf

Specs = Mapping[str, "tf.TensorSpec"]
Arrays = dict[str, np.ndarray]

KNOWN = tuple(dict.fromkeys((*SUFFIXES, *video_files.SUFFIXES, ".npz", ".npy", ".json", ".txt")))
"""Suffixes of files that are used from a folder."""

PREFERRED = ("serving_default", "bytes")
"""Signatures that are preferred over others that take the same files."""

_ROOM = 8 << 20
"""Bytes per batch; as JSON, arrays are up to six times as large, and servers refuse 64 MiB."""


@dataclass(frozen=True)
class _Form:
    """One way to interpret a file.

    Attributes:
        says: the interpretation in words.
        fits: whether a signature with these inputs takes it.
        read: the arrays for these inputs, of any dtype.
    """

    says: str
    fits: Callable[[Specs], bool]
    read: Callable[[Specs], Mapping[str, Any]]


class InputFile:
    """A user's file, read when needed.

    Args:
        path: the file.

    Raises:
        InputError: it holds arrays and cannot be read.
    """

    def __init__(self, path: Path):
        self.path = path
        self._forms = _forms(path)

    @property
    def says(self) -> str:
        """A description of the file."""
        return " or ".join(form.says for form in self._forms)

    def fits(self, specs: Specs) -> bool:
        """Whether a signature with these inputs takes it."""
        return any(form.fits(specs) for form in self._forms)

    def read(self, specs: Specs) -> Arrays:
        """The inputs, in the signature's dtypes.

        Raises:
            InputError: the file is corrupt, or its values do not fit.
        """
        form = next(form for form in self._forms if form.fits(specs))
        try:
            values = form.read(specs)
            return {name: cast(spec, values[name]) for name, spec in specs.items()}
        except InputError as error:
            raise InputError(in_its_name(self.path, error)) from None
        except (OSError, ValueError) as error:
            raise InputError(f"input {str(self.path)!r}: not readable: {error}") from None


def in_its_name(path: str | Path, error: InputError) -> str:
    """Prefixes an error message with the file's name."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def listed(words: Sequence[str]) -> list[InputFile]:
    """Expands paths, folders and patterns such as `pictures/*.png` to files, in this order.

    A folder stands for all files below it, sorted, that are not hidden and end in one of `KNOWN`.

    Raises:
        InputError: there are no files, or a file of arrays cannot be read.
    """
    return [InputFile(path) for word in words for path in _paths(word)]


def _paths(word: str) -> list[Path]:
    path = expanded(word)
    matches = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    paths = [each for match in matches for each in _below(Path(match))]
    if not paths and os.path.isdir(path):
        raise InputError(f"input {word!r}: must hold files that end in {', '.join(KNOWN)}")
    if not paths:
        raise InputError(f"input {word!r}: no such file")
    return paths


def _below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.is_file() else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in KNOWN
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and file.is_file()
    )


def choose(
    signatures: Mapping[str, Specs], files: Sequence[InputFile], asked: str | None = None
) -> str:
    """The name of the signature that takes all files; preferably `serving_default`, then `bytes`.

    Args:
        signatures: inputs by signature.
        files: at least one.
        asked: the signature requested by the user, if any.

    Raises:
        InputError: none takes all files, or several others do; one line that says which takes what.
    """
    named = f"one of {', '.join(signatures)}"
    check(asked is None or asked in signatures, "--signature", asked, named)
    order = sorted(signatures, key=lambda name: (*PREFERRED, name).index(name))
    left = order if asked is None else [asked]
    for file in files:
        fitting = [name for name in order if file.fits(signatures[name])]
        kept = [name for name in left if name in fitting]
        if not kept and fitting and asked is None:
            raise InputError(
                f"input {str(file.path)!r}: is {file.says}, for {' or '.join(fitting)}; "
                f"{str(files[0].path)!r} is for {' or '.join(left)}; must be given separately"
            )
        if not kept:
            looked = order if asked is None else left
            takes = "; ".join(f"{name} takes {_in_words(signatures[name])}" for name in looked)
            other = f"; --signature {' or '.join(fitting)} would take it" if fitting else ""
            raise InputError(f"input {str(file.path)!r}: is {file.says}; {takes}{other}")
        left = kept
    if len(left) > 1 and left[0] not in PREFERRED:
        raise InputError(f"--signature: must be given, one of {', '.join(left)}, which all fit")
    return left[0]


def _in_words(specs: Specs) -> str:
    return " and ".join(
        f"{name} (image files)" if _is_files(spec) else f"{name} {spec.dtype.name}{_shape(spec)}"
        for name, spec in specs.items()
    )


def _shape(spec: tf.TensorSpec) -> str:
    if spec.shape.rank is None:
        return ""
    return f"[{', '.join('any' if size is None else str(size) for size in spec.shape)}]"


def batches(
    files: Sequence[InputFile], specs: Specs, size: int, batched: bool
) -> Iterator[tuple[list[str], Arrays]]:
    """Yields the inputs for each call, and the file of each row.

    Args:
        files: in order.
        specs: the signature's inputs.
        size: maximum rows per call.
        batched: rows are independent, so rows of several files of equal shape are batched;
            otherwise each file is a call and a row.

    Raises:
        InputError: a file is corrupt, does not fit, or has no rows.
    """
    owners: list[str] = []
    rows: list[Arrays] = []
    weight = 0
    for file in files:
        arrays = file.read(specs)
        if not batched:
            yield [str(file.path)], arrays
            continue
        for row in _rows(file, arrays):
            more = sum(map(_weight, row.values()))
            full = len(rows) == size or weight + more > _ROOM
            if rows and (full or any(row[k].shape != rows[0][k].shape for k in row)):
                yield owners, _joined(rows)
                owners, rows, weight = [], [], 0
            owners.append(str(file.path))
            rows.append(row)
            weight += more
    if rows:
        yield owners, _joined(rows)


def _rows(file: InputFile, arrays: Arrays) -> Iterator[Arrays]:
    counts = {name: len(value) if value.ndim else 0 for name, value in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise InputError(f"input {str(file.path)!r}: {told} rows; must be equal and at least 1")
    for i in range(next(iter(counts.values()))):
        yield {name: value[i : i + 1] for name, value in arrays.items()}


def _joined(rows: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _weight(value: np.ndarray) -> int:
    return sum(map(len, value.flat)) if value.dtype == object else value.nbytes


def _forms(path: Path) -> list[_Form]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        read = lambda name, spec: read_npz(path, "input", (name,))[name]  # noqa: E731
        return [_by_name(_npz_names(path), read)]
    if suffix == ".npy":
        return [_npy(path)]
    if suffix == ".json":
        return [_json(path)]
    forms = []
    if suffix in SUFFIXES:
        whole = lambda spec: np.array([read_image(path, named="input")[0]], object)  # noqa: E731
        forms.append(_only("an image file", _is_files, whole))
    if suffix in video_files.SUFFIXES:
        frames = lambda spec: video_files.read_video(path)[None]  # noqa: E731
        forms.append(_only("a video", _is_frames, frames))
    if not forms:
        tokens = lambda spec: np.frombuffer(path.read_bytes(), np.uint8)[None]  # noqa: E731
        forms.append(_only("a text", _is_tokens, tokens))
    return forms


def _only(
    says: str, fits: Callable[[tf.TensorSpec], bool], read: Callable[[tf.TensorSpec], Any]
) -> _Form:
    """For a signature with one input."""

    def only(specs: Specs) -> tf.TensorSpec | None:
        return next(iter(specs.values())) if len(specs) == 1 else None

    return _Form(
        says,
        lambda specs: (spec := only(specs)) is not None and fits(spec),
        lambda specs: {name: read(spec) for name, spec in specs.items()},
    )


def _by_name(names: set[str], read: Callable[[str, tf.TensorSpec], Any]) -> _Form:
    says = f"arrays named {', '.join(sorted(names)) or 'nothing'}"
    return _Form(
        says,
        lambda specs: specs.keys() == names,
        lambda specs: {name: read(name, spec) for name, spec in specs.items()},
    )


def _is_files(spec: tf.TensorSpec) -> bool:
    return spec.dtype.name == "string" and spec.shape.is_compatible_with([1])


def _is_frames(spec: tf.TensorSpec) -> bool:
    return spec.dtype.name == "uint8" and spec.shape.rank == 5


def _is_tokens(spec: tf.TensorSpec) -> bool:
    return spec.dtype.is_integer and spec.shape.rank == 2


def _takes(spec: tf.TensorSpec, value: np.ndarray) -> bool:
    return spec.shape.is_compatible_with(value.shape) and takes_dtype(spec, value.dtype)


def _npz_names(path: Path) -> set[str]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return set(archive.files)
    except Exception:  # errors of zipfile, zlib, struct, numpy: `read_npz` reports them
        return set(read_npz(path, "input"))


def _npy(path: Path) -> _Form:
    def read(spec: tf.TensorSpec | None = None) -> np.ndarray:
        try:
            value = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"input {str(path)!r}: must be an .npy of numbers: {error}") from None
        if not isinstance(value, np.ndarray):
            raise InputError(f"input {str(path)!r}: must be an .npy, is an .npz")
        return value

    value = read()
    says = f"an array {value.dtype}{list(value.shape)}"
    return _only(says, lambda spec: _takes(spec, read()), read)


def _json(path: Path) -> _Form:
    try:
        content = parse(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"input {str(path)!r}: must be JSON: {error}") from None
    if isinstance(content, dict):

        def array(name: str, spec: tf.TensorSpec) -> np.ndarray:
            try:
                return to_array(content[name], spec.dtype)
            except ValueError as error:
                raise InputError(f"input {name!r}: {error}") from None

        return _by_name(set(content), array)

    def fits(spec: tf.TensorSpec) -> bool:
        try:
            return _takes(spec, to_array(content, spec.dtype))
        except ValueError:
            return False

    return _only("lists of values", fits, lambda spec: to_array(content, spec.dtype))
