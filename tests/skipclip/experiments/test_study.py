"""The study at toy size: arms, few labels, folds, pictures."""

import pytest

from tfzoo.data.videos import sweeps
from tfzoo.skipclip.experiments import study as video_study
from tfzoo_cli.main import main

TOY = ["epochs=1", "steps_per_epoch=1", "model.width=2", "batch_size=4", "finetune.epochs=1"]
TOY += ["augment.size=16", "finetune.clips=1", "pretext.frames=2", "deterministic=false"]


@pytest.mark.slow
def test_the_pretexts_are_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "COUNTS", {"train": 24, "validation": 12, "test": 12})
    words = ["--seeds", "0", "--parts", "pretexts", "--labels", "1", "--output", str(tmp_path)]
    words += ["--motions", "2", "--arms", "random initialisation,Skip-Clip"]
    assert main(["study", "skipclip", *words, *TOY, f"data.data_dir={tmp_path}"]) == 0
    folder = tmp_path / "pretexts"
    table = (folder / "table.md").read_text()
    assert (
        video_study.SUPERVISED in table and video_study.PLAIN in table and "paired by seed" in table
    )
    assert "retrieval_error" in (folder / "results.csv").read_text()
    pictures = {"errors.png", "retrieval.png", "ranking.png"}
    assert pictures <= {p.name for p in folder.iterdir()}
    assert (folder / "runs" / "Skip-Clip-seed0" / "labels1" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "all"], "--parts"),
        (["--arms", "Skip-Clip,none"], "--arms='none'"),
        (["--labels", "0"], "--labels"),
        (["--held-out", "x", "--ut", "a.npz"], "--held-out"),
        (["--ut", "nowhere.npz", "--seeds", "0"], "nowhere.npz"),
    ],
)
def test_wrong_options(words, said, capsys):
    assert main(["study", "skipclip", *words]) == 2
    assert said in capsys.readouterr().err
