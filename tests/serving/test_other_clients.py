"""Third-party clients: min-tfs-client, Node's fetch and grpc-js, curl."""

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from tensorflow_serving.apis import prediction_service_pb2

X = np.array([[1.0, 2.0, 3.0]], "float32")
WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5
LOGITS = X @ (2 * WEIGHTS)


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_min_tfs_client(server):
    """It reads only typed fields.

    Its wheel holds TensorFlow's message files of 2020, which would overwrite those of TensorFlow
    itself: `pip install --no-deps --target FOLDER min-tfs-client`, and FOLDER on PYTHONPATH.
    """
    if importlib.util.find_spec("min_tfs_client") is None:
        pytest.skip("min-tfs-client is not on PYTHONPATH (it cannot be installed with TensorFlow)")
    from min_tfs_client.requests import TensorServingClient
    from min_tfs_client.tensors import tensor_proto_to_ndarray

    client = TensorServingClient("127.0.0.1", server.grpc_port)
    answer = client.predict_request("dense", {"x": X})
    logits = tensor_proto_to_ndarray(answer.outputs["logits"])
    np.testing.assert_allclose(logits, LOGITS, rtol=1e-5)
    assert tensor_proto_to_ndarray(answer.outputs["classes"]).shape == (1,)


def _descriptors(path):
    """The messages of the gRPC interface, with their imports first."""
    files = descriptor_pb2.FileDescriptorSet()
    seen = set()

    def add(file):
        if file.name not in seen:
            seen.add(file.name)
            for other in file.dependencies:
                add(other)
            file.CopyToProto(files.file.add())

    add(prediction_service_pb2.DESCRIPTOR)
    path.write_bytes(files.SerializeToString())
    return path


def test_node(server, tmp_path):
    """`fetch`, and gRPC if @grpc/grpc-js and @grpc/proto-loader are installed."""
    needs("node")
    ports = [str(server.rest_port), str(server.grpc_port)]
    script = Path(__file__).with_name("client.mjs")
    done = subprocess.run(
        ["node", script, "127.0.0.1", *ports, _descriptors(tmp_path / "messages")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    np.testing.assert_allclose(answer["rest"], LOGITS, rtol=1e-5)
    assert answer["refused"] == 404
    if "grpc" not in answer:
        pytest.skip("REST passed; @grpc/grpc-js is not installed")
    np.testing.assert_allclose(answer["grpc"], LOGITS[0], rtol=1e-5)


def test_curl(url, tmp_path):
    needs("curl")
    (tmp_path / "body").write_text(json.dumps({"signature_name": "logits", "inputs": X.tolist()}))
    command = ["curl", "--silent", "--show-error", "--compressed", "--data-binary"]
    done = subprocess.run(
        [*command, f"@{tmp_path / 'body'}", f"{url}/v1/models/dense:predict"],
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout)["outputs"], LOGITS, rtol=1e-5)
    head = subprocess.run(
        ["curl", "--silent", "--head", f"{url}/v1/models/dense"], capture_output=True, timeout=60
    )
    assert head.stdout.startswith(b"HTTP/1.1 200")
