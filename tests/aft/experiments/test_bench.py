"""AFT's bench at a small size, the targets it computes, and what it compares with PyTorch."""

import csv

import pytest

from support import torch_or_skip
from tfzoo.aft.experiments import bench as aft_bench
from tfzoo.aft.experiments import peers as aft_peers
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


SMALL = ("model.dim=8", "model.depth=1", "model.bias_dim=2")


def test_peers_targets_take_the_fastest_setting():
    layer, generation, step = aft_bench.PEER_KINDS
    given = [(layer, 2048, "attention", 9.0), (layer, 2048, "attention", 8.0)]
    given += [(layer, 2048, "torch", 6.0), (layer, 2048, "full", 2.0)]
    given += [(generation, size, "ours", size / 256) for size in aft_bench.GENERATED]
    rows = [row(name, size, s, "", kind) for kind, size, name, s in given]
    rows += [row(n, 224, s, "", step) | {"variant": "conv"} for n, s in (("ours", 2), ("torch", 3))]
    measured = [(t.measured, t.met) for t in aft_bench.targets(rows)]
    assert measured == [(4.0, False), (3.0, False), (4.0, False), (1.5, True)]


def test_what_is_compared_computes():
    aft_bench.build_peer_layer("full", 16, "float32")()
    aft_peers.build_generation("ours", 4, 2, overrides=SMALL)()


@pytest.mark.slow
def test_a_classifiers_step_computes():
    small = (*SMALL, "model.num_heads=2", "model.patch_size=8", "model.kernel_size=3")
    aft_peers.build_step("ours", "conv", 16, 2, "float32", overrides=small)()


def test_what_pytorch_computes():
    torch_or_skip("torchvision")
    for precision in ("float32", "mixed_bfloat16", "bfloat16"):
        aft_bench.build_peer_layer("torch", 16, precision)()
    aft_peers.build_generation("torch", 4, 2, overrides=("model.depth=1",))()
    small = ("model.depth=1", "model.dim=24", "model.num_heads=3", "model.patch_size=8")
    aft_peers.build_step("torch", "conv", 16, 2, "mixed_bfloat16", overrides=small)()


def test_pytorchs_cache_gives_what_attention_over_all_does():
    torch = torch_or_skip()
    mixer, x = aft_peers._attention(8, 2, True), torch.randn(2, 5, 8)
    held = torch.zeros(2, 2, 2, 5, 4)
    with torch.no_grad():
        steps = [mixer.step(x[:, t : t + 1], held, t) for t in range(5)]
    assert torch.allclose(torch.cat(steps, 1), mixer(x), atol=1e-6)
