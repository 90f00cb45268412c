"""The files under export/: well formed, and the stand-alone client gets answers."""

import json
import subprocess
import sys

import numpy as np
import pytest
import yaml

from support import TESTS
from tfzoo.serving.config_files import METRICS_PATH, read_batching, read_models, read_monitoring

EXPORT = TESTS.parent / "export"
WEIGHTS = np.arange(12, dtype="float32").reshape(3, 4) / 10 - 0.5
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")


def test_configs_parse():
    [model] = read_models(str(EXPORT / "models.config"))
    assert str(model.folder) == f"/models/{model.name}" and model.latest == 1
    batching = read_batching(str(EXPORT / "batching.config"))
    assert batching.allowed_batch_sizes[-1] == batching.max_batch_size
    assert read_monitoring(str(EXPORT / "monitoring.config")) == METRICS_PATH


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
    outputs = json.loads(out)["outputs" if protocol == "rest" else "logits"]
    np.testing.assert_allclose(outputs, X @ WEIGHTS, rtol=1e-5, atol=1e-6)
    if protocol == "rest":  # each gRPC call loads TensorFlow
        status, out, _ = ask("dense", tmp_path / "text.npz", "--signature", "strings")
        assert json.loads(out)["outputs"]["upper"] == ["AB", "C"]
        assert "mix" in ask("dense", "--metadata")[1]
        status, _, err = ask("nobody", tmp_path / "in.npz")
        assert status == 1 and "404" in err
