"""Classify, Regress and MultiInference: signatures on serialised `tf.train.Example`s.

TensorFlow Serving's rule (classifier.cc, regressor.cc) decides which signatures qualify: one string
input `inputs`; outputs `classes` (strings) and `scores` (floats), or `outputs` (floats).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from tfzoo.serving.deadline import Deadline
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.servable import Servable

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def classify(
    servable: Servable, key: str, given: input_pb2.Input, deadline: Deadline
) -> classification_pb2.ClassificationResult:
    """Labels and scores of every example.

    Raises:
        RequestFailed: the signature is not a classifier on examples, or the examples are invalid.
    """
    outputs = _run(servable, key, given, deadline, "classification", {"classes", "scores"})
    count = next(iter(outputs.values())).shape[0]
    shapes = {value.shape for value in outputs.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 2:
        raise _refused(f"Expected Tensor shape: [batch_size num_classes] but got {sorted(shapes)}")
    result = classification_pb2.ClassificationResult()
    labels, scores = outputs.get("classes"), outputs.get("scores")
    if labels is not None and labels.dtype != object:
        raise _refused(f"Expected classes Tensor of DT_STRING. Got: {labels.dtype}")
    if scores is not None and scores.dtype != np.float32:
        raise _refused(f"Expected scores Tensor of DT_FLOAT. Got: {scores.dtype}")
    for row in range(count):
        entry = result.classifications.add()
        for column in range(next(iter(shapes))[1]):
            one = entry.classes.add()
            if labels is not None:
                one.label = labels[row, column]
            if scores is not None:
                one.score = scores[row, column]
    return result


def regress(
    servable: Servable, key: str, given: input_pb2.Input, deadline: Deadline
) -> regression_pb2.RegressionResult:
    """A number for every example.

    Raises:
        RequestFailed: the signature is not a regression on examples, or the examples are invalid.
    """
    values = _run(servable, key, given, deadline, "regression", {"outputs"})["outputs"]
    if values.dtype != np.float32:
        raise _refused(f"Expected output Tensor of DT_FLOAT. Got: {values.dtype}")
    if values.shape not in ((len(values),), (len(values), 1)):
        raise _refused(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{list(values.shape)}"
        )
    result = regression_pb2.RegressionResult()
    for value in values.ravel():
        result.regressions.add(value=value)
    return result


def infer(
    servable: Servable,
    task: inference_pb2.InferenceTask,
    given: input_pb2.Input,
    deadline: Deadline,
) -> inference_pb2.InferenceResult:
    """One task of a MultiInference request.

    Raises:
        RequestFailed: the task is neither of these, or fails.
    """
    key = task.model_spec.signature_name or "serving_default"
    result = inference_pb2.InferenceResult()
    if task.method_name == CLASSIFY:
        result.classification_result.CopyFrom(classify(servable, key, given, deadline))
    elif task.method_name == REGRESS:
        result.regression_result.CopyFrom(regress(servable, key, given, deadline))
    else:
        raise RequestFailed(
            "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
        )
    return result


def _run(
    servable: Servable,
    key: str,
    given: input_pb2.Input,
    deadline: Deadline,
    kind: str,
    names: set[str],
) -> dict[str, np.ndarray]:
    if key not in servable.signature_defs:
        raise _refused(f"No signature was found with the name: {key}")
    signature = servable.signature_defs[key]
    inputs, outputs = signature.inputs, set(signature.outputs)
    strings = "inputs" in inputs and inputs["inputs"].dtype == tf.string.as_datatype_enum
    if len(inputs) != 1 or not strings or not outputs or outputs - names:
        raise _refused(
            f"Expected a {kind} signature: one string input 'inputs', outputs of "
            f"{', '.join(sorted(names))}; {key!r} has inputs {', '.join(sorted(inputs))} and "
            f"outputs {', '.join(sorted(outputs))}; use Predict"
        )
    rows = _serialised(given)
    columns = servable.run(key, {"inputs": rows}, deadline=deadline)
    for name, value in columns.items():
        if value.shape[:1] != rows.shape:
            raise _refused(
                f"Expected {name} output batch size of {len(rows)}. Got: {list(value.shape)}"
            )
    return columns


def _serialised(given: input_pb2.Input) -> np.ndarray:
    """Examples as bytes; a context is prepended to each, which merges the two messages."""
    kind = given.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
    examples = getattr(given, kind).examples if kind else ()
    if not examples:
        raise _refused("Input is empty.")
    rows = np.empty(len(examples), object)
    rows[:] = [context + example.SerializeToString() for example in examples]
    return rows


def _refused(message: str) -> RequestFailed:
    return RequestFailed("INVALID_ARGUMENT", message)


# REST's form


def read_examples(body: dict[str, Any]) -> input_pb2.Input:
    """The `examples` and `context` of a REST request.

    Raises:
        ValueError: they do not have the documented form.
    """
    if "examples" not in body:
        raise ValueError("key 'examples' is expected and was not found")
    rows = body["examples"]
    if not isinstance(rows, list) or not rows:
        raise ValueError("'examples' must be a list of at least one example")
    given = input_pb2.Input()
    examples = given.example_list.examples
    if "context" in body:
        _fill(given.example_list_with_context.context, body["context"])
        examples = given.example_list_with_context.examples
    for row in rows:
        _fill(examples.add(), row)
    return given


def _fill(example: tf.train.Example, values: Any) -> None:
    if not isinstance(values, dict):
        raise ValueError("Example must be a JSON object")
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        kinds = {_kind(name, item) for item in items}
        if len(kinds) > 1:
            raise ValueError(f"Unexpected element type in feature: {name}: {sorted(kinds)} mixed")
        for kind in kinds:
            try:
                getattr(feature, kind).value.extend(map(_plain, items))
            except (ValueError, OverflowError, binascii.Error) as error:
                raise ValueError(f"Feature: {name}: {error}") from None


def _kind(name: str, item: Any) -> str:
    if isinstance(item, (bool, int)):
        return "int64_list"
    if isinstance(item, float):
        return "float_list"
    binary = isinstance(item, dict) and item.keys() == {"b64"} and isinstance(item["b64"], str)
    if isinstance(item, str) or binary:
        return "bytes_list"
    raise ValueError(f"Feature: {name} has element with unexpected JSON type")


def _plain(item: Any) -> Any:
    if isinstance(item, dict):
        return base64.b64decode(item["b64"], validate=True)
    return item.encode() if isinstance(item, str) else item
