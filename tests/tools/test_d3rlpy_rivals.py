"""The script for d3rlpy's figures: everything but d3rlpy, which lives in another environment."""

import csv
import json
import sys
from types import SimpleNamespace

import d3rlpy_rivals  # of tools/
import pytest

from tfzoo.errors import InputError


def test_every_algorithm_and_seed_becomes_a_row(tmp_path, monkeypatch, capsys):
    commands = []

    class Done:
        returncode, stderr = 0, ""

        def __init__(self, command):
            value = 100.0 * int(command[5]) + len(command[3])
            metrics = {"return": value, "return_std": 1.0}
            versions = {"d3rlpy": "2.8.1"}
            result = {"metrics": metrics, "seconds": 5.0, "versions": versions}
            self.stdout = f"a line of a log\n{json.dumps(result)}\n"

    def run(command, **keywords):
        commands.append(command)
        return Done(command)

    monkeypatch.setattr(d3rlpy_rivals, "subprocess", SimpleNamespace(run=run))
    for kind in ("medium", "expert"):
        (tmp_path / f"hopper_{kind}.npz").touch()
    words = ["hopper_medium_expert", str(tmp_path), "--python", "other", "--seeds", "0,1"]
    words += ["--algorithms", "IQL,BEAR", "--steps", "7", "--output", str(tmp_path / "out")]
    d3rlpy_rivals.main(words)
    assert [c[3:7] for c in commands] == [
        [name, "Hopper-v5", seed, "7"] for name in ("IQL", "BEAR") for seed in "01"
    ]
    assert all(c[0] == "other" and c[2] == "--train" for c in commands)
    expected = [str(tmp_path / f"hopper_{kind}.npz") for kind in ("medium", "expert")]
    assert commands[0][7:] == expected
    with (tmp_path / "out" / "hopper_medium_expert" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["arm"], r["seed"]) for r in rows][:2] == [("d3rlpy's IQL", s) for s in "01"]
    assert float(rows[1]["cost"]) == -103.0
    assert float(rows[1]["score"]) == pytest.approx(100 * (103 - 16.8) / (2933 - 16.8))
    d3rlpy_rivals.main(words)
    assert len(commands) == 4 and "already finished" in capsys.readouterr().out


def test_a_failure_shows_its_messages():
    with pytest.raises(RuntimeError, match="ModuleNotFoundError|d3rlpy"):
        d3rlpy_rivals.asked(sys.executable, "IQL", "Hopper-v5", 0, 1, "none.npz")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["walker2d_medium"], "data='walker2d_medium': must be of hopper, halfcheetah"),
        (["hopper_medium", "--algorithms", "SAC"], "--algorithms='SAC': must be one of IQL"),
        (["hopper_medium", "--steps", "0"], "--steps=0: must be at least 1"),
        (["hopper_medium"], "has no file hopper_medium.npz"),
    ],
)
def test_wrong_words(words, says, tmp_path):
    with pytest.raises(InputError, match=says):
        d3rlpy_rivals.main([words[0], str(tmp_path), "--python", "python", *words[1:]])
