"""SDN's study: its arms, its tables, and a run of two tiny arms."""

import numpy as np
import pytest

from tfzoo import runner
from tfzoo.errors import InputError
from tfzoo.experiments import statistics
from tfzoo.experiments.statistics import Row
from tfzoo.sdn.experiments import study as sdn_study
from tfzoo_cli.main import main


def test_arms_differ_as_they_say():
    arms = {a.name: runner.resolve(a.recipe, a.overrides).config for a in sdn_study.arms(3)}
    ours = arms[sdn_study.OURS]
    assert ours.epochs == 3 and ours.set_size == 8 and ours.model.prior_to_encoder == 0
    assert arms["sets of 1"].set_size == 1 and arms["sets of 1"].half == 8
    assert not arms["energy without code"].model.use_code
    weak = arms["prior to encoder, 5e-4"].model.prior_to_encoder
    assert weak == pytest.approx(1 / 2048)
    assert arms[sdn_study.UNTRAINED].steps_per_epoch == 1


def rows():
    more = {"iou_reconstructed": 0.6, "iou_reconstructed_shuffled": 0.2, "novelty": 5.0}
    return [
        Row("SDN", seed, 10, {k: v + 0.01 * seed for k, v in more.items()} | {"test_novelty": 9.0})
        for seed in range(3)
    ]


def test_claims_are_judged_by_their_sign():
    lines = [
        *statistics.claims_about("SDN", rows(), sdn_study.SHAPES_CLAIMS),
        *statistics.all_metrics(rows()),
    ]
    (iou,) = [line for line in lines if line.startswith("| IoU of reconstructions")]
    (novelty,) = [line for line in lines if line.startswith("| nearest training")]
    assert "0.4000" in iou and iou.endswith("supported |")
    assert "-3.99" in novelty and novelty.endswith("contradicted |")
    assert any(line.startswith("| iou_reconstructed | 0.6100") for line in lines)


def omniglot(path, characters=80, drawings=16):
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (2 * characters, 1, 28, 28)) * 200
    x = base + rng.integers(0, 50, (2 * characters, drawings, 28, 28))
    x = x.reshape(2, -1, 28, 28).astype("uint8")
    y = np.repeat(np.arange(characters), drawings).astype("int16")
    np.savez(path, x28_background=x[0], y_background=y, x28_evaluation=x[1], y_evaluation=y)


@pytest.fixture
def short(monkeypatch):
    few = sdn_study.arms
    monkeypatch.setattr(sdn_study, "arms", lambda *a: [few(*a)[0], few(*a)[-1]])
    monkeypatch.setattr(sdn_study, "HONEST", ("corrupted=0.33", "batch_size=32", "epochs=2"))
    monkeypatch.setattr(sdn_study, "JUDGE_EPOCHS", 2)
    monkeypatch.setattr(sdn_study, "GENERATOR_EPOCHS", 1)


@pytest.mark.slow
def test_both_parts_run(tmp_path, short, monkeypatch, capsys):
    from tfzoo.data.shapes import voxels

    monkeypatch.setattr(voxels, "COUNTS", {"train": 32, "validation": 8, "test": 8})
    omniglot(tmp_path / "o.npz")
    words = ["--seeds", "0", "--epochs", "1", "--omniglot-epochs", "1"]
    words += ["--omniglot", str(tmp_path / "o.npz"), "--output", str(tmp_path / "out")]
    words += ["--parts", "shapes,rebuilt,omniglot,terms", "--arms", sdn_study.REBUILT]
    small = ["model.width=8", "model.code_dim=6", "model.prior_hidden=[6]", "monitor_sets=4"]
    assert main(["study", "sdn", *words, *small]) == 0
    out = tmp_path / "out"
    pictures = {"sets.png", "nearest.png"}
    for part, more in (
        ("shapes", {"views.png", *pictures}),
        ("rebuilt", pictures),
        ("omniglot", {"roc.png", "arms.png", *pictures}),
        ("terms", {"terms.png"}),
    ):
        names = {p.name for p in (out / part).iterdir()}
        assert {"table.md", "results.csv", "study.json"} | more <= names
    text = (out / "shapes" / "table.md").read_text()
    assert "untrained" in text and "sample_consistency" in text
    text = (out / "omniglot" / "table.md").read_text()
    for name in ("verify_reconstructed", "judge_noisy", "judge_mean", "stroke_iou", "kid_floor"):
        assert f"| {name} |" in text
    capsys.readouterr()
    assert main(["study", "sdn", *words, *small]) == 0  # finished runs are not repeated


def test_terms_are_studied_on_training_characters_alone(tmp_path):
    omniglot(tmp_path / "o.npz", characters=20, drawings=3)
    with np.load(tmp_path / "o.npz") as file:
        first, last = file["x28_background"], file["x28_evaluation"]
    path = sdn_study.omniglot_arrays(str(tmp_path / "o.npz"), tmp_path / "t.npz", tuning=True)
    with np.load(path) as file:
        parts = {name: file[name] for name in file}
    assert len(np.unique(parts["y_test"])) == 2 and len(np.unique(parts["y_train"])) == 18
    assert not set(parts["y_test"]) & set(parts["y_train"])
    rows = lambda *x: {row.tobytes() for part in x for row in part}  # noqa: E731
    assert rows(parts["x_train"], parts["x_test"]) == rows(first[..., None])
    assert not rows(parts["x_test"]) & rows(last[..., None])


def test_refuses(tmp_path, capsys):
    for words in (
        ["--parts", "faces"],
        ["--arms", "SDN;other"],
        ["--epochs", "0"],
        ["--omniglot", "nowhere.npz"],
    ):
        assert main(["study", "sdn", *words]) == 2
        assert words[0] in capsys.readouterr().err
    np.savez(tmp_path / "x.npz", x=np.zeros(3))
    with pytest.raises(InputError, match="has no x28_background"):
        sdn_study.omniglot_arrays(str(tmp_path / "x.npz"), tmp_path / "y.npz")
