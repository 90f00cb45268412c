"""Launching the real server, tested with a stand-in program that records how it was started."""

import json
import os
import sys

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tfzoo import serving
from tfzoo.errors import InputError
from tfzoo.serving.client import RestClient
from tfzoo.serving.model_server import PROGRAM, model_config

STAND_IN = f"""#!{sys.executable}
import http.server, json, os, sys
from pathlib import Path

flags = dict(word[2:].split("=", 1) for word in sys.argv[1:])
config = Path(flags["model_config_file"]).read_text()
Path(os.environ["RECORD"]).write_text(json.dumps({{"flags": flags, "config": config}}))
if os.environ.get("FAIL"):
    sys.exit("could not load the models")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        entry = {{"version": "1", "state": "AVAILABLE", "status": {{}}}}
        self.wfile.write(json.dumps({{"model_version_status": [entry]}}).encode())

http.server.HTTPServer(("127.0.0.1", int(flags["rest_api_port"])), Handler).serve_forever()
"""


@pytest.fixture
def record(tmp_path, monkeypatch):
    program = tmp_path / "bin" / PROGRAM
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record.json"))
    return tmp_path / "record.json"


def test_it_is_started_where_it_is_on_path(exported, record):
    with (
        pytest.warns(UserWarning, match="all interfaces"),
        serving.serve(exported, rest_port=0, grpc_port=0) as server,
    ):
        assert server.backend == PROGRAM and server.models == ["dense", "other"]
        client = RestClient(f"http://127.0.0.1:{server.rest_port}")
        assert client.status("dense") == {1: "AVAILABLE"}
        seen = json.loads(record.read_text())
        assert seen["flags"]["port"] == str(server.grpc_port)
        assert seen["flags"]["rest_api_port"] == str(server.rest_port)
        config = text_format.Parse(seen["config"], model_server_config_pb2.ModelServerConfig())
        paths = {c.name: c.base_path for c in config.model_config_list.config}
        assert paths == {name: str(exported / name) for name in ("dense", "other")}
        folder = os.path.dirname(seen["flags"]["model_config_file"])
    assert not os.path.exists(folder)
    with pytest.raises(InputError, match="UNAVAILABLE"):
        client.status("dense")


def test_it_says_why_it_does_not_start(exported, record, monkeypatch):
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(InputError, match="ended with status 1: could not load the models"):
        serving.serve(exported, host="0.0.0.0", rest_port=0, grpc_port=0)


def test_the_other_one_can_be_asked_for(exported, record, monkeypatch):
    with serving.serve(exported, rest_port=0, grpc_port=0, backend="in-process") as server:
        assert server.backend == "in-process"
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(InputError, match="not on PATH"):
        serving.serve(exported, backend=PROGRAM)


def test_odd_names_are_quoted(tmp_path):
    config = text_format.Parse(
        model_config({'a "b"\\': tmp_path}), model_server_config_pb2.ModelServerConfig()
    )
    assert config.model_config_list.config[0].name == 'a "b"\\'
