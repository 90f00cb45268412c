"""`tfzoo search collegial`."""

import csv

import pytest

from tfzoo_cli.main import main


def test_the_published_shape_is_printed_and_written(tmp_path, capsys):
    assert main(["search", "collegial", "resnext29", "--output", str(tmp_path)]) == 0
    assert "37x10d" in capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} == {"curve.csv", "curve.png"}
    rows = list(csv.DictReader((tmp_path / "curve.csv").open()))
    best = min(rows, key=lambda r: float(r["variance"]))
    assert (best["members"], best["width"]) == ("37", "10")


def test_imagenet_needs_the_tolerance(capsys):
    assert main(["search", "collegial", "resnext50", "--tolerance", "0.01"]) == 0
    assert "12x10d" in capsys.readouterr().out
    assert main(["search", "collegial", "resnext50"]) == 0
    assert "12x10d" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mlp"], "--mlp"),
        (["mlp", "--mlp", "64,0,10"], "--mlp='64,0,10'"),
        (["resnext29", "--baseline", "wide"], "--baseline='wide'"),
        (["resnext29", "--budget", "10"], "--budget=10: must be at least"),
        (["resnext29", "--alpha", "0"], "--alpha=0"),
        (["resnext29", "--tolerance", "-1"], "--tolerance=-1"),
    ],
)
def test_wrong_options(words, said, capsys):
    assert main(["search", "collegial", *words]) == 2
    assert said in capsys.readouterr().err
