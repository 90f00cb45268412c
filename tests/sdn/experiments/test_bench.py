"""SDN's bench: targets from rows, and a run of its smallest part."""

import csv

import numpy as np
import pytest

from tfzoo.sdn.experiments import bench as sdn_bench
from tfzoo_cli.main import main


def test_target_follows_from_the_rows():
    row = lambda name, seconds: {"kind": "prior", "alternative": name, "seconds": seconds}  # noqa: E731
    (target,) = sdn_bench.targets([row("ours", 0.1), row("tfp", 0.25)])
    assert round(target.measured, 6) == 2.5 and not target.met


@pytest.mark.slow
def test_every_build_runs():
    for name in sdn_bench.PRIOR:
        sdn_bench.build_prior(name, 4, 3)()
    for name in sdn_bench.NETWORK:
        sdn_bench.build_network(name, 4, 2)()


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--parts", "network", "--rounds", "1", "--width", "4", "--output", str(tmp_path)]
    assert main(["bench", "sdn", *words]) == 0
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [r["alternative"] for r in rows] == list(sdn_bench.NETWORK)
    for row in rows:
        expected = 16 / float(row["seconds"])
        np.testing.assert_allclose(float(row["sets_a_second"]), expected, rtol=0.2)


def test_wrong_options(capsys):
    for words in (["--parts", "all"], ["--width", "0"], ["--rounds", "0"]):
        assert main(["bench", "sdn", *words]) == 2
        assert words[0] in capsys.readouterr().err
