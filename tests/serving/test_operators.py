"""Operations: health, reflection, metrics, reload, TLS, batched requests."""

import shutil
import subprocess
import threading
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from support import TESTS
from tfzoo import serving
from tfzoo.errors import InputError
from tfzoo.serving.client import GrpcClient, RequestError
from tfzoo.serving.config_files import Batching, read_batching, read_monitoring, read_ssl
from tfzoo.serving.servable import Servable

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")
WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5
EXPORT = TESTS.parent / "export"


@pytest.fixture(scope="module")
def observed(exported, tmp_path_factory):
    """A server with metrics and batched requests, and a channel to it."""
    folder = tmp_path_factory.mktemp("observed") / "dense"
    shutil.copytree(exported / "dense" / "2", folder / "2")
    with (
        serving.serve(
            folder,
            rest_port=0,
            grpc_port=0,
            backend="in-process",
            monitoring_config_file=str(EXPORT / "monitoring.config"),
            enable_batching=True,
            batching_parameters_file=str(EXPORT / "batching.config"),
            file_system_poll_wait_seconds=0.05,
        ) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        yield server, channel, folder


def read(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_health_and_reflection(observed):
    _, channel, _ = observed
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "tensorflow.serving.PredictionService", "PredictionService", "ModelService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= set(
        services
    )


def test_metrics_have_tensorflow_servings_names(observed):
    server, channel, _ = observed
    with GrpcClient(f"127.0.0.1:{server.grpc_port}") as client:
        client.predict("dense", {"x": X})
        for name in ("dense", "nobody"):
            with pytest.raises(RequestError):
                client.predict(name, {"x": X}, "nothing")
    url = f"http://127.0.0.1:{server.rest_port}"
    kind, page = read(f"{url}/monitoring/prometheus/metrics")
    lines = page.splitlines()
    assert kind == "text/plain"
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert ':tensorflow:serving:request_count{model_name="dense",status="OK"} 1.0' in lines
    failed = 'request_count{model_name="dense",status="FAILED_PRECONDITION"} 1.0'
    assert f":tensorflow:serving:{failed}" in lines
    assert ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1.0' in lines
    labels = 'API="Predict",entrypoint="GRPC",model_name="dense"'
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 1.0" in lines
    assert any(line.startswith(":tensorflow:serving:model_warmup_latency_sum") for line in lines)
    assert not any("_created" in line for line in lines)
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(f"{url}/monitoring/prometheus/metrics", b"")


def test_metrics_are_off_without_their_file(url):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/monitoring/prometheus/metrics")


def test_requests_of_several_clients_are_joined(observed):
    """In one run of the model, and every caller gets its own rows."""
    server, _, _ = observed
    start, wrong = threading.Barrier(16), []

    def ask(seed):
        rng = np.random.default_rng(seed)
        with GrpcClient(f"127.0.0.1:{server.grpc_port}") as client:
            start.wait(30)
            for _ in range(5):
                x = rng.normal(size=(1 + seed % 3, 3)).astype("float32")
                logits = client.predict("dense", {"x": x}, "logits")["logits"]
                if not np.allclose(logits, x @ (2 * WEIGHTS), rtol=1e-4, atol=1e-4):
                    wrong.append(seed)

    threads = [threading.Thread(target=ask, args=[seed]) for seed in range(16)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    assert not wrong
    with GrpcClient(f"127.0.0.1:{server.grpc_port}") as client:
        assert client.predict("dense", {"x": X}, "total")["total"] == pytest.approx(5.5)
        with pytest.raises(RequestError, match="INVALID_ARGUMENT"):  # as TensorFlow Serving
            client.predict("dense", {"x": np.ones((33, 3), "float32")}, "logits")


class Counts(tf.Module):
    """`y = x + the batch's number of rows`: shows what was run together."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False)
    def rows(self, x):
        return {"y": 0 * x + tf.cast(tf.shape(x)[0], tf.float32)}


def test_joined_rows_run_together(tmp_path):
    model = Counts()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures=model.rows)
    joining = Batching(max_batch_size=8, batch_timeout_micros=2_000_000, num_batch_threads=1)
    servable = Servable("counts", 1, tmp_path / "1", joining)
    answers = []

    def ask():
        answers.append(servable.run("serving_default", {"x": np.zeros(1, "float32")})["y"][0])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    servable.close()
    assert answers == [8.0] * 8


def test_the_models_are_changed_by_a_call(observed, exported):
    server, channel, folder = observed
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    text = 'model_config_list {{ config {{ name: "{}" base_path: "{}" }} }}'

    def reload(name, path):
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(text.format(name, path), request.config)
        return stub.HandleReloadConfigRequest(request).status

    try:
        assert reload("other", exported / "other").error_code == 0
        with GrpcClient(f"127.0.0.1:{server.grpc_port}") as client:
            assert client.predict("other", {"x": X})["logits"].shape == (2, 4)
            with pytest.raises(RequestError, match="NOT_FOUND"):
                client.predict("dense", {"x": X})
        status = reload("broken", folder.parent)
        assert status.error_code == 3 and "no version can be loaded" in status.error_message
    finally:
        assert reload("dense", folder).error_code == 0


def test_tls(exported, tmp_path):
    key, certificate = _certificate(tmp_path)
    quoted = {name: text.replace("\n", "\\n") for name, text in (("k", key), ("c", certificate))}
    config = tmp_path / "ssl.config"
    config.write_text(f'server_key: "{quoted["k"]}" server_cert: "{quoted["c"]}"')
    with serving.serve(
        exported / "other",
        rest_port=0,
        grpc_port=0,
        backend="in-process",
        ssl_config_file=str(config),
        enable_model_warmup=False,
    ) as server:
        address = f"localhost:{server.grpc_port}"
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "other"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(X))
        credentials = grpc.ssl_channel_credentials(certificate.encode())
        with grpc.secure_channel(address, credentials) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert stub.Predict(request, timeout=30).outputs
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
            prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=5)


def _certificate(folder):
    """A key and a certificate for localhost, in PEM."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    name = ["-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(["openssl", *words.split(), *name, *files], check=True, capture_output=True)
    return (folder / "key.pem").read_text(), (folder / "cert.pem").read_text()


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (read_batching, "max_batch_size { value: 0 }", "max_batch_size=0: must be from 1"),
        (
            read_batching,
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            r"allowed_batch_sizes=\[4\]: must be increasing and end in 8",
        ),
        (read_batching, "pad_variable_length_inputs: true", "must be false here"),
        (read_batching, "batch_size: 3", "must be BatchingParameters in text form"),
        (read_monitoring, "prometheus: 1", "must be MonitoringConfig in text form"),
        (read_ssl, 'server_key: "/etc/key.pem"', "server_key: must hold the text of a PEM file"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path, reader, text, words):
    (tmp_path / "f").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        reader(str(tmp_path / "f"))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="No such file"):
        reader(str(tmp_path / "nowhere"))
