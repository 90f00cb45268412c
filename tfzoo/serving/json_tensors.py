"""Converts tensors to and from JSON by the rules of TensorFlow Serving's REST API.

https://www.tensorflow.org/tfx/serving/api_rest: row and column form, `{"b64": ...}` for binary
strings, the tokens NaN and Infinity.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

ROW, COLUMN = "instances", "inputs"
ANSWER = {ROW: "predictions", COLUMN: "outputs"}


def read_inputs(body: Mapping[str, Any], specs: Mapping[str, tf.TensorSpec]):
    """The input arrays of a predict request, and its form.

    Args:
        body: the request's JSON object.
        specs: the signature's inputs.

    Returns:
        Arrays by name, of the signature's dtypes, and `"instances"` or `"inputs"`.

    Raises:
        ValueError: the body does not fit the signature.
    """
    forms = [form for form in (ROW, COLUMN) if form in body]
    if len(forms) != 1:
        raise ValueError(f"body must have one of the keys '{ROW}' and '{COLUMN}'")
    value = body[forms[0]]
    columns = _columns_of_rows(value, specs) if forms == [ROW] else _columns(value, specs)
    for name in columns:
        if name not in specs:
            raise ValueError(f"unexpected input {name!r}; must be {', '.join(specs)}")
    arrays = {}
    for name, column in columns.items():
        try:
            arrays[name] = to_array(column, specs[name].dtype)
        except ValueError as error:
            raise ValueError(f"input {name!r}: {error}") from None
    return arrays, forms[0]


def _columns(value: Any, specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    if _is_object(value):
        return value
    return {_only(specs, COLUMN): value}


def _columns_of_rows(rows: Any, specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"'{ROW}' must be a list of at least one instance")
    if not any(_is_object(row) for row in rows):
        return {_only(specs, ROW): rows}
    names = None
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise ValueError(f"instance {index} must be an object, as the others are")
        names = row.keys() if names is None else names
        if row.keys() != names:
            raise ValueError(f"instance {index} has {sorted(row)}, the others have {sorted(names)}")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _only(specs: Mapping[str, tf.TensorSpec], form: str) -> str:
    if len(specs) != 1:
        raise ValueError(f"'{form}' must hold objects with the inputs {', '.join(specs)}")
    return next(iter(specs))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_binary(value)


def _is_binary(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def to_array(value: Any, dtype: tf.DType) -> np.ndarray:
    """Nested lists as an array; only integers become integers.

    Raises:
        ValueError: ragged lists, values of another type or out of range, or invalid base64.
    """
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        size = len(flat[0])
        if not all(isinstance(item, list) and len(item) == size for item in flat):
            raise ValueError(f"lists at depth {len(shape)} differ in length")
        shape.append(size)
        flat = list(itertools.chain.from_iterable(flat))
    kinds = set(map(type, flat))
    if list in kinds:
        raise ValueError(f"values and lists are mixed at depth {len(shape)}")
    return _convert(flat, kinds, dtype).reshape(shape)


def _convert(flat: list[Any], kinds: set[type], dtype: tf.DType) -> np.ndarray:
    if dtype == tf.string:
        _check_kinds(kinds, {str, dict}, 'a string or {"b64": ...}')
        array = np.empty(len(flat), object)
        array[:] = [_to_bytes(item) for item in flat]
        return array
    if dtype.is_bool:
        _check_kinds(kinds, {bool}, "true or false")
        return np.array(flat, bool)
    if dtype.is_integer:
        _check_kinds(kinds, {int}, f"a whole number ({dtype.name})")
        limits = np.iinfo(dtype.as_numpy_dtype)
        if flat and (min(flat) < limits.min or max(flat) > limits.max):
            raise ValueError(f"values must be from {limits.min} to {limits.max} ({dtype.name})")
    elif dtype in (tf.float32, tf.float64):
        _check_kinds(kinds, {int, float}, f"a number ({dtype.name})")
    else:
        raise ValueError(f"JSON cannot hold {dtype.name}; use gRPC")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype.as_numpy_dtype)
    except OverflowError:
        raise ValueError(f"a value is too large for {dtype.name}") from None


def _check_kinds(kinds: set[type], allowed: set[type], wanted: str) -> None:
    names = {str: "String", dict: "Object", bool: "Bool", int: "Number", float: "Number"}
    for kind in kinds - allowed:
        raise ValueError(f"a JSON {names.get(kind, 'Null')} must be {wanted}")


def _to_bytes(item: str | dict[str, Any]) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    if not _is_binary(item):
        raise ValueError('an object must be {"b64": "<base64>"}')
    try:
        return base64.b64decode(item["b64"], validate=True)
    except binascii.Error as error:
        raise ValueError(f"invalid base64: {error}") from None


def check_size(data: bytes, max_elements: int) -> None:
    """Bounds the work of parsing in advance: a few bytes can hold many empty lists.

    Raises:
        OverflowError: the body has more than `max_elements` commas and brackets.
    """
    count = data.count(b",") + data.count(b"[") + data.count(b"{")
    if count > max_elements:
        raise OverflowError(f"Request body has {count} elements; must be at most {max_elements}")


def parse(data: bytes) -> Any:
    """Parses JSON, allowing the tokens NaN and Infinity.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    try:
        return orjson.loads(data)
    except ValueError:  # it accepts neither NaN nor unpaired surrogates
        return json.loads(data)


def write_outputs(outputs: Mapping[str, np.ndarray], form: str) -> bytes:
    """The JSON response to a request of a form; a single output goes unnamed.

    Raises:
        ValueError: row form with outputs that share no batch axis, or a dtype that JSON cannot
            hold.
    """
    finite = all(np.isfinite(x).all() for x in outputs.values() if x.dtype.kind == "f")
    columns = {name: _to_json(name, value, finite) for name, value in outputs.items()}
    if form == COLUMN:
        content = columns if len(columns) > 1 else next(iter(columns.values()))
    else:
        sizes = {name: value.shape[0] if value.ndim else None for name, value in outputs.items()}
        if len(set(sizes.values())) > 1 or None in sizes.values():
            raise ValueError(f"outputs have no common batch size: {sizes}; use '{COLUMN}'")
        if len(columns) == 1:
            content = next(iter(columns.values()))
        else:
            rows = zip(*columns.values(), strict=True)
            content = [dict(zip(columns, row, strict=True)) for row in rows]
    if finite:
        return orjson.dumps({ANSWER[form]: content}, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps({ANSWER[form]: content}).encode()


def _to_json(name: str, value: np.ndarray, finite: bool) -> Any:
    """The array for orjson, or lists for `json` if it holds NaN, which orjson does not write."""
    if value.dtype.kind == "O":
        texts = np.empty(value.shape, object)
        for index in np.ndindex(value.shape):
            item: Any = value[index]
            texts[index] = _to_text(name, item)
        return texts.tolist()
    if value.dtype.kind not in "iub" and value.dtype not in (np.float32, np.float64):
        raise ValueError(f"output {name!r}: JSON cannot hold {value.dtype}; use gRPC")
    if finite:
        return np.asarray(value, order="C")[()]
    if value.dtype == np.float32:  # the shortest decimals that round-trip, as orjson writes
        value = value.astype(str).astype("float64")
    return value.tolist()


def _to_text(name: str, value: bytes | str) -> Any:
    value = value.encode() if isinstance(value, str) else value
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"output {name!r}: not UTF-8; binary outputs end in '_bytes'") from None
