"""The study's parts at toy size, and what they conclude."""

import io

import numpy as np
import pytest

from tfzoo.afv.experiments import comparison, facts, overfit, tasks
from tfzoo.afv.experiments.features import Kernels, classify, nearest_error, of_rows
from tfzoo.afv.experiments.training import Scale, look_at
from tfzoo.errors import InputError
from tfzoo_cli.main import main

TINY = Scale(width=2, steps=4, latent=3, batch=8, samples=32, watched=24, looks=2)


def files(folder):
    """MNIST's and CIFAR-10-JPEG's forms, with a few random images."""
    from PIL import Image

    rng = np.random.default_rng(0)
    plain, jpeg = {}, {"classes": np.array([f"class {i}" for i in range(10)])}
    for part, count in (("train", 60), ("test", 30)):
        images, y = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count) % 10
        plain |= {f"x_{part}": images, f"y_{part}": y}
        blobs = []
        for _ in range(count):
            held = io.BytesIO()
            image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(held, "JPEG")
            blobs.append(held.getvalue())
        jpeg |= {
            f"jpeg_{part}": np.frombuffer(b"".join(blobs), np.uint8),
            f"off_{part}": np.cumsum([0, *map(len, blobs)]),
            f"y_{part}": y,
        }
    np.savez(folder / "mnist.npz", **plain)
    np.savez(folder / "cifar.npz", **jpeg)


def test_tasks(tmp_path):
    files(tmp_path)
    for make, name, channels in ((tasks.mnist, "mnist", 1), (tasks.cifar, "cifar", 3)):
        task = make(tmp_path / f"{name}.npz", 30, 20, 25)
        assert [p[0].shape for p in (task.train, task.held, task.test)] == [
            (n, 16, 16, channels) for n in (30, 20, 25)
        ]
        assert task.train[1][0] == 0 and len(task.classes) == 10  # image 20, after validation's
        few, more = task.labelled(5, 1), task.labelled(12, 1)
        np.testing.assert_array_equal(few[0], more[0][:5])
        with pytest.raises(InputError, match=f"--{name}"):
            make(tmp_path / "none.npz", 30, 20, 25)


@pytest.mark.slow
def test_comparison_runs_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    task = tasks.digits(80, 40, 40)
    monkeypatch.setattr(facts, "EACH", 3)
    rows = comparison.run(task, [0, 1], [20, 60], TINY, tmp_path)
    assert [r.arm for r in rows if r.seed == 0] == list(comparison.ARMS)
    by = {r.arm: r for r in rows if r.seed == 0}
    assert by["AFV"].parameters == by["AFV, random D"].parameters == 423
    assert by["D-pool"].parameters == 8 and by["last map"].parameters == 32
    assert all(0 <= r.metrics["error_60"] <= 1 for r in rows)
    assert "logistic_60" in by["pixels"].metrics and "distance_test" in by["AFV"].metrics
    table = (tmp_path / "table.md").read_text()
    assert "AFV below D-pool" in table and "Margin over last layer" in table and "floor" in table
    names = {p.name for p in tmp_path.iterdir()}
    pictures = {"monitoring.png", "errors.png", "classes.png", "neighbours.png"}
    assert names == pictures | {"results.csv", "study.json", "table.md", "facts.md", "gans"}
    kept = (tmp_path / "gans" / "digits-seed0.keras").stat().st_mtime_ns
    again = comparison.run(task, [0], [20, 60], TINY, tmp_path)
    assert (tmp_path / "gans" / "digits-seed0.keras").stat().st_mtime_ns == kept
    # the file has float32, so may differ by rounding only
    error = by["AFV"].metrics["error_60"]
    assert again[0].metrics["error_60"] == pytest.approx(error, abs=0.1)


@pytest.mark.slow
def test_overfit_runs(tmp_path):
    rows = overfit.run(tasks.digits(80, 40, 40), [0], TINY, tmp_path)
    assert [r.arm for r in rows] == ["train images", "test images"]
    assert "seen images are nearer" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "overfit.png").is_file()


def test_classification_chooses_on_validation():
    rng = np.random.default_rng(0)
    y = [rng.integers(0, 3, n) for n in (60, 40, 50)]
    x = [np.eye(3)[k] + 0.3 * rng.normal(size=(len(k), 3)) for k in y]
    kernels = of_rows(lambda part: part, *x)
    scores = classify(kernels, tuple(y), 60, 3)
    assert scores["error_60"] < 0.2
    assert classify(kernels, tuple(y), 12, 3)["error_12"] >= 0
    plain = Kernels(kernels.train, kernels.held, kernels.test, kernels.lengths)
    assert classify(plain, tuple(y), 60, 3)["logistic_60"] == 0
    assert nearest_error(kernels, tuple(y)) < 0.3


def test_looks_end_with_the_training():
    assert look_at(Scale(steps=3000, looks=12))[-1] == 3000
    assert look_at(Scale(steps=2, looks=12)) == [1, 2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "all"], "--parts"),
        (["--seeds", "x"], "--seeds"),
        (["--labels", "1"], "--labels"),
        (["--width", "0"], "--width"),
        (["--samples", "2"], "--samples"),
        (["--objective", "vgan"], "--objective"),
        (["--mnist", "nowhere.npz"], "--mnist"),
    ],
)
def test_wrong_options(words, said, capsys):
    assert main(["study", "afv", *words]) == 2
    assert said in capsys.readouterr().err
