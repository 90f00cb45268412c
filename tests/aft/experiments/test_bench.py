"""AFT's bench at a small size, and the targets it computes."""

import csv

import pytest

from tfzoo.aft.experiments import bench as aft_bench
from tfzoo_cli.main import main


def row(layer, size, seconds, peak, kind="forward+backward"):
    return {"kind": kind, "layer": layer, "size": size, "seconds": seconds, "peak_mib": peak}


def test_targets_follow_from_the_rows():
    rows = [row("attention", 1024, 1.0, 100.0), row("attention", 2048, 4.0, 400.0)]
    rows += [row("full", 2048, 2.0, 500.0)]
    rows += [row(n, s, s / 8192, 10.0) for n in ("simple", "local") for s in (1024, 2048)]
    rows += [row("simple", 64, 1.0, "", "decoding"), row("simple", 4096, 3.0, "", "decoding")]
    targets = {t.says: t for t in aft_bench.targets(rows)}
    assert targets["full at T=2048, times faster than attention"].measured == 2.0
    assert not targets["full at T=2048, times faster than attention"].met
    assert targets["local at T=2048, times faster than attention"].measured == 16.0
    growth = targets["simple growth exponent of time, T=1024 to 2048"]
    assert abs(growth.measured - 1) < 1e-9 and growth.met
    assert not targets["simple cost a token, position 4096 / 64"].met
    assert not targets["full memory / attention's, worst from T=1024"].met


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--layers", "attention,local", "--lengths", "16,32", "--rounds", "1"]
    assert main(["bench", "aft", *words, "--output", str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json", "scaling.png"}
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["layer"] for r in rows] == ["attention", "local"] * 2 + ["local"]
    assert not any(r["error"] for r in rows) and all(float(r["seconds"]) > 0 for r in rows)
    assert "times faster than attention" in capsys.readouterr().out


@pytest.mark.slow
def test_every_layer_computes():
    for name in aft_bench.LAYERS:
        aft_bench.build_layer(name, 16, jit=False, causal=True)()
    for name in aft_bench.DECODING:
        aft_bench.build_decoding(name, 3, steps=1)()


def test_wrong_options(capsys):
    for words in (["--lengths", "many"], ["--layers", "all"]):
        assert main(["bench", "aft", *words]) == 2
        assert words[0] in capsys.readouterr().err
