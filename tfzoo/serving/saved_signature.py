"""One signature of a SavedModel as a function of named inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.files import expanded
from tfzoo.serving.errors import first_line
from tfzoo.serving.loading import load
from tfzoo.serving.signature import cast, check_dtype, check_names, check_shape
from tfzoo.serving.writer import versions


def load_signature(
    directory: str | Path, name: str = "serving_default"
) -> Callable[..., dict[str, tf.Tensor]]:
    """Loads one signature of a SavedModel, to be called with keyword inputs.

    `keras.layers.TFSMLayer` passes one positional argument, so it cannot call a signature with
    several inputs. The function takes arrays, which are cast to the signature's dtypes if nothing
    but precision is lost, or tensors of those dtypes. It runs eagerly, in `tf.function` and in
    `tf.data.Dataset.map`; gradients pass through it as far as the export kept them.

    Args:
        directory: a version's folder, or a model's folder, whose highest version is used.
        name: the signature's name.

    Returns:
        `call(**inputs) -> outputs` by name; `call.inputs` and `call.outputs` are the
        `tf.TensorSpec`s by name.

    Raises:
        InputError: there is no SavedModel or no such signature. The function raises it if an input
            is missing, unknown, or of the wrong shape or dtype.
    """
    folder = Path(expanded(directory))
    numbered = versions(folder)
    if not (folder / "saved_model.pb").is_file() and numbered:
        folder = numbered[max(numbered)]
    try:
        loaded = load(folder)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"directory={str(directory)!r}: must be a SavedModel: {first_line(error)}"
        ) from None
    if name not in loaded.signatures:
        raise InputError(f"name={name!r}: must be one of {', '.join(loaded.signatures)}")
    function = loaded.signatures[name]
    inputs = function.structured_input_signature[1]

    def call(**given: Any) -> dict[str, tf.Tensor]:
        check_names(inputs, given)
        return function(**{key: _tensor(spec, given[key]) for key, spec in inputs.items()})

    call.loaded = loaded  # type: ignore[attr-defined]  # keeps the weights alive
    call.inputs = inputs  # type: ignore[attr-defined]
    call.outputs = function.structured_outputs  # type: ignore[attr-defined]
    return call


def _tensor(spec: tf.TensorSpec, value: Any) -> tf.Tensor:
    if not tf.is_tensor(value):
        return tf.constant(cast(spec, value), spec.dtype)
    check_dtype(spec, value.dtype)
    check_shape(spec, value.shape)
    return value
