"""ALA's bench: targets from rows, and a run of a few steps."""

import pytest

from tfzoo.ala.experiments import bench as ala_bench
from tfzoo_cli.main import main


def row(model, alternative, seconds):
    return {"model": model, "alternative": alternative, "seconds": seconds}


def test_targets_follow_from_the_rows():
    rows = [row("mlp", "ala", 1.05), row("mlp", "plain", 1.0), row("resnet", "ala", 1.3)]
    rows += [row("resnet", "plain", 1.0), row("8 x mlp", "loop_of_models", 3.0)]
    rows += [row("8 x mlp", "vectorised", 1.0), row("8 x mlp", "loop_in_graph", "")]
    targets = [(round(t.measured, 6), t.met) for t in ala_bench.targets(rows)]
    assert targets == [(1.05, True), (1.3, False), (3.0, True)]


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ala_bench, "STEPS", {"mlp": 4})
    words = ["--rounds", "1", "--steps", "4", "--output", str(tmp_path)]
    assert main(["bench", "ala", *words]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json"}
    text = (tmp_path / "results.csv").read_text()
    assert text.count("\n") == 1 + 2 + 3
    assert "8 children: loop of models / vectorised" in capsys.readouterr().out


def test_wrong_options(capsys):
    for words in (["--parts", "all"], ["--steps", "2"], ["--rounds", "0"]):
        assert main(["bench", "ala", *words]) == 2
        assert words[0] in capsys.readouterr().err
