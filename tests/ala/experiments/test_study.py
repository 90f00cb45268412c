"""ALA's study at toy size."""

import csv
import dataclasses
import io
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tfzoo.ala import ClassWeightLoss, Schedule
from tfzoo.ala.experiments import choose, long_tail, methods, surface, tasks
from tfzoo.experiments import statistics
from tfzoo_cli.main import main


@pytest.fixture
def small(monkeypatch):
    for name in ("DIGITS", "IMAGES", "EMBEDDINGS"):
        monkeypatch.setattr(methods, name, (2, Schedule(2, 2, 1, 1)))
    monkeypatch.setattr(methods, "_children", {})
    monkeypatch.setattr(methods, "_sources", {})


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
    assert arms >= {"CE", "focal", "ALA", "ALA, Eq. 6", "persistent random", "logit adjustment"}
    assert arms >= {"ALA, transferred", "CE, momentum, equal time", "one child: ALA", "oracle"}
    assert len(rows) == len(arms)
    assert {r["parameters"] for r in rows} == {"2410"}
    names = {p.name for p in (tmp_path / "digits").iterdir()}
    pictures = {"parameters.png", "progress.png", "correlations.png", "errors.png"}
    assert names == pictures | {"results.csv", "study.json", "table.md", "finished"}
    assert "| ALA against | difference | p, adjusted | verdict |" in capsys.readouterr().out
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
    assert {r["arm"] for r in rows} >= {"triplet", "ALA", "triplet, equal time"}
    assert all(0 <= float(r["recall_at_1"]) <= float(r["recall_at_4"]) <= 1 for r in rows)


def toy(classes=3, rows=60, seed=0):
    """Classes that overlap, the first one rare."""
    rng = np.random.default_rng(seed)

    def part(counts):
        y = np.repeat(np.arange(classes), counts)
        return (np.eye(classes)[y] + 0.7 * rng.normal(size=(len(y), classes))).astype("float32"), y

    def make():
        return keras.Sequential([keras.Input((classes,)), keras.layers.Dense(classes)])

    held = [part(np.full(classes, rows)) for _ in range(2)]
    train = part(np.array([4, rows, rows]))
    rare = np.array([0])
    return tasks.Problem(make, classes, "balanced_error", "vectorised", train, *held, rare)


SCHEDULE = methods.Schedule(12, 5, 3, 30)


def test_arms_of_one_loss_share_what_was_compiled_and_begin_anew(monkeypatch):
    monkeypatch.setattr(methods, "_children", {})
    problem = toy()
    arms = methods.arms(problem, methods.Chosen())
    names = ("CE, momentum", "inverse frequency, momentum", "ALA", "oracle", "CE, momentum")
    trained = [methods.train(problem, arms[name], 3, SCHEDULE, 0) for name in names]
    assert len(methods._children) == 1
    for a, b in zip(trained[0].model.weights, trained[-1].model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.ptp(trained[0].phi) and np.ptp(trained[2].phi) > 0.05
    expected = methods.inverse(problem) - methods.inverse(problem).mean()
    np.testing.assert_allclose(trained[1].phi[-1], [expected] * 3, rtol=1e-5)
    # knowing which class is rare helps, as it does for fixed weights
    assert trained[3].validation < trained[0].validation - 0.05
    assert trained[1].validation < trained[0].validation - 0.05
    assert (trained[3].phi[-1][:, 0] > trained[3].phi[-1][:, 1] + 1).all()


def test_logits_are_adjusted_after_training_and_by_the_prior():
    problem = toy()
    arms = methods.arms(problem, methods.Chosen(tau=2.0))
    adjusted = methods.train(problem, arms["logit adjustment"], 3, SCHEDULE, 0)
    x = problem.test[0]
    expected = adjusted.model.predict(x, verbose=0) - 2 * np.log(np.array([4, 60, 60]) / 124)
    said = methods.said(problem, arms["logit adjustment"], adjusted.model, x)
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-5)
    rare = [(a.argmax(-1) == 0).mean() for a in (adjusted.model.predict(x, verbose=0), said)]
    assert rare[1] > rare[0] + 0.1


def test_a_population_takes_over_what_is_best(monkeypatch):
    problem = toy()
    arm = methods.arms(problem, methods.Chosen(perturbation=0.4, every=3))["PBT"]
    outcome = methods.train(problem, arm, 3, SCHEDULE, 0)
    copied = []
    alignment = outcome.learning.alignment
    monkeypatch.setattr(alignment.members, "copy", lambda *pair: copied.append(pair))
    alignment.windows.assign(3)
    alignment.add([0.3, 0.1, 0.2])
    before = np.array(alignment.phi)
    after = alignment.act(None)
    assert copied == [(1, 0)]
    np.testing.assert_array_equal(after[1:], before[1:])
    assert 0 < np.abs(after[0] - before[1]).max() < 2


def test_evolution_continues_from_the_mean_of_the_better_half():
    problem = toy()
    arm = methods.arms(problem, methods.Chosen(spread=0.2, every=3))["evolution"]
    alignment = methods.train(problem, arm, 4, SCHEDULE, 0).learning.alignment
    alignment.windows.assign(3)
    alignment.add([0.4, 0.1, 0.3, 0.2])
    before = np.array(alignment.phi)
    after = alignment.act(None)
    mean = before[[1, 3]].mean(0)
    np.testing.assert_allclose(after[:2] + after[2:], [2 * mean] * 2, atol=1e-5)  # antithetic
    assert 0.05 < np.abs(after - mean).max() < 1


def test_with_common_random_numbers_only_the_loss_makes_a_difference():
    problem = toy()
    still = methods.Arm(control={"beta": 0.0, "learning_rate": 0.0}, common=True)
    for common in (True, False):
        arm = dataclasses.replace(still, common=common)
        children = methods.train(problem, arm, 3, SCHEDULE, 0).learning.children
        said = children.predict([problem.test[0]])
        assert (np.ptp(said, 0).max() == 0) == common
    moving = methods.arms(problem, methods.Chosen())["ALA"]
    assert moving.common
    children = methods.train(problem, moving, 3, SCHEDULE, 0).learning.children
    assert np.ptp(children.predict([problem.test[0]]), 0).max() > 1e-3


def test_settings_are_chosen_one_after_the_other_by_validation_alone(tmp_path, monkeypatch):
    def train(problem, arm, count, schedule, seed):
        value = abs(arm.momentum - 0.8) + abs(dict(arm.control or {}).get("beta", 0.2) - 0.2)
        return SimpleNamespace(validation=value + 0.001 * seed)

    monkeypatch.setattr(methods, "train", train)
    monkeypatch.setattr(choose, "kept", lambda *given: given[3](*given[4:]))
    best = choose.run("toy", lambda seed: toy(), (100, 101), tmp_path)
    assert (best.momentum, best.beta) == (0.9, 0.2)
    assert (
        "| momentum 0.9 | CE, momentum | 0.2005 | * |" in (tmp_path / "toy/choice.md").read_text()
    )


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
        (["--tasks", "cifar"], "--tasks='cifar': must be one of digits"),
        (["--mnist", "none.npz"], "--mnist='none.npz': no such file"),
        (["--seeds", "x"], "--seeds"),
        (["--tasks", "long_tail"], "--cifar='': must be the file of CIFAR-10-JPEG"),
        (["epochs=1"], "key=value=['epochs=1']: must be only for the task long_tail"),
    ],
)
def test_wrong_words(words, says, capsys):
    assert main(["study", "ala", *words]) == 2
    assert says in capsys.readouterr().err


def test_holms_values_are_those_of_the_definition():
    ps = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(statistics.holm(ps), [0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == [] and statistics.holm([0.9, 0.8]) == [1.0, 1.0]


def test_verdicts_are_adjusted_for_the_number_of_arms():
    rng, rows = np.random.default_rng(0), []
    for seed in range(8):
        base = rng.normal()
        for arm, less in (("ours", 0.5), ("worse", 1.5), ("alike", 0.5)):
            value = base + less + 0.05 * rng.normal()
            rows.append(statistics.Row(arm, seed, metrics={"error": value}))
    for more, word in ((False, "better"), (True, "worse")):
        lines = statistics.against_all(rows, "ours", ["worse", "alike"], "error", more)
        assert lines[2].startswith("| worse | -") and lines[2].endswith(f"| {word} |")
        assert lines[3].endswith("| no difference shown |")


@pytest.mark.slow
def test_the_long_tail_runs_and_goes_on(tmp_path):
    from PIL import Image

    rng, arrays = np.random.default_rng(0), {}
    for part in ("train", "test"):
        files = []
        for _ in range(60):
            buffer = io.BytesIO()
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(buffer, "JPEG")
            files.append(np.frombuffer(buffer.getvalue(), np.uint8))
        arrays[f"jpeg_{part}"] = np.concatenate(files)
        arrays[f"off_{part}"] = np.concatenate([[0], np.cumsum([len(f) for f in files])])
        arrays[f"y_{part}"] = np.arange(60) % 3
    np.savez(tmp_path / "cifar.npz", **arrays)
    words = ["study", "ala", "--tasks", "long_tail", "--cifar", str(tmp_path / "cifar.npz")]
    words += ["--seeds", "0", "--output", str(tmp_path / "out"), "epochs=1", "batch_size=4"]
    words += ["model.depth=8", "model.width=2", "steps_per_epoch=4", "ala.steps_per_action=1"]
    words += ["ala.evaluations=1", "ala.warmup_steps=1", "rare.ratio=2"]
    for _ in range(2):
        assert main(words) == 0
    with (tmp_path / "out" / "long_tail" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["arm"] for r in rows] == list(long_tail.OVERRIDES) and not any(
        r["error"] for r in rows
    )
