"""Studies: every seed reported, intervals, failures kept, finished runs reused."""

import csv
import json

import pytest
from scipy import stats

from tfzoo.errors import InputError
from tfzoo.experiments import statistics, study
from tfzoo.experiments.statistics import Interval, Row
from tfzoo.experiments.study import Arm

ARMS = [Arm("low", "aft/pydoc"), Arm("high", "aft/pydoc", ["epochs=2"])]


def fake(calls, failing=()):
    def run(resolved, folder, export):
        assert not export
        calls.append(folder.name)
        if folder.name in failing:
            raise RuntimeError("loss is nan\nmore")
        folder.mkdir(parents=True)
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
    made = json.loads((tmp_path / "study.json").read_text())
    told = {"date", "commit", "processor", "cores", "python", "tensorflow", "keras"}
    assert told < set(lines[0]) and lines[0]["date"] == made["date"]
    assert lines[3]["keras"] == made["versions"]["keras"]


def test_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    found = statistics.interval(values)
    low, high = stats.t.interval(0.95, 2, loc=found.mean, scale=stats.sem(values))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert str(statistics.interval([1.5])) == "1.5000" and str(statistics.interval([])) == "-"


def test_differences_are_paired_by_seed():
    rows = [Row("a", s, 1, {"m": float(s)}) for s in (0, 1, 2)]
    rows += [Row("b", s, 1, {"m": s + 1.0}) for s in (0, 1)] + [Row("b", 2, error="failed")]
    found = statistics.paired(rows, "a", "b", "m")
    assert found.count == 2 and found.mean == pytest.approx(-1) and found.half == pytest.approx(0)


def test_verdicts_can_go_against_the_claim():
    assert statistics.verdict(Interval(-1.0, 0.5, 3)) == "supported"
    assert statistics.verdict(Interval(1.0, 0.5, 3)) == "contradicted"
    assert statistics.verdict(Interval(0.1, 0.5, 3)) == "inconclusive (mean against it)"
    assert statistics.verdict(Interval(-1.0, float("nan"), 1)) == "inconclusive (mean for it)"


@pytest.mark.parametrize("text", ["", "a", "0,0", "-1", "1,,2"])
def test_wrong_seeds(text):
    with pytest.raises(InputError, match="--seeds"):
        study.parse_seeds(text)
