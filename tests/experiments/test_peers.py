"""PyTorch in a bench: what is said without it, and its passes and steps where it is installed."""

import os

import keras
import numpy as np
import pytest

from support import torch_or_skip
from tfzoo.experiments import peers
from tfzoo_cli.main import main


@pytest.mark.parametrize("name", ["aft", "collegial", "skipclip", "bottleneck"])
def test_a_bench_says_in_a_line_that_a_peer_is_absent(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "find_spec", lambda package: None)
    assert main(["bench", name, "--parts", "peers", "--output", str(tmp_path)]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "skipped" in line]
    assert len(said) == 1 and said[0].startswith("peers: skipped, without ")


def build(name, size, half=False):
    """Built by `compare`: as many threads as said."""

    def step():
        assert os.environ["OMP_NUM_THREADS"] == str(peers.THREADS)

    return step


def test_every_setting_has_a_row(local_workers, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    settings = {"a": [{"half": False}, {"half": True}], "b": [{}]}
    rows = peers.compare("test_peers:build", settings, {"size": 3}, 1, kind="k")
    told = [(r["kind"], r["size"], r["alternative"], r.get("half"), r["error"]) for r in rows]
    assert told == [("k", 3, "a", False, ""), ("k", 3, "b", None, ""), ("k", 3, "a", True, "")]
    assert rows[0]["threads"] == 2 and os.environ["OMP_NUM_THREADS"] == "7"


def test_the_fastest_setting_of_each_is_chosen():
    rows = [{"n": n, "seconds": s} for n, s in (("a", 2.0), ("a", 1.0), ("b", 3.0), ("b", ""))]
    assert {(r["n"], r["seconds"]) for r in peers.fastest(rows, "n")} == {("a", 1.0), ("b", 3.0)}


def test_a_keras_step_trains():
    model = keras.Sequential([keras.layers.Dense(3)])
    x, y = np.ones((4, 2), "float32"), np.zeros(4, "int32")
    peers.keras_step(model, keras.optimizers.SGD(0.1), x, y)()
    assert model(x)[0, 0] > model(x)[0, 1] - 10 and model.optimizer.iterations == 1


def test_a_torch_pass_and_step():
    torch = torch_or_skip()
    for precision in ("float32", "mixed_bfloat16", "bfloat16"):
        peers.torch_pass(torch.nn.Linear(3, 3), torch.ones(2, 3), precision)()
    module = torch.nn.Linear(3, 2)
    before = module.weight.detach().clone()
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    peers.torch_step(module, optimizer, torch.ones(2, 3), torch.zeros(2, dtype=torch.int64))()
    assert (module.weight != before).all()


def test_a_width_is_matched():
    nn = torch_or_skip().nn

    def make(width):
        return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 5))

    width = peers.matched(make, 905)
    assert width == 100 and peers.parameters(make(width)) == 905
