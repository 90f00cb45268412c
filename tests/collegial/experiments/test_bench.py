"""Collegial's bench: targets from rows, and a run of its smallest part."""

import pytest

from support import torch_or_skip
from tfzoo.collegial.experiments import bench as collegial_bench
from tfzoo_cli.main import main


def row(kind, size, alternative, seconds):
    return {"kind": kind, "size": size, "alternative": alternative, "seconds": seconds}


def test_targets_follow_from_the_rows():
    rows = [
        row("convolution", 32, n, s) for n, s in (("ours", 0.1), ("keras", 5.0), ("loop", 0.05))
    ]
    rows += [row("peers", 32, n, s) for n, s in (("ours", 2.0), ("torch", 4.0), ("torch", 3.0))]
    rows += [row("dense", 32, "ours", 0.01), row("dense", 32, "loop", 0.05)]
    rows += [row("network", 29, "wide", 1.0), row("network", 29, "searched", 1.5)]
    targets = {t.says: (round(t.measured, 6), t.met) for t in collegial_bench.targets(rows)}
    assert targets == {
        "g=32: times faster than Keras's Conv2D(groups=g)": (50.0, False),
        "g=32: time / that of a loop of convolutions": (2.0, False),
        "CollegialDense, m=32: times faster than a loop of Dense": (5.0, True),
        "g=32, float32: times faster than PyTorch's faster layout": (1.5, True),
        "ResNeXt-29 step: 37x10d / 1x128d": (1.5, True),
    }


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--parts", "dense", "--rounds", "1", "--output", str(tmp_path)]
    assert main(["bench", "collegial", *words]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json"}
    assert "CollegialDense" in capsys.readouterr().out


def test_every_alternative_computes():
    for name in ("ours", "loop", "dense"):
        collegial_bench.build_convolution(name, 2, 4)()
    for name in ("ours", "loop", "unstacked"):
        collegial_bench.build_dense(name, 2, 3, 4, 5)()


def test_pytorchs_convolution_computes():
    torch_or_skip()
    for setting in collegial_bench.PEER_SETTINGS["torch"]:
        collegial_bench.build_peer("torch", **setting, groups=2, channels=4)()


def test_wrong_options(capsys):
    assert main(["bench", "collegial", "--parts", "all"]) == 2
    assert "--parts" in capsys.readouterr().err
    assert main(["bench", "collegial", "--groups", "5"]) == 2
    assert "--groups" in capsys.readouterr().err
