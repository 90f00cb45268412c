"""AFV's bench: targets from rows, equal answers, and a run of its smallest part."""

import numpy as np
import pytest

from tfzoo.afv.experiments import bench as afv_bench
from tfzoo_cli.main import main


def row(kind, alternative, seconds, peak=""):
    return {"kind": kind, "alternative": alternative, "seconds": seconds, "peak_mib": peak}


def test_targets_follow_from_the_rows():
    rows = [row("gradients", "ours", 0.1, 600.0), row("gradients", "loop", 0.9)]
    rows += [row("gradients", "jacobian", 1.0), row("gradients", "vectorized_map", "")]
    rows += [row("features", "extraction", 0.3), row("features", "pass", 0.1)]
    targets = {t.says: (round(t.measured, 6), t.met) for t in afv_bench.targets(rows)}
    assert targets == {
        "times faster than loop": (9.0, False),
        "times faster than jacobian": (10.0, True),
        "extraction: time / one forward and backward pass": (3.0, True),
        "per-example gradients: peak MiB within the stated budget": (600.0, False),
    }


@pytest.mark.slow
def test_all_alternatives_give_the_same():
    model, images = afv_bench._model(2, 2, 16)
    expected = afv_bench.per_example("ours", model, images)().numpy()
    for name in afv_bench.GRADIENTS[1:]:
        gradients = afv_bench.per_example(name, model, images)().numpy()
        np.testing.assert_allclose(gradients, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_every_build_runs():
    small = {"width": 2, "batch": 16, "side": 16}
    for name in afv_bench.FEATURES:
        afv_bench.build_features(name, **small)()
    for name in afv_bench.READOUTS:
        afv_bench.build_readout(name, **small)()


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--parts", "features", "--rounds", "1", "--width", "2", "--side", "16"]
    words += ["--batch", "16", "--output", str(tmp_path)]
    assert main(["bench", "afv", *words]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json"}
    assert "one forward and backward pass" in capsys.readouterr().out


def test_wrong_options(capsys):
    for words in (["--parts", "all"], ["--width", "0"], ["--rounds", "0"], ["--side", "20"]):
        assert main(["bench", "afv", *words]) == 2
        assert words[0] in capsys.readouterr().err
