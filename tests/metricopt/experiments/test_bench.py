"""MetricOpt's bench: rows from times, and a run of a few steps."""

import csv

import pytest

from tfzoo.experiments.bench import Result
from tfzoo.metricopt.experiments import bench as metricopt_bench
from tfzoo_cli.main import main


def test_rows_and_targets_follow_from_the_times():
    seconds = {"plain": 1.0, "between": 1.2, "observing": 2.2, "refitting": 4.2}
    results = {name: Result(name, [s]) for name, s in seconds.items()}
    rows = {r["alternative"]: r for r in metricopt_bench._rows("mlp", 100, results)}
    assert rows["between"]["ratio_to_plain"] == pytest.approx(1.2)
    assert rows["observing"]["ms_per_event"] == pytest.approx(1000 / 20)  # 20 observations
    assert rows["refitting"]["ms_per_event"] == pytest.approx(2000 / 5)  # 5 refits
    (target,) = metricopt_bench._targets("mlp", results)
    assert target.measured == pytest.approx(1.2) and not target.met


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--rounds", "1", "--models", "mlp", "--steps", "40", "--output", str(tmp_path)]
    assert main(["bench", "metricopt", *words]) == 0
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["alternative"] for r in rows] == list(metricopt_bench.ARMS)
    assert not any(r["error"] for r in rows)
    assert "mlp: time of a step between observations" in capsys.readouterr().out
