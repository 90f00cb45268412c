"""Randomly mutated requests get a result or an error code, and the server survives."""

import json
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from mutations import OFTEN, mutated

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")
BODY = json.dumps({"signature_name": "logits", "instances": X.tolist()}).encode()
CODES = {200, 400, 404, 413}
WORDS = {"INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}


@pytest.fixture(autouse=True)
def alive(client):
    before = client.predict("dense", {"x": X}, "logits")["logits"]
    yield
    np.testing.assert_array_equal(client.predict("dense", {"x": X}, "logits")["logits"], before)


def status(address, body):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, body), timeout=30) as answer:
            json.load(answer)
            return answer.status
    except urllib.error.HTTPError as error:
        assert json.load(error)["error"]
        return error.code


@OFTEN
@given(body=mutated(BODY) | st.binary(max_size=60))
def test_http_bodies(url, body):
    assert status(f"{url}/v1/models/dense:predict", body) in CODES


@OFTEN
@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=30))
def test_http_paths(url, path):
    assert status(f"{url}/v1/models/{path}", BODY) in CODES | {405}


def test_grpc_messages(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "dense"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(X))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        @OFTEN
        @given(mutated(request.SerializeToString()) | st.binary(max_size=60))
        def bend(data):
            try:
                call(data, timeout=30)
            except grpc.RpcError as error:
                assert error.code().name in WORDS

        bend()
