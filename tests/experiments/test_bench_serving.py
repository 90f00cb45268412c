"""The load test: what counts as wrong, targets from rows, seconds of it."""

import csv

import numpy as np
import pytest

from tfzoo.experiments import bench_serving
from tfzoo_cli.main import main


def question():
    return bench_serving.Question("m", {"x": np.ones(2)}, {"y": np.array([1.0, 2.0], "float32")})


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"y": np.array([1.0, 2.00001])}, False),
        ({"y": np.array([1.0, 2.1])}, True),
        ({"y": np.array([1.0])}, True),
        ({"z": np.array([1.0, 2.0])}, True),
        ({}, True),
    ],
)
def test_a_wrong_answer_is_seen(found, wrong):
    assert question().wrong(found) is wrong


def test_a_client_counts_what_is_wrong_and_what_fails():
    answers = iter([{"y": np.array([1.0, 2.0])}, {"y": np.zeros(2)}, RuntimeError("down")])

    def ask(model, inputs):
        found = next(answers, None)
        if found is None:
            raise SystemExit
        if isinstance(found, Exception):
            raise found
        return found

    client = bench_serving.Client("rest", ask)
    with pytest.raises(SystemExit):
        client.run([question()], 0, float("inf"))
    assert (len(client.seconds), client.wrong) == (2, 1)
    assert client.failures == ["RuntimeError: down"]


def test_targets_follow_from_the_rows():
    rows = [{"mib_early": 100.0, "mib_end": 110.0, "wrong": 0}, {"wrong": 2}]
    assert [(round(t.found, 6), t.met) for t in bench_serving.targets(rows)] == [
        (2, False),
        (1.1, False),
    ]


@pytest.mark.slow
def test_seconds_of_load(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench_serving, "DIRECT_SECONDS", 0.5)
    words = ["--minutes", "0.1", "--clients", "2", "--output", str(tmp_path)]
    assert main(["bench", "serving", *words]) == 0
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [r["alternative"] for r in rows] == ["direct", "rest", "grpc"]
    assert all(int(r["requests"]) > 0 for r in rows)
    assert [r["wrong"] for r in rows] == ["", "0", "0"]
    assert main(["bench", "serving", "--clients", "1"]) == 2
    assert "--clients" in capsys.readouterr().err
