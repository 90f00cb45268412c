#!/usr/bin/env python3
"""Queries a served model over REST or gRPC; does not need tfzoo.

REST needs only numpy, gRPC needs tensorflow-serving-api (which installs TensorFlow):

    python client.py rest 127.0.0.1:8501 digits --metadata
    python client.py rest 127.0.0.1:8501 digits inputs.npz
    python client.py grpc 127.0.0.1:8500 digits inputs.npz --signature serving_default --version 1

inputs.npz holds one array per input, by its name, of the signature's dtype, rows on axis 0;
inputs.json holds {"name": nested lists} (REST). Answers are printed as JSON.
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np


def to_json(value):
    """An array as nested lists; binary strings as {"b64": ...}."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind == "O" and value.ndim:
        return [to_json(item) for item in value]
    return to_json(value.tolist()) if value.ndim == 0 else value.tolist()


def _is_text(value):
    return isinstance(value, np.ndarray) and value.dtype.kind in "SU"


def ask_rest(options, inputs):
    """Sends inputs in column form and returns the parsed JSON; GET if there are no inputs."""
    path = f"/v1/models/{options.model}"
    path += f"/versions/{options.version}" if options.version else ""
    if inputs is None:
        request = urllib.request.Request(f"http://{options.address}{path}/metadata")
    else:
        body = {
            "signature_name": options.signature,
            "inputs": {
                name: to_json(np.asarray(value, object) if _is_text(value) else value)
                for name, value in inputs.items()
            },
        }
        request = urllib.request.Request(
            f"http://{options.address}{path}:predict",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
    try:
        with urllib.request.urlopen(request, timeout=options.timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code}: {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"{options.address}: {error}")


def ask_grpc(options, inputs):
    """Sends arrays and returns nested lists by output name."""
    import grpc
    import tensorflow as tf
    from google.protobuf.json_format import MessageToDict
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(options.address, unlimited) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        if inputs is None:
            request = get_model_metadata_pb2.GetModelMetadataRequest()
            request.metadata_field.append("signature_def")
            call = stub.GetModelMetadata
        else:
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = options.signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            call = stub.Predict
        request.model_spec.name = options.model
        if options.version:
            request.model_spec.version.value = options.version
        try:
            answer = call(request, timeout=options.timeout)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")
    if inputs is None:
        table = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(table)
        return MessageToDict(table, preserving_proto_field_name=True)
    return {name: to_json(tf.make_ndarray(proto)) for name, proto in answer.outputs.items()}


def main():
    """Runs `client.py` with the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("protocol", choices=["rest", "grpc"])
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("model")
    parser.add_argument("inputs", nargs="?", help=".npz, or .json for REST")
    parser.add_argument("--metadata", action="store_true", help="print the model's signatures")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--version", type=int, help="default: the newest one")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds")
    options = parser.parse_args()
    if options.metadata:
        inputs = None
    elif options.inputs is None:
        parser.error("give inputs, or --metadata")
    elif options.inputs.endswith(".json"):
        inputs = json.loads(Path(options.inputs).read_text())
    else:
        inputs = dict(np.load(options.inputs, allow_pickle=False))
    ask = ask_rest if options.protocol == "rest" else ask_grpc
    print(json.dumps(ask(options, inputs)))


if __name__ == "__main__":
    main()
