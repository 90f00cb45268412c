"""Warm-up requests, which TensorFlow Serving runs before a model becomes available."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from tfzoo.serving.signature import Signature

if TYPE_CHECKING:
    from tfzoo.serving.servable import Servable

FILE = "tf_serving_warmup_requests"
MOST = 1000
"""Maximum number of warm-up requests, as in TensorFlow Serving."""


def write_warmup(folder: Path, model: str, signatures: Mapping[str, Signature]) -> None:
    """Writes a TFRecord of PredictionLogs: for each signature, one row and all example rows.

    Args:
        folder: the version's `assets.extra`.
        model: the model's name in the requests.
        signatures: the signatures to call, with their examples.

    Raises:
        ImportError: tensorflow-serving-api is not installed.
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    with tf.io.TFRecordWriter(str(folder / FILE)) as file:
        for name, signature in signatures.items():
            for rows in (slice(0, 1), slice(None)) if signature.batched else (None,):
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = name
                for key, value in signature.examples.items():
                    part = value if rows is None else value[rows]
                    proto = tf.make_tensor_proto(part, signature.inputs[key].dtype)
                    request.inputs[key].CopyFrom(proto)
                log = prediction_log_pb2.PredictLog(request=request)
                record = prediction_log_pb2.PredictionLog(predict_log=log)
                file.write(record.SerializeToString())


def warm_up(servable: Servable, folder: Path) -> int:
    """Runs the warm-up requests in a version's folder and returns their number.

    Raises:
        RequestFailed: a request is refused.
        tf.errors.OpError, ValueError: the file or a request in it cannot be read.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    path = folder / "assets.extra" / FILE
    if not path.is_file():
        return 0
    count = 0
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.WhichOneof("log_type") != "predict_log":
            continue
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        key = request.model_spec.signature_name or "serving_default"
        servable.run(key, inputs, request.output_filter)
        count += 1
        if count == MOST:
            break
    return count
