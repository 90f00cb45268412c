"""ALA's study at toy size."""

import csv

import numpy as np
import pytest

from tfzoo.ala import ClassWeightLoss, Schedule
from tfzoo.ala.experiments import methods, surface, tasks
from tfzoo_cli.main import main


@pytest.fixture
def small(monkeypatch):
    for name in ("DIGITS", "IMAGES", "EMBEDDINGS"):
        monkeypatch.setattr(methods, name, (2, Schedule(2, 2, 1, 1)))


def faces(folder):
    rng = np.random.default_rng(0)
    arrays = {}
    for part in ("background", "evaluation"):
        arrays[f"x28_{part}"] = rng.integers(0, 256, (400, 28, 28), dtype=np.uint8)
        arrays[f"y_{part}"] = np.repeat(np.arange(20), 20)
    np.savez(folder / "omniglot.npz", **arrays)


@pytest.mark.slow
def test_the_command_runs_and_reports(small, tmp_path, capsys, monkeypatch):
    assert main(["study", "ala", "--seeds", "0", "--output", str(tmp_path)]) == 0
    with (tmp_path / "digits" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    arms = {r["arm"] for r in rows}
    assert arms >= {"CE", "focal", "ALA class weights", "ALA Eq. 6", "random class weights"}
    assert "transferred class weights" in arms and "CE, equal time" in arms
    assert len(rows) == len(arms)
    assert {r["parameters"] for r in rows} == {"2410"}
    names = {p.name for p in (tmp_path / "digits").iterdir()}
    pictures = {"parameters.png", "progress.png", "correlations.png", "errors.png"}
    assert names == pictures | {"results.csv", "study.json", "table.md", "seeds"}
    assert "ALA class weights below CE" in capsys.readouterr().out
    monkeypatch.setattr(methods, "train", None)  # finished seeds are not repeated
    assert main(["study", "ala", "--seeds", "0", "--output", str(tmp_path)]) == 0


@pytest.mark.slow
def test_embeddings_run(small, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "OMNIGLOT_CLASSES", (16, 4, 8))
    faces(tmp_path)
    words = ["--tasks", "omniglot", "--omniglot", str(tmp_path / "omniglot.npz"), "--seeds", "0"]
    assert main(["study", "ala", *words, "--output", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "omniglot" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["arm"] for r in rows} >= {"triplet", "ALA distance mixture", "triplet, equal time"}
    assert all(0 <= float(r["recall_at_1"]) <= float(r["recall_at_4"]) <= 1 for r in rows)


def test_the_random_controller_is_uniform_and_fixed_losses_do_not_move(small):
    problem = tasks.digits(0)
    arms = methods.arms(problem)
    count, schedule = methods.settings("digits")
    found = methods.train(problem, arms["random class weights"], count, schedule, 0)
    alignment = found.learning.alignment
    p = alignment.controller.probabilities(np.ones((1, 24)))
    np.testing.assert_allclose(p, 1 / 3, atol=1e-6)
    assert np.abs(np.array(alignment.phi)).max() > 0
    for name in ("CE", "label smoothing", "inverse frequency"):
        trace = methods.train(problem, arms[name], count, schedule, 0).learning.alignment.trace
        np.testing.assert_array_equal(trace[0][0], trace[-1][0])


def test_smoothness_is_free_of_the_losss_scale_and_leaves_the_weights():
    problem = tasks.digits(1)
    model, loss = problem.make(), ClassWeightLoss(10, True)
    before = model.get_weights()
    x, y = (a[:64] for a in problem.train)
    one, ten = (
        surface.smoothness(model, loss, np.full(10, phi), x, y) for phi in (0.0, np.log(10.0))
    )
    for name, value in one.items():
        assert value > 0 and ten[name] == pytest.approx(value, rel=1e-3)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tasks", "cifar"], "--tasks='cifar': must be some of digits"),
        (["--mnist", "none.npz"], "--mnist='none.npz': no such file"),
        (["--seeds", "x"], "--seeds"),
    ],
)
def test_wrong_words(words, says, capsys):
    assert main(["study", "ala", *words]) == 2
    assert says in capsys.readouterr().err
