"""AFT's bench at a small size, and the targets it computes."""

from tfzoo.aft import bench as aft_bench
from tfzoo.cli import main


def row(layer, size, seconds, peak, kind="forward+backward"):
    return {"kind": kind, "layer": layer, "size": size, "seconds": seconds, "peak_mib": peak}


def test_targets_follow_from_the_rows():
    rows = [row("attention", 1024, 1.0, 100.0), row("attention", 2048, 4.0, 400.0)]
    rows += [row("full", 2048, 2.0, 500.0)]
    rows += [row(n, s, s / 8192, 10.0) for n in ("simple", "local") for s in (1024, 2048)]
    rows += [row("simple", 64, 1.0, "", "decoding"), row("simple", 4096, 3.0, "", "decoding")]
    found = {t.says: t for t in aft_bench.targets(rows)}
    assert found["full at T=2048, times faster than attention"].found == 2.0
    assert not found["full at T=2048, times faster than attention"].met
    assert found["local at T=2048, times faster than attention"].found == 16.0
    growth = found["simple growth exponent of time, T=1024 to 2048"]
    assert abs(growth.found - 1) < 1e-9 and growth.met
    assert not found["simple cost a token, position 4096 / 64"].met
    assert not found["full memory / attention's, worst from T=1024"].met


def test_the_command_runs(tmp_path, capsys):
    words = ["bench", "aft", "--lengths", "16,32", "--rounds", "1", "--output", str(tmp_path)]
    assert main(words) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"results.csv", "bench.json", "scaling.png"}
    out = capsys.readouterr().out
    assert "projections" in out and "conv" in out


def test_wrong_lengths(capsys):
    assert main(["bench", "aft", "--lengths", "many"]) == 2
    assert "--lengths" in capsys.readouterr().err
