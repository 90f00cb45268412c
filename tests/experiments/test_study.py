"""Studies: all seeds reported, intervals, failures recorded, finished runs reused."""

import csv
import json

import numpy as np
import pytest
from scipy import stats

from tfzoo.errors import InputError
from tfzoo.experiments import keeping, statistics, study
from tfzoo.experiments.statistics import Interval, Row
from tfzoo.experiments.study import Arm

ARMS = [Arm("low", "aft/pydoc"), Arm("high", "aft/pydoc", ["epochs=2"])]


def fake(calls, failing=()):
    def run(resolved, folder, export):
        assert not export
        calls.append(folder.name)
        if folder.name in failing:
            raise RuntimeError("loss is nan\nmore")
        folder.mkdir(parents=True, exist_ok=True)
        seed, epochs = resolved.config.seed, resolved.config.epochs
        value = seed + (10.0 if epochs == 2 else 0.1 * seed)
        text = {"test": {"bits": value}, "parameters": 7}
        (folder / "metrics.json").write_text(json.dumps(text))
        return text["test"]

    return run


def test_every_arm_runs_with_every_seed(tmp_path):
    calls = []
    rows = study.run_grid(ARMS, [0, 3], tmp_path, fake(calls))
    assert calls == ["low-seed0", "high-seed0", "low-seed3", "high-seed3"]
    assert [r.metrics["bits"] for r in rows] == pytest.approx([0.0, 10.0, 3.3, 13.0])
    assert all(r.parameters == 7 for r in rows)


def test_a_failed_run_is_a_row_and_does_not_end_the_study(tmp_path):
    rows = study.run_grid(ARMS, [0, 1], tmp_path, fake([], {"low-seed1"}))
    assert [r.error for r in rows] == ["", "", "loss is nan", ""]
    table = study.report("test", rows, "bits", tmp_path, [("low is lower", "low", "high")])
    assert "| 1/2 |" in table and "| 2/2 |" in table
    lines = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert len(lines) == 4 and lines[2]["error"] == "loss is nan" and lines[2]["bits"] == ""
    report = json.loads((tmp_path / "study.json").read_text())
    told = {"date", "commit", "processor", "cores", "python", "tensorflow", "keras"}
    assert told < set(lines[0]) and lines[0]["date"] == report["date"]
    assert lines[3]["keras"] == report["versions"]["keras"]


def test_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    mean = statistics.interval(values)
    ends = stats.t.interval(0.95, 2, loc=mean.mean, scale=stats.sem(values))
    assert (mean.mean - mean.half, mean.mean + mean.half) == pytest.approx(ends)
    assert str(statistics.interval([1.5])) == "1.5000" and str(statistics.interval([])) == "-"


def test_differences_are_paired_by_seed():
    rows = [Row("a", s, 1, {"m": float(s)}) for s in (0, 1, 2)]
    rows += [Row("b", s, 1, {"m": s + 1.0}) for s in (0, 1)] + [Row("b", 2, error="failed")]
    difference = statistics.paired(rows, "a", "b", "m")
    assert difference.count == 2
    assert (difference.mean, difference.half) == pytest.approx((-1, 0))


def test_verdicts_can_go_against_the_claim():
    assert statistics.verdict(Interval(-1.0, 0.5, 3)) == "supported"
    assert statistics.verdict(Interval(1.0, 0.5, 3)) == "contradicted"
    assert statistics.verdict(Interval(0.1, 0.5, 3)) == "inconclusive (mean against it)"
    assert statistics.verdict(Interval(-1.0, float("nan"), 1)) == "inconclusive (mean for it)"


@pytest.mark.parametrize("text", ["", "a", "0,0", "-1", "1,,2"])
def test_wrong_seeds(text):
    with pytest.raises(InputError, match="--seeds"):
        study.parse_seeds(text)


def computed(calls, value):
    calls.append(value)
    return [Row("a", 1, None, {"m": value / 3}), {"curve": np.linspace(0, value, 3), "n": [1, 2]}]


def test_what_is_finished_is_kept_until_settings_or_code_change(tmp_path, monkeypatch, capsys):
    calls = []
    first = keeping.kept(tmp_path, "d=4, seed 1", {"steps": 2}, computed, calls, 1.0)
    again = keeping.kept(tmp_path, "d=4, seed 1", {"steps": 2}, computed, calls, 1.0)
    assert calls == [1.0] and "already finished" in capsys.readouterr().out
    assert again[0] == first[0], "to the bit"
    np.testing.assert_array_equal(again[1]["curve"], first[1]["curve"])
    keeping.kept(tmp_path, "d=8, seed 1", {"steps": 2}, computed, calls, 2.0)
    keeping.kept(tmp_path, "d=4, seed 1", {"steps": 3}, computed, calls, 3.0)
    assert calls == [1.0, 2.0, 3.0]
    monkeypatch.setattr(keeping, "_code", lambda method: "other")
    keeping.kept(tmp_path, "d=4, seed 1", {"steps": 3}, computed, calls, 4.0)
    assert calls[-1] == 4.0


def test_the_digest_of_code_is_of_a_methods_own_and_of_no_remark(tmp_path, monkeypatch):
    (tmp_path / "aft").mkdir()
    (tmp_path / "afv").mkdir()
    code, other = tmp_path / "aft" / "recipe.py", tmp_path / "afv" / "recipe.py"
    code.write_text('"""One."""\nx = 1  # why\n\n\ndef f():\n    """Two."""\n    return 2\n')
    other.write_text("y = 1\n")
    monkeypatch.setattr(keeping, "_PACKAGE", tmp_path)
    digest = keeping._code.__wrapped__
    before = digest("aft")
    code.write_text("x = 1\ndef f():\n    return 2\n")
    other.write_text("y = 2\n")
    assert digest("aft") == before
    code.write_text("x = 1\ndef f():\n    return 3\n")
    assert digest("aft") != before


def test_a_run_of_other_settings_or_code_starts_over(tmp_path, monkeypatch):
    calls = []

    def run(resolved, folder, export):
        calls.append((folder / "metrics.json").is_file())
        (folder / "metrics.json").write_text(json.dumps({"parameters": 7}))
        return {"bits": 1.0}

    for epochs in (1, 1, 2):
        study.run_grid([Arm("a", "aft/pydoc", [f"epochs={epochs}"])], [0], tmp_path, run)
    monkeypatch.setattr(keeping, "_code", lambda method: "other")
    study.run_grid([Arm("a", "aft/pydoc", ["epochs=2"])], [0], tmp_path, run)
    assert calls == [False, True, False, False]
