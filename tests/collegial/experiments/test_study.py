"""The study's parts at toy size, and what they conclude."""

import csv
import io

import numpy as np
import pytest

from tfzoo.collegial import CollegialMLP, search
from tfzoo.collegial.experiments import cifar, drifting, spread, sweep
from tfzoo.collegial.experiments.descent import descend, greatest_eigenvalue
from tfzoo.errors import InputError
from tfzoo.experiments.statistics import Row
from tfzoo_cli.main import main


def test_shapes_of_the_sweep_cost_the_same():
    shapes = sweep.shapes()
    counts = [CollegialMLP((64,), 10, m, n, sweep.DEPTH).count_params() for m, n in shapes]
    assert max(counts) / min(counts) < 1.04
    assert (1, 128) in shapes and len(shapes) >= 6
    best = min(shapes, key=lambda s: search.variance(*s, 3.0, sweep.DEPTH))
    assert abs(np.log(best[1] / search.best_width(sweep.COST, 3.0, sweep.DEPTH))) < 0.35


def test_descent_follows_the_linear_models_closed_form():
    """With one linear layer the centred output after t steps is known exactly."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(6, n)).astype("float32") for n in (4, 2))
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, use_bias=False)])
    rate = 0.5 / greatest_eigenvalue(model, x)
    ended = descend(model, x, y, x, learning_rate=rate, steps=30)
    kernel = np.linalg.matrix_power(np.eye(6) - rate / 6 * x @ x.T, 30)
    np.testing.assert_allclose(ended.answer, y - kernel @ y, rtol=1e-3, atol=1e-4)
    assert ended.loss == pytest.approx(np.sum((kernel @ y) ** 2) / 12, rel=1e-3)
    assert ended.steps == 30
    early = descend(model, x, y, x, learning_rate=rate, steps=30, until=1e6)
    assert early.steps == 1  # the first loss is known after one step


@pytest.mark.slow
def test_sweep_and_drift_run(tmp_path):
    rows = sweep.run([0], 3.0, tmp_path / "sweep", only=[(170, 4), (30, 16), (1, 128)])
    assert [r.arm for r in rows] == ["170x4", "30x16", "1x128"]
    assert all(r.metrics["train_loss"] < 0.4 for r in rows)
    table = (tmp_path / "sweep" / "table.md").read_text()
    assert "30x16 (least variance) trains better than 1x128" in table and "Spearman" in table
    rows = drifting.run([0], tmp_path / "drift", members=[1, 32])
    assert rows[1].metrics["kernel_drift"] < rows[0].metrics["kernel_drift"]
    assert (tmp_path / "drift" / "drift.png").is_file()


def test_spread_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(spread, "DEPTHS", (1, 2))
    monkeypatch.setattr(spread, "WIDTHS", (16, 32))
    monkeypatch.setattr(spread, "MEMBERS", (1, 8))
    fits = spread.run(2000, 0, tmp_path)
    assert 2 < fits[1].alpha < 4 and 2 < fits[2].alpha < 4
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert len(rows) == 6
    assert (tmp_path / "study.json").is_file() and rows[0]["processor"]
    one, eight = (float(r["variance"]) for r in rows[-2:])
    assert 5 < one / eight < 12


def test_rank_correlation_is_over_shapes():
    rows = [
        Row(f"a{i}", seed, 1, {"variance": i, "train_loss": sign * i})
        for seed, sign in ((0, 1), (1, 1))
        for i in range(4)
    ]
    assert "1.0000 ± 0.0000" in sweep.correlations(rows)


def jpegs(count, rng):
    from PIL import Image

    files = []
    for _ in range(count):
        held = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(held, "JPEG")
        files.append(held.getvalue())
    ends = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), ends


@pytest.mark.slow
def test_cifar_report(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "TRAIN", 12)
    monkeypatch.setattr(cifar, "HELD", 4)
    monkeypatch.setattr(cifar, "EPOCHS", 1)
    monkeypatch.setattr(cifar, "BATCH", 4)
    monkeypatch.setattr(cifar, "WIDE", (1, 8))
    rng, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 16), ("test", 4)):
        arrays[f"jpeg_{part}"], arrays[f"off_{part}"] = jpegs(count, rng)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(tmp_path / "jpeg.npz", **arrays)
    rows = cifar.run(tmp_path / "jpeg.npz", [0], tmp_path / "out")
    assert [r.error for r in rows] == ["", "", ""]
    assert {r.arm for r in rows} >= {"wide", "searched"} and "equal-time" in rows[2].arm
    assert rows[0].parameters == pytest.approx(rows[1].parameters, rel=0.1)
    with pytest.raises(InputError, match="--cifar"):
        cifar.prepare(tmp_path / "none.npz", tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--parts", "all"], "--parts"),
        (["--seeds", "x"], "--seeds"),
        (["--samples", "1"], "--samp"),
    ],
)
def test_wrong_options(words, said, capsys):
    assert main(["study", "collegial", *words]) == 2
    assert said in capsys.readouterr().err
