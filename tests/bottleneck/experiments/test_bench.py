"""The bottleneck's bench: targets from rows, and a run of small sizes."""

import numpy as np
import pytest

from tfzoo.bottleneck import InfiniteMLP
from tfzoo.bottleneck.experiments import bench as bottleneck_bench
from tfzoo_cli.main import main


def row(kind, size, alternative, seconds, peak=""):
    common = {"kind": kind, "size": size, "alternative": alternative, "seconds": seconds}
    return common | {"peak_mib": peak}


def test_targets_follow_from_the_rows():
    rows = [row("kernel", 4000, n, s) for n, s in (("plain", 1.5), ("limit", 0.1))]
    rows += [row("kernel", 4000, "ours", 0.5, 100.0)]
    rows += [row("kernel", 1000, "ours", 0.5 / 16), row("kernel", 1000, "limit", "")]
    rows += [row("simulator", 2048, "hybrid", 0.02), row("simulator", 2048, "finite", 0.01)]
    targets = {t.says: (round(t.measured, 2), t.met) for t in bottleneck_bench.targets(rows)}
    assert targets == {
        "N=4000: time / that of one product and 5 passes": (5.0, False),
        "N=4000: times faster than plain TensorFlow": (3.0, True),
        "growth of the kernel's time: exponent of N": (2.0, True),
        "N=4000: MiB beyond the result": (38.96, True),
        "steps per second: hybrid / finite net of width 2048": (0.5, False),
    }


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--parts", "kernel", "--sizes", "48,32", "--rounds", "1", "--output", str(tmp_path)]
    assert main(["bench", "bottleneck", *words]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json"}
    assert "N=48: times faster" in capsys.readouterr().out


def test_the_plain_kernel_is_ours():
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    expected = InfiniteMLP(3).ntk(x)
    np.testing.assert_allclose(bottleneck_bench.plain_ntk(x, 3), expected, rtol=2e-3)


def test_every_alternative_computes():
    for name in bottleneck_bench.KERNELS:
        bottleneck_bench.build_kernel(name, 6, 5)()
    small = {"points": 6, "inputs": 5, "width": 8, "dim": 3, "outputs": 2, "steps": 2}
    for name in bottleneck_bench.SIMULATORS:
        bottleneck_bench.build_simulator(name, **small)()


def test_wrong_options(capsys):
    for words in (["--parts", "all"], ["--sizes", "many"], ["--sizes", "0"], ["--rounds", "0"]):
        assert main(["bench", "bottleneck", *words]) == 2
        assert words[0] in capsys.readouterr().err
