"""The in-process server over real sockets, with both clients and with raw HTTP and gRPC."""

import json
import re
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfzoo import serving
from tfzoo.errors import InputError
from tfzoo.serving import servable
from tfzoo.serving.client import GrpcClient, RequestError, RestClient

WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")


def http(address, body=None, method=None):
    """Status and JSON of a raw request."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        assert error.headers["Content-Type"] == "application/json"
        return error.code, json.load(error)


def refused(call, *arguments):
    with pytest.raises(RequestError) as caught:
        call(*arguments)
    return caught.value


# both protocols' responses


def test_predict(client):
    outputs = client.predict("dense", {"x": X})
    np.testing.assert_allclose(outputs["logits"], X @ (2 * WEIGHTS), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs["classes"], (X @ WEIGHTS).argmax(axis=1))
    assert outputs["logits"].dtype == np.float32
    assert outputs["classes"].dtype in (np.int32, np.int64)


def test_both_clients_take_other_dtypes_where_nothing_is_lost(client):
    whole = np.array([[1, 2, 3]])
    for dtype in ("float64", "float32", "int64", "uint8"):
        logits = client.predict("dense", {"x": whole.astype(dtype)}, "logits")["logits"]
        np.testing.assert_allclose(logits, whole @ (2 * WEIGHTS), rtol=1e-5, atol=1e-6)
    assert client.predict("dense", {"n": np.array([7])}, "small")["n"] == [7]
    for wrong in (300, -1, 1.0, True):
        code = refused(client.predict, "dense", {"n": np.array([wrong])}, "small").code
        assert code in (400, "INVALID_ARGUMENT")


def test_versions_and_models(client):
    for model, version, factor in (("dense", 1, 1), ("dense", 2, 2), ("dense", None, 2)):
        logits = client.predict(model, {"x": X}, "logits", version)["logits"]
        np.testing.assert_allclose(logits, X @ (factor * WEIGHTS), rtol=1e-5, atol=1e-6)
    logits = client.predict("other", {"x": X})["logits"]
    np.testing.assert_allclose(logits, X @ (10 * WEIGHTS), rtol=1e-5, atol=1e-5)


def test_every_kind_of_tensor(client):
    inputs = {
        "first": np.array([[1.0, 2.0], [3.0, 4.0]], "float32"),
        "second": np.array([10, 20]),
        "flag": np.array([True, False]),
        "seed": np.array([7, 7], "int32"),
    }
    outputs = client.predict("dense", inputs, "mix")
    np.testing.assert_array_equal(outputs["mixed"], [[11, 12], [-23, -24]])
    assert outputs["noise"][0] == outputs["noise"][1]
    outputs = client.predict(
        "dense", {"text": np.array([b"ab\x00", "é".encode()], object)}, "strings"
    )
    assert outputs["upper"].tolist() == [b"AB\x00", "é".encode()]
    assert outputs["raw_bytes"].tolist() == [b"ab\x00", "é".encode()]
    assert client.predict("dense", {"n": np.array([255], "uint8")}, "small")["n"] == [255]
    assert client.predict("dense", {"x": X}, "total")["total"] == pytest.approx(5.5)
    outputs = client.predict("dense", {"x": np.array([0.0, -1.0], "float32")}, "log")["log"]
    assert outputs[0] == -np.inf and np.isnan(outputs[1])


def test_status_and_metadata(client):
    assert client.status("dense") == {1: "AVAILABLE", 2: "AVAILABLE"}
    assert client.status("dense", 1) == {1: "AVAILABLE"}
    assert client.metadata("dense")["mix"] == {
        "inputs": {
            "first": {"dtype": "float32", "shape": [None, None]},
            "flag": {"dtype": "bool", "shape": [None]},
            "second": {"dtype": "int64", "shape": [None]},
            "seed": {"dtype": "int32", "shape": [None]},
        },
        "outputs": {
            "mixed": {"dtype": "float32", "shape": [None, None]},
            "noise": {"dtype": "float32", "shape": [None]},
        },
    }


REFUSED = [
    (("nobody", {"x": X}), 404, "NOT_FOUND", r"Servable not found for request: Latest\(nobody\)"),
    (("dense", {"x": X}, "serving_default", 9), 404, "NOT_FOUND", r"Specific\(dense, 9\)"),
    (("dense", {"x": X}, "nothing"), 400, "FAILED_PRECONDITION", '"nothing" not found'),
    (("dense", {}), 400, "INVALID_ARGUMENT", "missing x; must be x"),
    (("dense", {"x": X, "y": X}), 400, "INVALID_ARGUMENT", "unexpected (input )?'?y'?; must be x"),
    (("dense", {"x": X[:, :2]}), 400, "INVALID_ARGUMENT", r"shape \[2, 2\] must be \[any, 3\]"),
    (("dense", {"x": X[0]}), 400, "INVALID_ARGUMENT", r"shape \[3\] must be \[any, 3\]"),
    (("dense", {"x": np.full((2, 3), "a")}), 400, "INVALID_ARGUMENT", "must be .*float32"),
    (("dense", {"n": np.array([1.5])}, "small"), 400, "INVALID_ARGUMENT", "uint8"),
    (("dense", {"text": np.array(["no number"])}, "decode"), 400, "INVALID_ARGUMENT", "number"),
]


@pytest.mark.parametrize(("arguments", "status", "code", "words"), REFUSED)
def test_refusals(client, arguments, status, code, words):
    error = refused(client.predict, *arguments)
    assert error.code == (status if isinstance(client, RestClient) else code)
    assert re.search(words, str(error)), error
    assert "\n" not in str(error)
    assert client.predict("dense", {"x": X})  # it is still running


def test_status_and_metadata_of_what_is_not_there(client):
    wanted = 404 if isinstance(client, RestClient) else "NOT_FOUND"
    for call in (client.status, client.metadata):
        assert refused(call, "nobody").code == wanted
        assert refused(call, "dense", 9).code == wanted


def test_a_body_that_is_too_large(client):
    error = refused(client.predict, "dense", {"x": np.ones((50_000, 3), "float32")})
    assert error.code == (413 if isinstance(client, RestClient) else "RESOURCE_EXHAUSTED")
    assert client.predict("dense", {"x": X})


def test_many_threads(client):
    """Every caller gets its own response."""
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for rows in rng.integers(1, 20, 10):
            x = rng.normal(size=(rows, 3)).astype("float32")
            model, factor = (("dense", 2), ("other", 10))[rows % 2]
            logits = client.predict(model, {"x": x}, "serving_default")["logits"]
            if not np.allclose(logits, x @ (factor * WEIGHTS), rtol=1e-4, atol=1e-4):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=[seed]) for seed in range(8)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert not wrong and not any(thread.is_alive() for thread in threads)


# REST only


def test_both_forms(url):
    rows = {"signature_name": "logits", "instances": X.tolist()}
    named = {"signature_name": "logits", "instances": [{"x": row} for row in X.tolist()]}
    columns = {"signature_name": "logits", "inputs": X.tolist()}
    expected = (X @ (2 * WEIGHTS)).astype("float32")
    for body, key in ((rows, "predictions"), (named, "predictions"), (columns, "outputs")):
        status, answer = http(f"{url}/v1/models/dense:predict", body)
        assert status == 200 and list(answer) == [key]
        np.testing.assert_allclose(answer[key], expected, rtol=1e-5, atol=1e-6)
    _, answer = http(f"{url}/v1/models/dense/versions/1:predict", {"instances": X[:1].tolist()})
    [row] = answer["predictions"]
    assert row.keys() == {"logits", "classes"}
    np.testing.assert_allclose(row["logits"], X[0] @ WEIGHTS, rtol=1e-5)
    body = {"signature_name": "strings", "instances": [{"b64": "/wA="}, "é"]}
    status, answer = http(f"{url}/v1/models/dense:predict", body)
    assert status == 400 and "_bytes" in answer["error"]  # `upper` cannot hold it as text
    body = {"signature_name": "strings", "instances": ["é"]}
    assert http(f"{url}/v1/models/dense:predict", body)[1] == {
        "predictions": [{"raw_bytes": {"b64": "w6k="}, "upper": "é"}]
    }


def test_status_is_the_documentations(url):
    entry = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert http(f"{url}/v1/models/dense/versions/1") == (
        200,
        {"model_version_status": [{"version": "1", **entry}]},
    )
    assert http(f"{url}/v1/models/dense") == (
        200,
        {"model_version_status": [{"version": v, **entry} for v in ("2", "1")]},
    )


def test_metadata_is_the_documentations(url):
    status, answer = http(f"{url}/v1/models/other/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "other", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    tensor = signature["inputs"]["x"]
    assert tensor["dtype"] == "DT_FLOAT"
    assert tensor["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}, {"size": "3", "name": ""}],
        "unknown_rank": False,
    }
    assert http(f"{url}/v1/models/dense/versions/1/metadata")[1]["model_spec"]["version"] == "1"


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "words"),
    [
        ("/v1/models/dense:predict", b"{not json", None, 400, "JSON Parse error"),
        ("/v1/models/dense:predict", b"", "POST", 400, "JSON Parse error"),
        ("/v1/models/dense:predict", b"\xff\xfe\x00", None, 400, "JSON Parse error"),
        ("/v1/models/dense:predict", b"[" * 90_000, None, 400, "JSON Parse error"),
        ("/v1/models/dense:predict", b'{"inputs": 1' + b"0" * 5000 + b"}", None, 400, "JSON"),
        ("/v1/models/dense:predict", [1], None, 400, "object"),
        ("/v1/models/dense:predict", {"signature_name": 3}, None, 400, "signature_name"),
        ("/v1/models/dense:predict", {}, None, 400, "instances"),
        ("/v1/models/dense:predict", {"instances": [[1], [2, 3]]}, None, 400, "length"),
        ("/v1/models/dense:predict", {"inputs": [[True] * 3]}, None, 400, "number"),
        ("/v1/models/dense:classify", {"examples": [{}]}, None, 400, "use Predict"),
        ("/v1/models/dense:predict", None, "GET", 400, "Malformed request: GET"),
        ("/v1/models/dense", {"inputs": 1}, None, 400, "Malformed request: POST"),
        ("/v1/models/dense", None, "DELETE", 400, "Malformed request: DELETE"),
        ("/v1/models/dense:predict", {"inputs": 1}, "PUT", 400, "Malformed request: PUT"),
        ("/v1/models/dense/versions/x", None, None, 400, "Malformed"),
        ("/v1/models/dense/versions/99999999999999999999", None, None, 400, "convert version"),
        ("/v1/models/dense/versions/" + "9" * 5000, None, None, 400, "convert version"),
        ("/v1/models/dense/versions/%D9%A1", None, None, 400, "Malformed"),  # an Arabic digit
        ("/v1/models", None, None, 400, "Missing model name"),
        ("/elsewhere", None, None, 404, "No such path"),
    ],
)
def test_bad_requests(url, path, body, method, status, words):
    code, answer = http(url + path, body, method)
    assert (code, list(answer)) == (status, ["error"]) and words in answer["error"]
    assert http(f"{url}/v1/models/dense")[0] == 200


def test_a_client_that_leaves_or_talks_nonsense(server, url):
    address = ("127.0.0.1", server.rest_port)
    for data in (
        b"\x00\xff\r\n\r\n",
        b"POST /v1/models/dense:predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n{",
        b"POST /v1/models/dense:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n{}",
        b"GET /v1/models/dense",
    ):
        with socket.create_connection(address) as connection:
            connection.sendall(data)
    assert http(f"{url}/v1/models/dense")[0] == 200


def test_chunked_bodies_have_the_same_limit(server):
    head = (
        b"POST /v1/models/dense:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = json.dumps({"signature_name": "logits", "instances": X.tolist()}).encode()
    for text, status in ((body, b" 200 "), (body + b" " * 200_000, b" 413 ")):
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
            connection.sendall(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(text), text))
            assert status in connection.recv(100)
    data = b" " * 100_001  # one more than allowed, announced in advance
    assert http(f"http://127.0.0.1:{server.rest_port}/v1/models/dense:predict", data)[0] == 413


# gRPC only


@pytest.fixture(scope="module")
def stub(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def code(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code().name


def request_for(x):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "dense"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(x))
    return request


def test_output_filter_and_model_spec(stub):
    request = request_for(X)
    request.output_filter.append("classes")
    answer = stub.Predict(request)
    assert list(answer.outputs) == ["classes"]
    assert answer.model_spec.name == "dense" and answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"
    request.output_filter.append("nothing")
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"


def test_grpc_refusals(stub):
    assert code(stub.Predict, predict_pb2.PredictRequest()) == "INVALID_ARGUMENT"
    request = request_for(X)
    request.model_spec.version_label = "stable"
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    for wrong in ("float64", "int32"):
        assert code(stub.Predict, request_for(X.astype(wrong))) == "INVALID_ARGUMENT"
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "dense"
    assert code(stub.GetModelMetadata, request) == "INVALID_ARGUMENT"
    request.metadata_field.append("other")
    assert code(stub.GetModelMetadata, request) == "INVALID_ARGUMENT"
    request = classification_pb2.ClassificationRequest()
    assert code(stub.Classify, request) == "INVALID_ARGUMENT"
    request.model_spec.name = "dense"
    assert code(stub.Classify, request) == "INVALID_ARGUMENT"


def test_tensors_that_lie_about_their_size(stub):
    request = request_for(X)
    proto = request.inputs["x"]
    proto.ClearField("tensor_content")
    proto.float_val.append(1.0)
    proto.tensor_shape.dim[0].size = 10**12  # one value, repeated: 12 TB
    assert code(stub.Predict, request) == "RESOURCE_EXHAUSTED"
    proto.tensor_shape.dim[0].size = -1
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    proto.ClearField("float_val")
    proto.tensor_content = b"abc"
    proto.tensor_shape.dim[0].size = 2
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    request.inputs["x"].dtype = 99
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    assert stub.Predict(request_for(X)).outputs


# the server's lifetime


def test_a_new_version_takes_over_and_a_removed_one_steps_back(exported, tmp_path):
    folder = tmp_path / "dense"
    shutil.copytree(exported / "dense" / "1", folder / "1")
    with serving.serve(
        folder, rest_port=0, grpc_port=0, backend="in-process", file_system_poll_wait_seconds=0.05
    ) as server:
        client = RestClient(f"http://127.0.0.1:{server.rest_port}")

        def factor():
            logits = client.predict("dense", {"x": X}, "logits")["logits"]
            return round(float((logits / (X @ WEIGHTS)).mean()), 3)

        def until(condition):
            end = time.monotonic() + 30
            while not condition():
                assert time.monotonic() < end
                time.sleep(0.02)

        assert server.models == ["dense"] and factor() == 1
        shutil.copytree(exported / "dense" / "2", folder / ".tmp-2")
        assert factor() == 1
        (folder / ".tmp-2").rename(folder / "2")
        until(lambda: factor() == 2)
        (folder / "3").mkdir()
        (folder / "3" / "saved_model.pb").write_bytes(b"broken")
        until(lambda: client.status("dense") == {1: "AVAILABLE", 2: "AVAILABLE", 3: "END"})
        assert factor() == 2
        assert refused(client.predict, "dense", {"x": X}, "logits", 3).code == 404
        shutil.rmtree(folder / "3")
        shutil.rmtree(folder / "2")
        until(lambda: factor() == 1)


def test_close_finishes_requests_at_hand_and_frees_the_ports(exported, monkeypatch):
    server = serving.serve(exported / "other", rest_port=0, grpc_port=0, backend="in-process")
    ports = {"rest_port": server.rest_port, "grpc_port": server.grpc_port}
    rest, stub = f"http://127.0.0.1:{server.rest_port}", f"127.0.0.1:{server.grpc_port}"
    started, plain = threading.Semaphore(0), servable.Servable.run

    def slow(*arguments):
        started.release()
        time.sleep(0.5)
        return plain(*arguments)

    monkeypatch.setattr(servable.Servable, "run", slow)
    answers = []

    def ask_rest():
        answers.append(http(f"{rest}/v1/models/other:predict", {"instances": X.tolist()})[0])

    def ask_grpc():
        answers.append(GrpcClient(stub).predict("other", {"x": X})["logits"].shape)

    threads = [threading.Thread(target=ask) for ask in (ask_rest, ask_grpc)]
    [thread.start() for thread in threads]
    assert started.acquire(timeout=30) and started.acquire(timeout=30)
    server.close()
    server.close()
    [thread.join(30) for thread in threads]
    assert set(answers) == {200, (2, 4)}
    assert refused(RestClient(rest).status, "other").code == "UNAVAILABLE"
    assert refused(GrpcClient(stub, timeout=5).status, "other").code == "UNAVAILABLE"
    with serving.serve(exported / "other", backend="in-process", model_name="mine", **ports) as new:
        assert new.models == ["mine"] and RestClient(rest).status("mine") == {1: "AVAILABLE"}


def test_a_port_that_is_taken(exported, server):
    for key in ("rest_port", "grpc_port"):
        ports = {"rest_port": 0, "grpc_port": 0, key: getattr(server, key)}
        with pytest.raises(InputError, match=f"{key}={ports[key]}"):
            serving.serve(exported, backend="in-process", **ports)


def test_folders_without_models(exported, tmp_path):
    def fails(folder, **keywords):
        with pytest.raises(InputError) as caught:
            serving.serve(folder, rest_port=0, grpc_port=0, backend="in-process", **keywords)
        return str(caught.value)

    assert "no such folder" in fails(tmp_path / "nowhere")
    assert "no models" in fails(tmp_path)
    assert "the model's folder above" in fails(exported / "dense" / "1")
    assert "holds dense, other" in fails(exported, model_name="mine")
    broken = tmp_path / "m" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"broken")
    assert "no version can be loaded: 1:" in fails(tmp_path / "m")
    assert "backend='mine'" in _backend_error(exported)


def _backend_error(folder):
    with pytest.raises(InputError) as caught:
        serving.serve(folder, backend="mine")
    return str(caught.value)


def test_clients_say_what_is_wrong_with_an_address():
    with pytest.raises(InputError, match="http://HOST:PORT"):
        RestClient("127.0.0.1:8501")
    assert refused(RestClient("http://127.0.0.1:9").status, "m").code == "UNAVAILABLE"


def test_half_an_answer_is_no_answer():
    """What a client gets from a server that is killed while responding."""
    text = b'{"model_version_status": []}'
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
    for answer in (b"", b"HTTP/1.1 200", head[:-1], head + text[:10], head + text[:-1]):
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def once(listening=listening, answer=answer):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(10_000)
                    connection.sendall(answer)

            thread = threading.Thread(target=once)
            thread.start()
            client = RestClient(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=10)
            assert refused(client.status, "m").code == "UNAVAILABLE"
            thread.join()
