"""The load test: what counts as wrong, targets from rows, and a run of seconds."""

import csv
import time

import numpy as np
import pytest

from tfzoo.experiments import bench_serving
from tfzoo_cli.main import main


def question():
    return bench_serving.Question("m", {"x": np.ones(2)}, {"y": np.array([1.0, 2.0], "float32")})


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({"y": np.array([1.0, 2.00001])}, False),
        ({"y": np.array([1.0, 2.1])}, True),
        ({"y": np.array([1.0])}, True),
        ({"z": np.array([1.0, 2.0])}, True),
        ({}, True),
    ],
)
def test_a_wrong_answer_is_seen(answer, wrong):
    assert question().wrong(answer) is wrong


def test_a_client_counts_what_is_wrong_and_what_fails():
    right = {"y": np.array([1.0, 2.0])}
    answers = iter([right, {"y": np.zeros(2)}, RuntimeError("down")])
    end = time.monotonic() + 0.1

    def ask(model, inputs):
        answer = next(answers, None)
        if answer is None:
            time.sleep(max(0.0, end - time.monotonic()))
            return right
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = bench_serving.Client("rest", ask)
    client.run([question()], 0, end)
    assert (len(client.seconds), client.wrong) == (3, 1)
    assert client.failures == ["RuntimeError: down"]


def test_targets_follow_from_the_rows():
    def met(*rows):
        return {t.says: (round(t.measured, 6), t.met) for t in bench_serving.targets(rows)}

    load = met(
        {"alternative": "direct", "p50_ms": 2.0},
        {"alternative": "rest alone", "p50_ms": 5.0, "wrong": 0},
        {"alternative": "grpc alone", "p50_ms": 4.5, "wrong": 0},
        {"alternative": "grpc", "mib_early": 100.0, "mib_end": 110.0, "wrong": 2},
    )
    assert load == {
        "wrong or missing answers": (2, False),
        "grpc alone, p50 ms": (4.5, False),
        "rest alone, p50 ms": (5.0, True),
        "server's memory at the end over that of the first half": (1.1, False),
    }
    joined = met(
        {"alternative": "afv/digits batching off", "a_second": 100.0, "wrong": 0},
        {"alternative": "afv/digits batching on", "a_second": 350.0, "wrong": 0},
    )
    assert joined["afv/digits batching: answers a second over those without"] == (3.5, True)
    switch = met(
        {"alternative": "versions loading", "p99_ms": 50.0, "wrong": 0},
        {"alternative": "versions else", "p99_ms": 20.0},
    )
    assert switch["p99 while a version loads over p99 else"] == (2.5, False)


@pytest.mark.slow
def test_seconds_of_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_serving, "ALONE_SECONDS", 0.5)
    words = ["--minutes", "0.1", "--clients", "2", "--kills", "2", "--output", str(tmp_path)]
    assert main(["bench", "serving", "--parts", "load", "kills", *words]) == 0
    rows = {r["alternative"]: r for r in csv.DictReader((tmp_path / "results.csv").open())}
    assert list(rows) == ["direct", "rest alone", "grpc alone", "rest", "grpc", "kills"]
    assert all(int(r["requests"]) > 0 for r in rows.values())
    assert {r["wrong"] for r in rows.values()} == {"", "0"}
    assert rows["kills"]["kills"] == "2"
    for flag in ("--clients", "--kills"):
        assert main(["bench", "serving", flag, "0"]) == 2
        assert flag in capsys.readouterr().err
