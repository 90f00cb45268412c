"""Bounded work: rows, elements, concurrent calls, deadlines, memory after a peak."""

import json
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tfzoo import serving
from tfzoo.errors import InputError
from tfzoo.serving import memory, servable
from tfzoo.serving.deadline import Deadline
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.options import ServerOptions

X = np.ones((2, 3), "float32")


def request_for(x):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "other"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    return request


@pytest.fixture(scope="module")
def small(exported):
    """A server with narrow limits, its gRPC stub, and its address."""
    with (
        serving.serve(
            exported / "other",
            rest_port=0,
            grpc_port=0,
            backend="in-process",
            max_calls=2,
            max_rows=5000,
            max_elements=20_000,
            rest_api_timeout_in_ms=2000,
        ) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        yield stub, f"http://127.0.0.1:{server.rest_port}/v1/models/other:predict"


def post(url, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(url, data, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]


def code(call, *arguments, **keywords):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **keywords)
    return caught.value.code().name


def test_rows_and_elements(small):
    stub, url = small
    assert stub.Predict(request_for(np.ones((5000, 3), "float32"))).outputs["logits"].float_val
    assert code(stub.Predict, request_for(np.ones((5001, 3), "float32"))) == "INVALID_ARGUMENT"
    assert post(url, {"instances": [[1, 2, 3]] * 4000})[0] == 200
    start = time.monotonic()
    status, text = post(url, b'{"instances": [' + b"[]," * 2_000_000 + b"[]]}")
    assert status == 413 and "elements; must be at most 20000" in text
    assert time.monotonic() - start < 10


def test_calls_at_once(small, monkeypatch):
    stub, url = small
    begun, go, plain = threading.Semaphore(0), threading.Event(), servable.Servable.run

    def slow(*arguments):
        begun.release()
        assert go.wait(30)
        return plain(*arguments)

    monkeypatch.setattr(servable.Servable, "run", slow)
    calls = [stub.Predict.future(request_for(X)) for _ in range(2)]
    assert begun.acquire(timeout=30) and begun.acquire(timeout=30)
    assert code(stub.Predict, request_for(X), timeout=30) == "UNAVAILABLE"
    status, text = post(url, {"instances": X.tolist()})
    assert status == 503 and "2 calls" in text
    assert urllib.request.urlopen(url.removesuffix(":predict")).status == 200  # still reported
    go.set()
    assert all(call.result().outputs for call in calls)


def test_what_nobody_waits_for_is_not_run(small, monkeypatch):
    """An expired deadline, or a caller who has gone, ends a call between its parts."""
    stub, url = small
    monkeypatch.setattr(servable, "ROWS", 10)
    ran, plain = [], servable.Deadline.check

    def check(self):
        plain(self)
        ran.append(time.sleep(0.05))

    monkeypatch.setattr(servable.Deadline, "check", check)
    large = np.ones((5000, 3), "float32")
    assert code(stub.Predict, request_for(large), timeout=0.5) == "DEADLINE_EXCEEDED"
    call = stub.Predict.future(request_for(large))
    time.sleep(0.3)
    call.cancel()
    assert post(url, {"instances": [[1, 2, 3]] * 4000})[0] == 504
    time.sleep(0.3)
    before = len(ran)
    time.sleep(0.3)
    assert len(ran) == before < 200
    with pytest.raises(RequestFailed, match="deadline"):
        plain(Deadline(0.0))
    with pytest.raises(RequestFailed, match="disconnected"):
        plain(Deadline(None, lambda: False))


def test_parts_of_a_large_call_are_the_whole(small, monkeypatch):
    x = np.random.default_rng(0).normal(size=(101, 3)).astype("float32")
    stub = small[0]
    whole = stub.Predict(request_for(x)).outputs["logits"]
    monkeypatch.setattr(servable, "ROWS", 10)
    np.testing.assert_allclose(
        tf.make_ndarray(stub.Predict(request_for(x)).outputs["logits"]),
        tf.make_ndarray(whole),
        rtol=1e-6,
    )


def test_memory_goes_back_after_a_peak():
    process = psutil.Process()
    pieces = [bytes(60_000) for _ in range(3000)]  # below the size that is mapped separately
    kept = pieces[-1]
    peak = process.memory_info().rss
    del pieces
    memory.note(memory.LARGE)
    memory.give_back()
    assert peak - process.memory_info().rss > 100 << 20 and kept


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_calls": 0}, "max_calls=0: must be at least 1"),
        ({"request_seconds": -1.0}, "request_seconds=-1.0: must be at least 0"),
        ({"max_num_load_retries": -1}, "must be at least 0"),
        ({"batching_parameters_file": "f"}, "must come with enable_batching"),
    ],
)
def test_limits_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        ServerOptions(**options)
