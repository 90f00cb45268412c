"""A model's outputs as a file or as text: rows of values, with the input file of each row."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfzoo.errors import InputError
from tfzoo.files import write_csv, write_npz, write_text

SUFFIXES = (".npz", ".csv", ".json")
"""Suffixes of output files that work for any model."""

_NOT_FINITE: dict[str, Callable] = {
    "NaN": np.isnan,
    "Infinity": np.isposinf,
    "-Infinity": np.isneginf,
}


class Answers:
    """Collects rows of outputs.

    Args:
        suffix: suffix of the output file, so that values it cannot hold are refused early.

    Attributes:
        files: the input file of each row.
        outputs: values of each row, by output name.
    """

    def __init__(self, suffix: str = ".json"):
        self.files: list[str] = []
        self.outputs: dict[str, list[np.ndarray]] = {}
        self._suffix = suffix

    def add(self, files: Sequence[str], outputs: Mapping[str, Any], batched: bool) -> None:
        """Adds the outputs of one call.

        Args:
            files: the input files of its rows.
            outputs: arrays by name.
            batched: whether they have a row axis; otherwise the whole is one row.

        Raises:
            InputError: the numbers of rows and files differ, or the suffix's format cannot hold
                such values.
        """
        for name, value in outputs.items():
            array = np.asarray(value) if batched else np.asarray(value)[None]
            if array.ndim == 0 or len(array) != len(files):
                raise InputError(
                    f"output {name!r}: is {list(array.shape)} for {len(files)} rows; must have as "
                    "many"
                )
            if self._suffix == ".csv" and array.ndim > 2:
                raise InputError(
                    f"--output: .csv holds numbers and vectors, {name!r} is of "
                    f"{list(array.shape[1:])}; must end in .npz or .json"
                )
            if array.dtype.kind == "V":  # bfloat16
                array = array.astype(np.float32)
            if array.dtype.kind in "SO":
                array = _texts(array)
                if self._suffix != ".json" and any(isinstance(v, bytes) for v in array.flat):
                    raise InputError(
                        f"--output: {self._suffix} holds only text as bytes, {name!r} has others; "
                        "must end in .json"
                    )
            self.outputs.setdefault(name, []).extend(array[i, ...] for i in range(len(array)))
        self.files.extend(files)

    def write(self, path: str) -> None:
        """Writes the file; for JSON see `to_json`.

        Raises:
            InputError: the format cannot hold such values.
        """
        if self._suffix == ".json":
            write_text(path, self.to_json() + "\n")
        elif self._suffix == ".csv":
            write_csv(path, self._table())
        else:
            write_npz(path, self._arrays())

    def to_json(self) -> str:
        """One JSON object: lists of values by output, and `file`, the input files, if several.

        Numbers that JSON lacks become the strings "NaN", "Infinity" and "-Infinity", as in
        protobuf's JSON; bytes that are not text become `{"b64": ...}`, as in TensorFlow Serving's.
        """
        content: dict[str, Any] = self._file_names()
        for name, rows in self.outputs.items():
            content[name] = [_plain(row) for row in rows]
        return json.dumps(content, allow_nan=False)

    def _file_names(self) -> dict[str, Any]:
        return {_free("file", self.outputs): self.files} if len(set(self.files)) > 1 else {}

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: np.array(value) for name, value in self._file_names().items()}
        for name, rows in self.outputs.items():
            shapes = {row.shape for row in rows}
            if len(shapes) > 1:
                listed = " and ".join(str(list(shape)) for shape in sorted(shapes)[:2])
                raise InputError(
                    f"--output: .npz holds arrays, rows of {name!r} are of {listed}; must end in "
                    ".json"
                )
            stacked = np.stack(rows)
            arrays[name] = stacked.astype(str) if stacked.dtype.kind == "O" else stacked
        return arrays

    def _table(self) -> list[dict[str, Any]]:
        key = _free("file", self.outputs)
        rows: list[dict[str, Any]] = [{key: file} for file in self.files]
        for name, values in self.outputs.items():
            for row, value in zip(rows, values, strict=True):
                cells = [value] if value.ndim == 0 else list(value)
                names = [name] if value.ndim == 0 else [f"{name}_{i}" for i in range(len(value))]
                for column, cell in zip(names, cells, strict=True):
                    if column in row:
                        raise InputError(
                            f"--output: .csv would have two columns {column!r}; must end in .npz "
                            "or .json"
                        )
                    row[column] = _plain(np.asarray(cell))
        return rows


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """A column name that no output has."""
    return name if name not in taken else _free(f"{name}_", taken)


def _texts(array: np.ndarray) -> np.ndarray:
    """Bytes as text, if they are UTF-8."""
    texts = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        value: Any = array[index]
        try:
            texts[index] = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            texts[index] = value
    return texts


def _plain(value: np.ndarray) -> Any:
    """Numbers and strings in JSON's form."""
    if value.dtype.kind == "f":
        if value.dtype != np.float64:  # the shortest decimals that round-trip
            value = value.astype(str).astype("float64")
        if not np.isfinite(value).all():
            words = value.astype(object)
            for word, holds in _NOT_FINITE.items():
                words[holds(value)] = word
            value = words
    elif value.dtype.kind == "O":
        coded = np.empty(value.shape, object)
        for index in np.ndindex(value.shape):
            item: Any = value[index]
            coded[index] = (
                {"b64": base64.b64encode(item).decode()} if isinstance(item, bytes) else item
            )
        value = coded
    return value.tolist()
