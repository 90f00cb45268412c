"""Compares a written SavedModel with the functions that it was exported from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.serving.errors import ExportError, first_line
from tfzoo.serving.loading import load
from tfzoo.serving.signature import Signature

TOLERANCE = 1e-4
"""Tolerance relative to an output's largest value, for a different float32 summation order."""

COARSE = 5e-2
"""The same tolerance for models that compute in bfloat16 or float16."""


def verify(
    version_dir: str | Path, signatures: Mapping[str, Signature], *, tolerance: float = TOLERANCE
) -> None:
    """Reloads a SavedModel and compares each signature with its function on the examples.

    Checks the names of inputs and outputs, equal values (integers, booleans and strings exactly,
    floats within the tolerance), finite values, the batching law if `batched`, and compilation by
    XLA if `xla`. Under XLA and in coarse precision, one row in four may differ: rounding can break
    a tie the other way, whereas a wrong program changes all rows. XLA draws different random
    numbers from the same seed, so values of a signature that draws need only be finite under XLA.

    Args:
        version_dir: the SavedModel.
        signatures: what was written, by name.
        tolerance: relative to an output's largest value; above 1e-3 the model counts as coarse.

    Raises:
        ExportError: the SavedModel does not match the signatures.
    """
    check(load(version_dir), signatures, tolerance)


def check(loaded: Any, signatures: Mapping[str, Signature], tolerance: float) -> None:
    """Like `verify`, for a SavedModel that is already loaded."""
    for name, signature in signatures.items():
        if name not in loaded.signatures:
            raise ExportError(f"signature {name!r}: not in the SavedModel")
        try:
            _Check(name, signature, loaded.signatures[name], tolerance).run()
        except tf.errors.OpError as error:
            raise ExportError(f"signature {name!r}: fails: {first_line(error)}") from error


def check_runtime(
    name: str,
    signature: Signature,
    call: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
    tolerance: float,
) -> None:
    """Compares another runtime's outputs with the signature's, on the examples and on one row.

    Args:
        name: the signature's name.
        signature: what was converted.
        call: maps arrays by input name to arrays by output name.
        tolerance: relative to an output's largest value.

    Raises:
        ExportError: an output is missing, unknown, not finite or different.
    """
    holder = _Check(name, signature, None, tolerance)
    expected = holder._eager()
    for rows in (slice(None), slice(0, 1)) if signature.batched else (slice(None),):
        part = {k: v[rows] if signature.batched else v for k, v in signature.examples.items()}
        wanted = {k: v[rows] if signature.batched else v for k, v in expected.items()}
        answers = call(part)
        holder._check_finite(answers, "on the examples")
        holder._compare(answers, wanted, "differs from the Keras model's", holder.coarse)


class _Check:
    """The checks of one signature."""

    def __init__(self, name: str, signature: Signature, served, tolerance: float):
        self.name = name
        self.signature = signature
        self.served = served
        self.tolerance = tolerance
        self.coarse = tolerance > 1e-3

    def run(self) -> None:
        inputs = set(self.served.structured_input_signature[1])
        if inputs != set(self.signature.inputs):
            self._fail(f"inputs are {sorted(inputs)}, must be {sorted(self.signature.inputs)}")
        outputs = self._call(self.served)
        self._check_finite(outputs, "on the examples")
        if self.signature.batched:
            self._check_batching(outputs)
        self._compare(outputs, self._eager(), "differs from the Keras model's", self.coarse)
        if self.signature.xla:
            self._check_xla(outputs)

    def _eager(self) -> dict[str, np.ndarray]:
        return self.signature(**self.signature.examples)

    def _call(self, function, rows: slice | None = None) -> dict[str, np.ndarray]:
        values = self.signature.examples
        part = values if rows is None else {k: v[rows] for k, v in values.items()}
        tensors = {k: tf.constant(v, self.signature.inputs[k].dtype) for k, v in part.items()}
        return {k: v.numpy() for k, v in function(**tensors).items()}

    def _check_batching(self, whole: dict[str, np.ndarray]) -> None:
        count = len(next(iter(self.signature.examples.values())))
        for output, value in whole.items():
            static = self.served.structured_outputs[output].shape
            fixed = static.rank == 0 or (static.rank is not None and static[0] is not None)
            if fixed or value.ndim == 0 or len(value) != count:
                self._fail(f"output {output!r} of shape {static} has no free batch axis first")
        one, rest = self._call(self.served, slice(0, 1)), self._call(self.served, slice(1, None))
        try:
            parts = {output: np.concatenate([one[output], rest[output]]) for output in whole}
        except ValueError as error:
            self._fail(f"batching changes the shape of the answer: {error}")
        self._compare(parts, whole, "depends on the other rows of the batch", self.coarse)

    def _check_finite(self, outputs: dict[str, np.ndarray], where: str) -> None:
        for output, value in outputs.items():
            if _is_float(value) and not np.isfinite(value.astype("float64")).all():
                self._fail(f"output {output!r} is not finite {where}")

    def _check_xla(self, expected: dict[str, np.ndarray]) -> None:
        compiled = tf.function(
            lambda **inputs: self.served(**inputs), autograph=False, jit_compile=True
        )
        specs = {
            name: tf.TensorSpec(np.shape(value), self.signature.inputs[name].dtype, name)
            for name, value in self.signature.examples.items()
        }
        try:  # one trace and one call per signature, which TensorFlow mistakes for retracing
            outputs = self._call(compiled.get_concrete_function(**specs))
        except (tf.errors.OpError, ValueError, NotImplementedError) as error:
            self._fail(f"does not compile under XLA; set xla=False: {first_line(error)}")
        self._check_finite(outputs, "under XLA")
        if _draws(self.served):
            outputs = {
                k: expected[k] if v.shape == expected[k].shape else v for k, v in outputs.items()
            }
        self._compare(outputs, expected, "is different under XLA", lenient=True)

    def _compare(
        self,
        outputs: dict[str, np.ndarray],
        expected: dict[str, np.ndarray],
        what: str,
        lenient: bool,
    ) -> None:
        if outputs.keys() != expected.keys():
            self._fail(f"outputs are {sorted(outputs)}, must be {sorted(expected)}")
        for output, value in outputs.items():
            wanted = expected[output]
            if value.shape != wanted.shape or value.dtype != wanted.dtype:
                self._fail(
                    f"output {output!r} {what}: {value.dtype}{list(value.shape)} "
                    f"against {wanted.dtype}{list(wanted.shape)}"
                )
            wrong = ~_agree(value, wanted, self.tolerance)
            if lenient and self.signature.batched:
                wrong = np.any(wrong.reshape(len(wrong), -1), axis=1)
                failed = wrong.mean() > 0.25 if wrong.size else False
            else:
                failed = wrong.any()
            if failed:
                self._fail(f"output {output!r} {what}: {_difference(value, wanted)}")

    def _fail(self, message: str) -> None:
        raise ExportError(f"signature {self.name!r}: {message}")


def _draws(function) -> bool:
    """Whether a function draws random numbers anywhere."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return any("Random" in node.op or "Multinomial" in node.op for node in nodes)


def _is_float(value: np.ndarray) -> bool:
    return value.dtype.kind in "fV"  # "V" is numpy's kind for bfloat16


def _agree(value: np.ndarray, wanted: np.ndarray, tolerance: float) -> np.ndarray:
    if not _is_float(value):
        return np.asarray(value == wanted)
    a, b = value.astype("float64"), wanted.astype("float64")
    scale = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return np.isclose(a, b, rtol=tolerance, atol=tolerance * scale + 1e-7, equal_nan=True)


def _difference(value: np.ndarray, wanted: np.ndarray) -> str:
    if not _is_float(value):
        return f"{int((value != wanted).sum())} of {value.size} values differ"
    gap = np.abs(value.astype("float64") - wanted.astype("float64")).max()
    return f"largest difference {gap:.3g}"
