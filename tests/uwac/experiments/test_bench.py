"""UWAC's bench: targets and sample counts from rows, and a run of small networks."""

import csv
import sys

import pytest

from tfzoo.errors import InputError
from tfzoo.uwac.experiments import bench as uwac_bench
from tfzoo_cli.main import main


def row(kind, name, seconds="", **more):
    return {"kind": kind, "alternative": name, "seconds": seconds, **more}


def test_targets_follow_from_the_rows():
    rows = [row("steps", "uwac_conditional", 0.6), row("steps", "bear", 0.1)]
    rows += [row("shares", "data", 0.01), row("shares", "whole", 0.04)]
    rows += [row("steps", "d3rlpy_bear", 0.2)]
    steps, peer, share = uwac_bench.targets(rows)
    assert not steps.met and round(steps.measured, 6) == 6
    assert peer.met and round(peer.measured, 6) == 2
    assert not share.met and round(share.measured, 6) == 0.8


def test_d3rlpys_step_is_asked_of_another_python(tmp_path):
    """A stand-in answers as `d3rlpy_step.py` does, after a line of a log."""
    other = tmp_path / "python"
    other.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "print('a log')\nprint('ready 2', *sys.argv[2:], flush=True)\n"
        f"for line in sys.stdin: open({str(tmp_path / 'steps')!r}, 'a').write('x')"
        "; print('done', flush=True)\n"
    )
    other.chmod(0o755)
    step = uwac_bench.build_step("d3rlpy_bear", 2, 4, 3, str(other))
    step()
    step()
    assert (tmp_path / "steps").read_text() == "xx"
    with pytest.raises(InputError, match="--d3rlpy='none': No such file"):
        uwac_bench.build_step("d3rlpy_bear", 2, 4, 3, "none")
    other.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="must be a Python with d3rlpy and PyTorch"):
        uwac_bench.build_step("d3rlpy_bear", 2, 4, 3, str(other))


def test_enough_samples_are_as_exact_as_the_official_ones():
    errors = {"fresh": (0.3, 0.13, 0.12, 0.1), "trained": (0.3, 0.15, 0.13, 0.1)}
    rows = []
    for critic, four in errors.items():
        measured = [("monte_carlo", 100, 0.14)]
        measured += [("conditional", *pair) for pair in zip((2, 4, 8, 16), four, strict=True)]
        rows += [
            row("accuracy", name, critic=critic, samples=n, error_of_variance=error)
            for name, n, error in measured
        ]
    assert uwac_bench.enough(rows) == 8
    assert uwac_bench.enough(rows[:5]) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in uwac_bench.SHARES if n != "whole"])
def test_every_part_runs(name):
    uwac_bench.build_part(name, 2, 4, 3)()


@pytest.mark.slow
def test_the_command_runs(local_workers, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(uwac_bench, "REPEATS", 20)
    monkeypatch.setattr(uwac_bench, "SAMPLES", (2,))
    monkeypatch.setattr(uwac_bench, "STEPS", ("bc", "uwac_official"))
    words = ["--parts", "accuracy,steps", "--rounds", "1", "--width", "4", "--batch-size", "2"]
    words += ["--official-samples", "3", "--output", str(tmp_path)]
    assert main(["bench", "uwac", *words]) == 0
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [r["alternative"] for r in rows if r["kind"] == "steps"] == ["bc", "uwac_official"]
    capsys.readouterr()


def test_wrong_options(capsys):
    for words in (["--parts", "all"], ["--width", "0"], ["--samples", "1"]):
        assert main(["bench", "uwac", *words]) == 2
        assert words[0] in capsys.readouterr().err
