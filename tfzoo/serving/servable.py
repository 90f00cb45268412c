"""One loaded version of a model, and its signatures as functions on arrays."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from tfzoo.errors import InputError
from tfzoo.serving import batching
from tfzoo.serving.config_files import Batching
from tfzoo.serving.deadline import NEVER, Deadline
from tfzoo.serving.errors import RequestFailed, code_of, first_line
from tfzoo.serving.loading import open_session
from tfzoo.serving.signature import check_dtype, check_names, check_shape

log = logging.getLogger(__name__)

ROWS = 1024
"""Rows per run: a larger call of a batched signature is processed in parts."""


@dataclass(frozen=True)
class _Function:
    """A signature: its inputs, the names of its outputs in the order of `call`'s results."""

    inputs: dict[str, tf.TensorSpec]
    defaults: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    call: Callable[..., list[np.ndarray]]
    batched: bool


class Servable:
    """One loaded version of a model. Safe to use from several threads.

    A request holds it from `acquire` to `release`; once retired, it closes when no request holds
    it.

    Attributes:
        name, version: the model's name and the version's number.
        signature_defs: as stored in the SavedModel, by signature.
    """

    def __init__(self, name: str, version: int, folder: Path, joining: Batching | None = None):
        self.name = name
        self.version = version
        self._session, meta = open_session(folder)
        self._changed = threading.Condition()
        self._users = 0
        try:
            self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = dict(
                sorted(meta.signature_def.items())
            )
            described = _described(folder)
            self._functions = {
                key: self._function_of(key, signature, described, joining)
                for key, signature in self.signature_defs.items()
                if _has_tensors(signature)
            }
        except BaseException:
            self._session.close()
            raise

    def _function_of(
        self,
        key: str,
        signature: meta_graph_pb2.SignatureDef,
        described: Mapping[str, bool],
        joining: Batching | None,
    ) -> _Function:
        graph = self._session.graph
        inputs = {
            name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), info.dtype, name)
            for name, info in sorted(signature.inputs.items())
        }
        feeds = {name: graph.get_tensor_by_name(signature.inputs[name].name) for name in inputs}
        fetches = {
            name: graph.get_tensor_by_name(info.name)
            for name, info in sorted(signature.outputs.items())
        }
        ends = [*inputs.values(), *signature.outputs.values()]
        batched = described.get(key, all(map(_has_batch_axis, ends))) and bool(inputs)
        if joining and batched and all(_joinable(spec.shape) for spec in inputs.values()):
            try:
                feeds, fetches = batching.joined(graph, signature, joining)
            except (ValueError, TypeError) as error:  # TensorFlow 1 variables, for example
                log.warning(
                    "%s, version %d, %s: not batched: %s", self.name, self.version, key, error
                )
        return _Function(
            inputs,
            {name: tf.make_ndarray(proto) for name, proto in signature.defaults.items()},
            tuple(fetches),
            self._session.make_callable(list(fetches.values()), list(feeds.values())),
            batched,
        )

    def acquire(self) -> None:
        """Registers a request that begins."""
        with self._changed:
            self._users += 1

    def release(self) -> None:
        """Registers a request that ends."""
        with self._changed:
            self._users -= 1
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Waits at most `timeout` seconds for requests that hold it, then frees its memory."""
        with self._changed:
            self._changed.wait_for(lambda: self._users == 0, timeout)
            self._session.close()

    def inputs(self, signature_name: str) -> dict[str, tf.TensorSpec]:
        """Inputs of a signature, by name.

        Raises:
            RequestFailed: there is no such signature.
        """
        return self._function(signature_name).inputs

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Collection[str] = (),
        deadline: Deadline = NEVER,
    ) -> dict[str, np.ndarray]:
        """Checks the inputs against the signature and runs it.

        Raises:
            RequestFailed: the request does not fit the signature, its deadline passes, or the
                model fails on it.
        """
        function = self._function(signature_name)
        names = list(output_filter) or sorted(function.outputs)
        unknown = [name for name in names if name not in function.outputs]
        if unknown:
            raise RequestFailed(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {unknown[0]}; "
                f"must be one of {', '.join(sorted(function.outputs))}",
            )
        if len(set(names)) < len(names):
            raise RequestFailed("INVALID_ARGUMENT", "duplicate output tensor alias")
        try:
            inputs = {**function.defaults, **inputs}
            check_names(function.inputs, inputs)
            for name, spec in function.inputs.items():
                check_dtype(spec, tf.as_dtype(inputs[name].dtype))
                check_shape(spec, inputs[name].shape)
        except InputError as error:
            raise RequestFailed("INVALID_ARGUMENT", str(error)) from None
        arrays = [inputs[name] for name in function.inputs]
        try:
            outputs = dict(zip(function.outputs, _run(function, arrays, deadline), strict=True))
        except tf.errors.OpError as error:
            raise RequestFailed(code_of(error), first_line(error)) from error
        except (TypeError, ValueError) as error:
            raise RequestFailed("INVALID_ARGUMENT", first_line(error)) from error
        return {name: outputs[name] for name in names}

    def _function(self, signature_name: str) -> _Function:
        if signature_name not in self._functions:
            raise RequestFailed(
                "FAILED_PRECONDITION",
                f'Serving signature key "{signature_name}" not found; '
                f"must be one of {', '.join(sorted(self._functions))}",
            )
        return self._functions[signature_name]


def _run(function: _Function, arrays: list[np.ndarray], deadline: Deadline) -> list[np.ndarray]:
    rows = {len(array) for array in arrays} if function.batched else {0}
    deadline.check()
    if max(rows, default=0) <= ROWS or len(rows) > 1:
        return function.call(*arrays)
    parts = []
    for start in range(0, rows.pop(), ROWS):
        deadline.check()
        parts.append(function.call(*(array[start : start + ROWS] for array in arrays)))
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _described(folder: Path) -> dict[str, bool]:
    """Which signatures are batched, if tfzoo wrote the export; {} for other exports."""
    try:
        text = (folder / "assets.extra" / "signatures.json").read_text(encoding="utf-8")
        return {key: bool(entry["batched"]) for key, entry in json.loads(text).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _has_batch_axis(end: tf.TensorSpec | meta_graph_pb2.TensorInfo) -> bool:
    shape = end.shape if isinstance(end, tf.TensorSpec) else tf.TensorShape(end.tensor_shape)
    return shape.rank is not None and shape.rank > 0 and shape[0] is None


def _has_tensors(signature: meta_graph_pb2.SignatureDef) -> bool:
    """Whether it can be run on arrays: sparse tensors and the loader's own signatures cannot."""
    ends = [*signature.inputs.values(), *signature.outputs.values()]
    return bool(signature.outputs) and all(":" in info.name for info in ends)


def _joinable(shape: tf.TensorShape) -> bool:
    """Whether the rows of any two requests fit in one array."""
    return shape.rank is not None and shape[1:].is_fully_defined()
