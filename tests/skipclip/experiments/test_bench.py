"""Skip-Clip's bench: targets from rows, every build, a run of its smallest part."""

import numpy as np
import pytest

from support import torch_or_skip
from tfzoo.skipclip.experiments import bench as video_bench
from tfzoo_cli.main import main


def row(alternative, seconds):
    return {"encoder": "small", "kind": "training", "alternative": alternative, "seconds": seconds}


def test_targets_follow_from_the_rows():
    rows = [row("convolutions", 0.06), row("training", 0.1), row("pipeline", 0.01)]
    rows += [row("step", 0.08), row("plain_step", 0.12)]
    rows += [row("ours", 2.0) | {"kind": "peers"}, row("torch", 3.0) | {"kind": "peers"}]
    targets = [(round(t.measured, 4), t.met) for t in video_bench.targets(rows)]
    assert targets == [(0.6, False), (0.125, True), (1.5, True), (1.5, True)]


def test_plain_layers_are_the_same_network():
    ours, plain = (video_bench._encoder(p, "small", 2) for p in (False, True))
    plain.set_weights(ours.get_weights())
    x = video_bench._videos("small")[0]
    np.testing.assert_allclose(ours(x), plain(x), atol=1e-4)


@pytest.mark.slow
def test_the_step_beside_torchvisions_runs():
    small = {"precision": "float32", "clips": 2, "frames": 4, "pixels": 16}
    video_bench.build_peer("ours", layout="channels_last", widths=(2, 2, 2, 2), **small)()
    torch_or_skip("torchvision")
    for layout in video_bench.LAYOUTS:
        video_bench.build_peer("torch", layout=layout, **small)()


@pytest.mark.slow
def test_every_build_runs():
    for name in video_bench.TRAINING:
        video_bench.build_training(name, width=2)()


@pytest.mark.slow
def test_the_command_runs(local_workers, tmp_path, capsys):
    words = ["--parts", "forward", "--rounds", "1", "--width", "2", "--encoders", "small"]
    assert main(["bench", "skipclip", *words, "--output", str(tmp_path)]) == 0
    assert "clips_per_second" in (tmp_path / "results.csv").read_text()
    assert main(["bench", "skipclip", "--width", "0"]) == 2
    assert "--width" in capsys.readouterr().err
