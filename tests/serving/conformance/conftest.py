"""The server on which the cases run: ours, or any given by `--address HOST:REST_PORT:GRPC_PORT`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serving_models

from tfzoo import serving


def pytest_addoption(parser):
    parser.addoption("--address", help="HOST:REST_PORT:GRPC_PORT of a server of conformance models")


@pytest.fixture(scope="session")
def address(request, tmp_path_factory):
    """Host, REST port, gRPC port, and whether it is the embedded server."""
    given = request.config.getoption("--address", default=None)
    if given:
        host, rest, grpc = given.rsplit(":", 2)
        yield host, int(rest), int(grpc), False
        return
    config = serving_models.write_all(tmp_path_factory.mktemp("conformance"))
    with serving.serve(
        model_config_file=config, rest_port=0, grpc_port=0, backend="in-process"
    ) as server:
        yield "127.0.0.1", server.rest_port, server.grpc_port, True
