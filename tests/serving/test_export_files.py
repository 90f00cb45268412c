"""The files under export/: well formed, and the stand-alone client gets answers."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf import wrappers_pb2 as wrappers
from tensorflow_serving.config import model_server_config_pb2

from support import TESTS

EXPORT = TESTS.parent / "export"
WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")

# fields of session_bundle_config.proto and monitoring_config.proto, which the package lacks
INT64 = ".google.protobuf.Int64Value"
MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": INT64,
        "batch_timeout_micros": INT64,
        "max_enqueued_batches": INT64,
        "num_batch_threads": INT64,
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": ".test.PrometheusConfig"},
}


def message(name):
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="test", syntax="proto3")
    file.dependency.append(wrappers.DESCRIPTOR.name)
    for key, fields in MESSAGES.items():
        entry = file.message_type.add(name=key)
        for number, (field, type_name) in enumerate(fields.items(), 1):
            made = entry.field.add(name=field, number=number, label=kind.LABEL_OPTIONAL)
            if type_name.startswith("."):
                made.type, made.type_name = kind.TYPE_MESSAGE, type_name
            else:
                made.type = getattr(kind, f"TYPE_{type_name.split()[-1].upper()}")
            if type_name.startswith("repeated"):
                made.label = kind.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))()


def test_configs_parse():
    models = text_format.Parse(
        (EXPORT / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    [config] = models.model_config_list.config
    assert config.base_path == f"/models/{config.name}"
    batching = text_format.Parse(
        (EXPORT / "batching.config").read_text(), message("BatchingParameters")
    )
    assert batching.allowed_batch_sizes[-1] == batching.max_batch_size.value
    monitoring = text_format.Parse(
        (EXPORT / "monitoring.config").read_text(), message("MonitoringConfig")
    )
    assert monitoring.prometheus_config.enable


def test_compose_mounts_the_files_that_are_here():
    [service] = yaml.safe_load((EXPORT / "compose.yaml").read_text())["services"].values()
    flags = dict(word.removeprefix("--").partition("=")[::2] for word in service["command"])
    for value in flags.values():
        if value.startswith("/config/"):
            assert (EXPORT / value.removeprefix("/config/")).is_file()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert set(flags) <= {  # of tensorflow_serving/model_servers/main.cc
        "port",
        "rest_api_port",
        "model_config_file",
        "model_config_file_poll_wait_seconds",
        "file_system_poll_wait_seconds",
        "enable_batching",
        "batching_parameters_file",
        "monitoring_config_file",
    }


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_stand_alone_client(server, tmp_path, protocol):
    np.savez(tmp_path / "in.npz", x=X)
    np.savez(tmp_path / "text.npz", text=np.array([b"ab", b"c"]))
    port = server.rest_port if protocol == "rest" else server.grpc_port

    def ask(*words):
        # -I: neither this folder nor tfzoo's is on the path
        command = [sys.executable, "-I", EXPORT / "client.py", protocol, f"127.0.0.1:{port}"]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    status, out, err = ask("dense", tmp_path / "in.npz", "--version", "1", "--signature", "logits")
    assert status == 0, err
    found = json.loads(out)["outputs" if protocol == "rest" else "logits"]
    np.testing.assert_allclose(found, X @ WEIGHTS, rtol=1e-5, atol=1e-6)
    if protocol == "rest":  # each gRPC call loads TensorFlow
        status, out, _ = ask("dense", tmp_path / "text.npz", "--signature", "strings")
        assert json.loads(out)["outputs"]["upper"] == ["AB", "C"]
        assert "mix" in ask("dense", "--metadata")[1]
        status, _, err = ask("nobody", tmp_path / "in.npz")
        assert status == 1 and "404" in err
