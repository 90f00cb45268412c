"""A signature of a SavedModel: a function, its inputs, and example rows to verify it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfzoo.errors import InputError
from tfzoo.typing import Tensor

ROWS = 4
"""Minimum number of example rows of a batched signature: enough to detect rows that mix."""


@dataclass(frozen=True, eq=False)
class Signature:
    """One named function of an export.

    Attributes:
        function: takes tensors by the names of `inputs`, returns a dict of tensors by name. It is
            traced without AutoGraph: control flow by `keras.ops` or `tf`.
        inputs: dtype and shape by name; axis 0 is None if `batched`.
        examples: realistic values by name, of the inputs' dtypes; at least 4 rows if `batched`.
            They verify the export and become TensorFlow Serving's warm-up requests.
        batched: `f(concat(a, b)) == concat(f(a), f(b))` holds. Random draws satisfy it with one
            seed per row. Only such signatures may be used with TensorFlow Serving's batching.
        xla: compiles under XLA; string operations do not.
        description: for callers; default: the function's docstring.
        ranges: lowest and highest value of inputs by name. Calling the signature refuses values far
            outside, unlike the SavedModel's graph.

    Raises:
        ValueError: examples and inputs do not match, or contradict the flags.
    """

    function: Callable[..., dict[str, Tensor]]
    inputs: Mapping[str, tf.TensorSpec | keras.InputSpec]
    examples: Mapping[str, np.ndarray]
    batched: bool = True
    xla: bool = True
    description: str = ""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self):
        """Turns `inputs` into named TensorSpecs and `examples` into arrays, and checks both."""
        specs = {name: _named(name, spec) for name, spec in self.inputs.items()}
        if not specs:
            raise ValueError("inputs={}: must name at least one input")
        try:
            check_names(specs, self.examples)
            examples = {name: cast(spec, self.examples[name]) for name, spec in specs.items()}
        except InputError as error:
            raise ValueError(f"examples do not fit the inputs: {error}") from None
        if self.batched:
            for name, spec in specs.items():
                if spec.shape.rank in (None, 0) or spec.shape[0] is not None:
                    raise ValueError(
                        f"input {name!r}: shape {spec.shape} must begin with None if batched"
                    )
            rows = {name: len(value) for name, value in examples.items()}
            if min(rows.values()) < ROWS or len(set(rows.values())) > 1:
                raise ValueError(f"examples: row counts {rows} must be equal and at least {ROWS}")
        if self.xla and any(spec.dtype == tf.string for spec in specs.values()):
            raise ValueError("xla=True: must be False for a string input, which XLA cannot compile")
        object.__setattr__(self, "inputs", specs)
        object.__setattr__(self, "examples", examples)
        if not self.description:
            object.__setattr__(self, "description", inspect.getdoc(self.function) or "")

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        """Runs the function eagerly on arrays.

        Raises:
            InputError: an input is missing, unknown, of the wrong shape or dtype, or far out of its
                range.
        """
        check_names(self.inputs, inputs)
        arrays = {name: cast(spec, inputs[name]) for name, spec in self.inputs.items()}
        for name, limits in self.ranges.items():
            check_range(name, arrays[name], *limits)
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        outputs = self.function(**tensors)
        if not isinstance(outputs, Mapping):
            raise TypeError(f"a signature must return a dict of tensors, not {type(outputs)}")
        return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def _named(name: str, spec: tf.TensorSpec | keras.InputSpec) -> tf.TensorSpec:
    if not name.isidentifier():
        raise ValueError(f"input {name!r}: must be an identifier")
    return tf.TensorSpec(spec.shape, spec.dtype or "float32", name)


def check_names(specs: Mapping[str, tf.TensorSpec], given: Mapping[str, Any]) -> None:
    """Checks that exactly the inputs of a signature are given.

    Raises:
        InputError: some are missing or unexpected.
    """
    missing, extra = sorted(specs.keys() - given.keys()), sorted(given.keys() - specs.keys())
    if missing or extra:
        parts = [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"unexpected {', '.join(map(str, extra))}"] if extra else []
        raise InputError(f"inputs: {' and '.join(parts)}; must be {', '.join(specs)}")


def check_shape(spec: tf.TensorSpec, shape: tuple[int, ...]) -> None:
    """Checks an input's shape.

    Raises:
        InputError: it does not fit the signature.
    """
    if not spec.shape.is_compatible_with(shape):
        raise InputError(f"input {spec.name!r}: shape {list(shape)} must be {_shape(spec)}")


def check_dtype(spec: tf.TensorSpec, dtype: tf.DType) -> None:
    """Checks that an input's dtype is the signature's.

    Raises:
        InputError: the dtypes differ.
    """
    if spec.dtype != dtype:
        raise InputError(f"input {spec.name!r}: dtype {dtype.name} must be {spec.dtype.name}")


def check_range(name: str, values: np.ndarray, low: float, high: float) -> None:
    """Checks that values have the scale of the training data.

    Raises:
        InputError: they reach beyond the range by more than half its width, or are fractions from
            0 to 1 where the range is much wider.
    """
    if not values.size:
        return
    least, most = float(values.min()), float(values.max())
    room = (high - low) / 2
    beyond = least < low - room or most > high + room  # False for NaN, which is reported elsewhere
    fractions = high > 2 and least >= 0 and most <= 1 and bool((values % 1 != 0).any())
    if beyond or fractions:
        raise InputError(
            f"input {name!r}: values from {least:g} to {most:g}; must be from {low:g} to {high:g}, "
            "the range of the training data"
        )


def takes_dtype(spec: tf.TensorSpec, dtype: np.dtype) -> bool:
    """Whether values of a dtype can be cast to the input's with no loss but precision."""
    if spec.dtype == tf.string:
        return dtype.kind in "SUO"
    if spec.dtype.is_bool:
        return dtype.kind == "b"
    return dtype.kind in ("iu" if spec.dtype.is_integer else "iufV")  # numpy's bfloat16 is "V"


def cast(spec: tf.TensorSpec, value: ArrayLike) -> np.ndarray:
    """An input as an array of the signature's dtype, if nothing but precision is lost.

    Raises:
        InputError: wrong shape, or values of another type or out of the dtype's range.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(f"input {spec.name!r}: {error}") from None
    check_shape(spec, array.shape)
    if not takes_dtype(spec, array.dtype) and (spec.dtype != tf.string or array.size):
        raise InputError(f"input {spec.name!r}: dtype {array.dtype} must be {spec.dtype.name}")
    if spec.dtype.is_integer and array.size:
        low, high = _limits(spec.dtype)
        if int(array.min()) < low or int(array.max()) > high:
            raise InputError(f"input {spec.name!r}: values must be from {low} to {high}")
    if spec.dtype == tf.string:
        try:
            return tf.constant(array, tf.string).numpy() if array.size else array.astype(object)
        except (TypeError, ValueError):
            raise InputError(f"input {spec.name!r}: values must be str or bytes") from None
    return array.astype(spec.dtype.as_numpy_dtype)


def _limits(dtype: tf.DType) -> tuple[int, int]:
    limits = np.iinfo(dtype.as_numpy_dtype)
    return int(limits.min), int(limits.max)


def _shape(spec: tf.TensorSpec) -> str:
    if spec.shape.rank is None:
        return "any"
    return "[" + ", ".join("any" if d is None else str(d) for d in spec.shape) + "]"
