"""Warm-up requests: what TensorFlow Serving runs before it calls a model available."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from tfzoo.serving.signature import Signature

FILE = "tf_serving_warmup_requests"


def write_warmup(folder: Path, model: str, signatures: Mapping[str, Signature]) -> None:
    """Writes a TFRecord of PredictionLog protos: per signature one row, and all example rows.

    Args:
        folder: the version's `assets.extra`.
        model: the name in the requests.
        signatures: what is asked, with their examples.

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
