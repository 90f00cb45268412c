"""Converts arrays to and from TensorProtos; requests are checked before they are unpacked."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from tfzoo.errors import InputError
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.signature import check_dtype, check_names, check_shape

_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def to_proto(array: np.ndarray, as_content: bool = False) -> tensor_pb2.TensorProto:
    """A TensorProto as TensorFlow Serving returns it.

    Args:
        array: any tensor dtype; strings as objects.
        as_content: put the values as bytes into `tensor_content`, which is smaller and faster.
            Strings, and dtypes without a numeric field of their own, follow TensorFlow's rule
            either way.
    """
    dtype = tf.as_dtype(array.dtype)
    if as_content or dtype not in _FIELDS:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[dtype]).extend(array.ravel().tolist())
    return proto


def to_arrays(
    protos: Mapping[str, tensor_pb2.TensorProto],
    specs: Mapping[str, tf.TensorSpec],
    max_bytes: int,
    max_rows: int,
) -> dict[str, np.ndarray]:
    """The inputs of a request as arrays; sizes are checked, as a few bytes can claim any size.

    Raises:
        RequestFailed: they do not fit the signature, or exceed the size limit.
    """
    try:
        arrays = {}
        for name, proto in protos.items():
            if name not in specs:
                check_names(specs, protos)
            spec = specs[name]
            shape = tuple(dim.size for dim in proto.tensor_shape.dim)
            check_dtype(spec, tf.as_dtype(proto.dtype))
            if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
                raise InputError(f"input {name!r}: the tensor's shape must be known")
            check_shape(spec, shape)
            if math.prod(shape) * max(spec.dtype.size or 1, 1) > max_bytes:
                raise RequestFailed(
                    "RESOURCE_EXHAUSTED",
                    f"input {name!r} of shape {list(shape)} is larger than {max_bytes} bytes",
                )
            check_rows(name, shape, max_rows)
            arrays[name] = tf.make_ndarray(proto)
        return arrays
    except (InputError, TypeError, ValueError) as error:
        raise RequestFailed("INVALID_ARGUMENT", str(error)) from None


def check_rows(name: str, shape: tuple[int, ...], max_rows: int) -> None:
    """Checks the size of axis 0.

    Raises:
        InputError: there are too many rows.
    """
    if shape and shape[0] > max_rows:
        raise InputError(f"input {name!r}: {shape[0]} rows; must be at most {max_rows}")
