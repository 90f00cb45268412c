"""MetricOpt's study: its arms at a small budget, and its errors for wrong arguments."""

import csv
import io

import keras
import numpy as np
import pytest
from PIL import Image

from tfzoo.data.tables.imbalance import cut
from tfzoo.metricopt import attach_adapters
from tfzoo.metricopt.experiments import compare, fit_quality, meta, methods, settings, tasks
from tfzoo.metricopt.experiments.contrastive import SupervisedContrastive
from tfzoo_cli.main import main


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(methods, "EXPLORATION", methods.EXPLORATION | {"trajectories": 2})
    for name, value in (("STEPS", 140), ("FINE_TUNING", 20), ("EVALUATIONS", 31)):
        monkeypatch.setattr(methods, name, value)
    monkeypatch.setattr(meta, "STEPS", 140)
    for module, name, value in (
        (fit_quality, "SEEN", 2),
        (fit_quality, "HELD", 1),
        (meta, "OTHERS", 1),
    ):
        monkeypatch.setattr(module, name, value)


def tiny(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(120, 4)).astype("float32")
    y = (x @ rng.normal(size=4) > 1).astype("int64")
    parts = [(x[i::3], y[i::3]) for i in range(3)]
    return tasks._binary(4, parts[0], parts[1:], "f1", {"threshold": 0.0})


def test_settings_are_judged_on_validation_rows_that_the_search_does_not_see():
    problem = tiny(0)
    halves = settings.halved(problem, 100)
    rows = [{tuple(row) for row in part[0]} for part in (halves.validation, halves.test)]
    assert not rows[0] & rows[1]
    assert rows[0] | rows[1] == {tuple(row) for row in problem.validation[0]}
    positives = [part[1].sum() for part in (halves.validation, halves.test)]
    assert abs(positives[0] - positives[1]) <= 1  # stratified
    assert halves.train is problem.train


@pytest.mark.slow
def test_every_arm_keeps_to_the_budget_and_leaves_the_base_alone(small):
    problem = tiny(0)
    before = problem.base.get_weights()
    for name, method in methods.arms(problem).items():
        seen = []
        black_box = type(problem).black_box

        def counting(self, black_box=black_box, seen=seen):
            seen.append(black_box(self))
            return seen[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(problem), "black_box", counting)
            method(problem, 0)
        calls = sum(metric.calls for metric in seen)
        assert calls <= methods.EVALUATIONS, name
        assert name == "base" or calls > 0.5 * methods.EVALUATIONS, name
        for a, b in zip(before, problem.base.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def jpegs(path, counts, seed=0):
    """A file in the form of CIFAR-10-JPEG."""
    random, arrays = np.random.default_rng(seed), {}
    for part, count in counts.items():
        files = []
        for image in random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG")
            files.append(np.frombuffer(stream.getvalue(), np.uint8))
        arrays[f"jpeg_{part}"] = np.concatenate(files)
        arrays[f"off_{part}"] = np.cumsum([0, *(len(f) for f in files)])
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(path, **arrays)


@pytest.mark.slow
def test_the_task_at_size_adapts_the_last_block_of_a_resnet(small, tmp_path, monkeypatch):
    jpegs(tmp_path / "cifar.npz", {"train": 200, "test": 30})
    for name, value in (("HELD", 50), ("RARE", 3), ("BATCH", 16), ("EPOCHS", 2)):
        monkeypatch.setattr(tasks, f"SIZE_{name}", value)
    trained, train = [], tasks._train_resnet
    monkeypatch.setattr(
        tasks, "_train_resnet", lambda *given: (train(*given), trained.append(given))
    )
    known = tasks.by_path("", "", str(tmp_path / "cifar.npz"))
    problem = known[tasks.AT_SIZE](0)
    (whole, (x, y), _), *_ = trained
    assert sorted(np.bincount(y))[:5] == [3] * 5 and np.bincount(y).max() > 10
    assert problem.base.input_shape == (None, 8, 8, 64)
    x = x.astype("float32")
    expected = whole.predict(x, verbose=0)
    said = problem.base.predict(problem.train[0], verbose=0)
    np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-4)
    assert len(problem.validation[1]) == 50 and len(problem.test[1]) == 30
    adapted = methods.loss_only(problem, 0)
    assert len(adapted.get_vector()) == 2 * 64 + 2 * 10
    assert set(methods.arms(problem)) == {
        *("base", "loss only", "MetricOpt", "CMA-ES", "thresholds", "logit adjustment")
    }


def test_thresholds_find_the_best_bias():
    """One column of logits, all too low by 2."""
    problem = tiny(1)
    problem.base.layers[-1].bias.assign_sub([2.0])
    model = methods.thresholds(problem, 0)
    metric, (x, y) = problem.black_box(), problem.validation
    assert metric(y, np.array(model(x))) > metric(y, np.array(problem.base(x))) + 0.05


def test_supervised_contrastive_against_loops():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), np.array([0, 1, 0, 1, 1, 2])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    rows = []
    for i in range(6):
        same = [j for j in range(6) if j != i and y[j] == y[i]]
        others = [unit[i] @ unit[j] / 0.2 for j in range(6) if j != i]
        if same:
            norm = np.log(np.sum(np.exp(others)))
            rows.append(-np.mean([unit[i] @ unit[j] / 0.2 - norm for j in same]))
    assert float(SupervisedContrastive(0.2)(y, x)) == pytest.approx(np.mean(rows), rel=1e-5)


def test_soft_f1_of_sure_answers_is_f1():
    y = np.array([1, 1, 0, 0, 1.0])[:, None]
    logits = 40 * np.array([1, -1, 1, -1, 1.0], "float32")[:, None]
    loss = keras.ops.convert_to_numpy(methods.SoftF1().call(y, keras.ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(loss, 1 - 2 * 2 / (2 * 2 + 1 + 1), atol=1e-4)


def test_soft_f1_of_many_classes_is_the_mean_over_them():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(20, 4)).astype("float32"), rng.integers(0, 3, 20)  # none of 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    of = np.eye(4)[y]
    expected = 1 - np.mean(2 * (p * of).sum(0) / (p.sum(0) + of.sum(0)))
    assert float(methods.SoftF1()(y[:, None], logits)) == pytest.approx(expected, rel=1e-5)


def test_cut_keeps_a_few_of_some_classes():
    y = np.repeat(np.arange(4), 10)
    kept = cut(y, 2, 3, seed=0)
    counts = np.bincount(y[kept])
    assert sorted(counts) == [3, 3, 10, 10] and (np.diff(kept) > 0).all()
    drawn = {tuple(np.flatnonzero(np.bincount(y[cut(y, 2, 3, s)]) == 3)) for s in range(9)}
    assert len(drawn) > 2  # the seed selects the classes
    binary = np.array([0] * 5 + [1] * 5)
    assert (binary[cut(binary, 1, 2, seed=3)] == 1).sum() == 2


@pytest.mark.slow
def test_the_parts_report(small, tmp_path, monkeypatch):
    monkeypatch.setattr(meta, "digits_mcr", tiny)
    compare.run({"tiny": tiny}, [0], tmp_path / "compare")
    with (tmp_path / "compare" / "tiny" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {r["arm"] for r in rows} >= {"base", "loss only", "MetricOpt", "random search", "CMA-ES"}
    assert len(rows) == len({r["arm"] for r in rows})
    fit_quality.run({"tiny": tiny}, [0], tmp_path / "value")
    assert (tmp_path / "value" / "value.png").is_file()
    assert (tmp_path / "compare" / "compare.png").is_file()
    meta.run([0], tmp_path / "meta")
    with (tmp_path / "meta" / "results.csv").open() as file:
        arms = {r["arm"]: r for r in csv.DictReader(file)}
    assert set(arms) == {"few", "meta", "full", "base"}
    assert arms["meta"]["parameters"] == "2"


def test_adapters_of_the_study_sit_where_it_says():
    problem = tiny(0)
    assert len(attach_adapters(problem.base, problem.layers).get_vector()) == 66


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--parts", "all"], "--parts='all'"),
        (["--tasks", "digits"], "--tasks='digits': must be one of digits_mcr"),
        (["--mnist", "none.npz"], "--mnist='none.npz': no such file"),
    ],
)
def test_wrong_words(words, says, capsys):
    assert main(["study", "metricopt", *words]) == 2
    assert says in capsys.readouterr().err
