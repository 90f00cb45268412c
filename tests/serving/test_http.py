"""HTTP around the REST API: compression, methods, errors of the HTTP layer, slow clients."""

import contextlib
import gzip
import json
import socket
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from tfzoo import serving

X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")
BODY = json.dumps({"signature_name": "logits", "instances": X.tolist()}).encode()


def raw(server, data, wait=30):
    """Status, headers and body of the response to raw bytes."""
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=wait) as connection:
        connection.sendall(data)
        with contextlib.suppress(OSError):  # it has already responded and closed
            connection.shutdown(socket.SHUT_WR)
        return parsed(connection)


def parsed(connection):
    answer = b""
    while part := connection.recv(65536):
        answer += part
        head, end, body = answer.partition(b"\r\n\r\n")
        fields = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
        headers = {name.decode().lower(): value.decode() for name, value in fields}
        if end and len(body) >= int(headers.get("content-length", 0)):
            break
    return int(answer.split()[1]), headers, body


def post(url, body, **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{url}/v1/models/dense:predict", body, names)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_gzip_both_ways(url):
    status, _, body = post(url, gzip.compress(BODY), Content_Encoding="gzip")
    assert status == 200 and len(json.loads(body)["predictions"]) == 2
    large = json.dumps({"signature_name": "logits", "inputs": (X.tolist() * 100)}).encode()
    _, headers, plain = post(url, large)
    assert headers["Content-Encoding"] is None
    for accept, packed in (("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False)):
        _, headers, body = post(url, large, Accept_Encoding=accept)
        assert (headers["Content-Encoding"] == "gzip") == packed
        assert (gzip.decompress(body) if packed else body) == plain
    for wrong, words in ((b"no gzip", "not gzip"), (gzip.compress(BODY)[:-9], "too early")):
        status, _, body = post(url, wrong, Content_Encoding="gzip")
        assert status == 400 and words in json.loads(body)["error"]
    status, _, body = post(url, gzip.compress(b" " * 10_000_000), Content_Encoding="gzip")
    assert status == 413 and "larger than 100000" in json.loads(body)["error"]
    assert post(url, BODY, Content_Encoding="br")[0] == 415


def test_head_and_expect(server):
    get = raw(server, b"GET /v1/models/dense HTTP/1.1\r\nHost: x\r\n\r\n")
    head = b"HEAD /v1/models/dense HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
        connection.sendall(head)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n")
    assert f"Content-Length: {get[1]['content-length']}".encode() in answer
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
        connection.sendall(
            b"POST /v1/models/dense:predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BODY)
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert parsed(connection)[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff\r\n\r\n", 400),
        (b"GET /v1/models/dense HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"POST /v1/models/dense:predict HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 65_600 + b"\r\n\r\n", 431),
        (b"GET /v1/models/dense HTTP/3.0\r\n\r\n", 505),
        (b"POST /v1/models/dense:predict HTTP/1.1\r\nTransfer-Encoding: odd\r\n\r\n", 501),
        (b"POST /v1/models/dense:predict HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n", 413),
    ],
)
def test_errors_of_http_itself_are_json(server, data, status):
    code, headers, body = raw(server, data)
    assert code == status and headers["content-type"] == "application/json"
    assert list(json.loads(body)) == ["error"]


def test_clients_that_never_finish(exported):
    """One sends a byte occasionally, many send nothing: others are served meanwhile."""
    with serving.serve(
        exported / "other",
        rest_port=0,
        grpc_port=0,
        backend="in-process",
        request_seconds=1.0,
        enable_model_warmup=False,
    ) as server:
        address = ("127.0.0.1", server.rest_port)
        stalled = [socket.create_connection(address) for _ in range(100)]
        for connection in stalled:
            connection.sendall(b"POST /v1/models/other:predict HTTP/1.1\r\nContent-Le")
        slow, start = stalled[0], time.monotonic()
        slow.settimeout(0.2)
        answer = b""
        while not answer and time.monotonic() - start < 20:
            try:
                slow.sendall(b"1")
                answer = slow.recv(1000)
            except TimeoutError:
                assert raw(server, b"GET /v1/models/other HTTP/1.1\r\n\r\n")[0] == 200
            except ConnectionError:
                break
        assert 0.9 < time.monotonic() - start < 10
        assert not answer or b" 408 Request Timeout\r\n" in answer
        for connection in stalled:
            connection.close()
