"""The study's parts at toy size, and what they conclude."""

import numpy as np
import pytest

from tfzoo.bottleneck.dynamics import descend
from tfzoo.bottleneck.experiments import (
    acceleration,
    features,
    generalisation,
    linear,
    regression,
    tasks,
)
from tfzoo.errors import InputError
from tfzoo_cli.main import main


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(tasks, "UNITS", 128)


def values(rows, arm, metric):
    return [r.metrics[metric] for r in rows if r.arm == arm]


@pytest.mark.slow
def test_acceleration(tmp_path, monkeypatch):
    monkeypatch.setattr(acceleration, "POINTS", 16)
    rows = acceleration.run([0], tmp_path, {5: (0.2, 300)}, [8])
    assert not any(r.error for r in rows)
    (log2_steps,) = values(rows, "scale 5, d=8", "log2_steps")
    assert log2_steps < 0 and values(rows, "scale 5, no bottleneck", "log2_steps") == [0.0]
    table = (tmp_path / "table.md").read_text()
    assert "d=8 takes at most half the steps" in table and "frozen" in table
    assert (tmp_path / "scale5.png").is_file() and (tmp_path / "results.csv").is_file()


@pytest.mark.slow
def test_features(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "POINTS", 16)
    rows = features.run([0], tmp_path, (4, 8), 80)
    assert values(rows, "no bottleneck", "alignment_drop") == [0.0]
    (start,), (end,) = (values(rows, "d=8", f"growth_{w}") for w in ("start", "end"))
    assert end > 1.5 * start
    assert values(rows, "d=8, z frozen", "alignment_drop") == [pytest.approx(0, abs=1e-6)]
    assert (tmp_path / "moving_features.png").is_file()


@pytest.mark.slow
def test_linear(tmp_path):
    rows = linear.run([0, 1], tmp_path, (4,), 1000)
    arm = "ill-conditioned, scale 5, "
    pairs = [values(rows, arm + name, "log10_loss") for name in ("d=4", "no bottleneck")]
    assert all(a < b for a, b in zip(*pairs, strict=True))
    assert "steps ten times smaller" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["teacher", "digits_ce", "mnist"])
def test_generalisation(name, tmp_path, monkeypatch):
    sizes = {"teacher": [24, 10, 20], "mnist": [24, 10, 20]}
    teacher, mnist, digits = tasks.teacher, tasks.mnist, tasks.digits
    monkeypatch.setattr(tasks, "teacher", lambda s, *rest: teacher(sizes["teacher"], *rest))
    monkeypatch.setattr(tasks, "mnist", lambda path, s: mnist(path, sizes["mnist"]))
    monkeypatch.setattr(tasks, "digits", lambda n: [(x[:40], y[:40]) for x, y in digits(40)])
    rng = np.random.default_rng(0)
    file = tmp_path / "mnist.npz"
    arrays = {f"x_{part}": rng.integers(0, 256, (40, 28, 28)) for part in ("train", "test")}
    np.savez(file, **arrays, y_train=np.arange(40) % 10, y_test=np.arange(40) % 10)
    rows = generalisation.run(name, [0], tmp_path / "out", str(file), steps=40)
    assert {r.arm for r in rows} >= {"no bottleneck", "d=16"}
    assert all(0 <= r.metrics["test_error"] <= 1 for r in rows)
    assert all(r.metrics["train_loss_last"] < 1 for r in rows)
    assert (tmp_path / "out" / "validation.png").is_file()


def test_predictions_at_training_points_are_the_simulators():
    task = tasks.Task(tasks.teacher([12, 5], 6, 1.0, 0))
    for network in (task.network(4, 0), task.baseline()):
        state = descend(network.problem, 20).state
        outputs = network.outputs(state)
        assert outputs.shape == (17, 1)
        np.testing.assert_allclose(outputs[:12], network.problem.outputs(state), atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--parts", "all"], "--parts"), (["--seeds", "x"], "--seeds")],
)
def test_wrong_options(words, said, capsys):
    assert main(["study", "bottleneck", *words]) == 2
    assert said in capsys.readouterr().err


def test_missing_mnist(tmp_path):
    with pytest.raises(InputError, match="--mnist"):
        tasks.mnist(tmp_path / "none.npz", [1, 1, 1])


@pytest.mark.slow
def test_regression(tmp_path, monkeypatch):
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.kron(digits.images * 15.9, np.ones((1, 2, 2))).astype("uint8")
    parts = {"x_train": x[:1200], "y_train": digits.target[:1200]}
    np.savez(tmp_path / "mnist.npz", **parts, x_test=x[1200:], y_test=digits.target[1200:])
    mnist = tasks.mnist
    monkeypatch.setattr(tasks, "mnist", lambda path, s: mnist(path, [1000, 200, 500]))
    monkeypatch.setattr(regression, "CHOICE", 200)
    rows = regression.run(tmp_path / "out", str(tmp_path / "mnist.npz"), (100, 1200))
    assert {r.arm.split(",")[0] for r in rows} == set(regression.ARMS)
    for name in regression.ARMS:
        (few,), (many,) = (values(rows, f"{name}, {n} rows", "test_error") for n in (100, 1200))
        assert many < 0.08 < 0.1 < few + 0.05
    assert (tmp_path / "out" / "choice.csv").is_file()


def test_the_parts_of_mnist_need_its_file(capsys):
    assert main(["study", "bottleneck", "--parts", "regression", "--seeds", "0"]) == 2
    assert "--mnist=None: must be a file for the part regression" in capsys.readouterr().err
    assert main(["study", "bottleneck", "--mnist", "mnist.npz", "--seeds", "0"]) == 2
    assert "must be with one of the parts mnist, regression" in capsys.readouterr().err
