"""MetricOpt's recipes: embedded ones improve their metric and are served; resume is exact."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocked import Mocked
from support import slow
from tfzoo import data, runner
from tfzoo.errors import InputError
from tfzoo.training.callbacks import TrainingInterrupted

SHORT = ["finetune.trajectories=3", "finetune.trajectory_steps=8", "finetune.steps=16"]


def trained(name, folder, *overrides, export=False):
    resolved = runner.resolve(name, list(overrides))
    metrics = runner.run_recipe(resolved, folder, export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


@pytest.mark.slow
def test_digits_leave_a_plain_model_that_is_better_on_validation(tmp_path):
    small = ["epochs=25", "finetune.steps=80", "finetune.trajectories=6"]
    metrics = trained("metricopt/digits_mcr", tmp_path, *small, export=True)
    assert metrics["accuracy"] == pytest.approx(1 - metrics["misclassification_rate"])
    model, resolved = runner.open_trained(str(tmp_path))
    assert type(model) is keras.Model or type(model).__name__ == "Functional"
    base = keras.models.load_model(tmp_path / "base.keras")
    batches = resolved.recipe.datasets(resolved.config).validation
    errors = []
    for m in (base, model):
        said = np.concatenate([np.array(m(x)).argmax(-1) for x, _ in batches])
        errors.append(np.mean(said != np.concatenate([y.numpy().argmax(-1) for _, y in batches])))
    assert errors[1] < errors[0]
    lines = (tmp_path / "log-finetune.csv").read_text().splitlines()
    row = dict(zip(lines[0].split(","), lines[1].split(","), strict=True))
    assert float(row["best_val_misclassification_rate"]) == pytest.approx(errors[1], abs=1e-6)
    loaded = tf.saved_model.load(str(next((tmp_path / "export").glob("*/1"))))
    images = np.arange(64.0, dtype="float32").reshape(1, 8, 8, 1) % 17
    answer = loaded.signatures["serving_default"](images=tf.constant(images))
    np.testing.assert_allclose(
        answer["probabilities"], keras.ops.softmax(model(images)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.slow
def test_breast_cancer_and_a_table_of_ones_own(tmp_path):
    small = [*SHORT, "epochs=8"]
    metrics = trained("metricopt/breast_cancer_recall", tmp_path / "a", *small, export=True)
    assert metrics["recall_at_precision"] > 0.3 and metrics["count"] == 113
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6))
    y = np.where(x[:, 0] + 0.3 * rng.normal(size=300) > 1, "'1'", "'-1'")
    table = tmp_path / "t.csv"
    table.write_text("\n".join(",".join([*map(str, r), c]) for r, c in zip(x, y, strict=True)))
    path = [f"data.path={table}", "batch_size=16"]
    metrics = trained("metricopt/mammography_f1", tmp_path / "b", *path, *SHORT)
    assert metrics["f1"] > 0.4
    with pytest.raises(InputError, match="model.inputs=5: must be the data's 6"):
        trained("metricopt/mammography_f1", tmp_path / "c", *path, *SHORT, "model.inputs=5")


class Cut(Exception):
    pass


@pytest.mark.parametrize("step", [9, slow(30)])
def test_resumed_equals_uninterrupted(step, tmp_path, monkeypatch):
    """Interrupted while collecting trajectories, and while using the value function."""
    small = [*SHORT, "epochs=1", "save_every=3"]
    name = "metricopt/digits_mcr"
    trained(name, tmp_path / "whole", *small)
    from tfzoo.metricopt import callback

    observe = callback.MetricOpt._observe

    def failing(self):
        if self._step >= step:
            raise Cut
        observe(self)

    with monkeypatch.context() as patch, pytest.raises((Cut, TrainingInterrupted)):
        patch.setattr(callback.MetricOpt, "_observe", failing)
        trained(name, tmp_path / "cut", *small)
    trained(name, tmp_path / "cut", *small)
    whole, cut = (keras.models.load_model(tmp_path / f / "model.keras") for f in ("whole", "cut"))
    for a, b in zip(whole.weights, cut.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    results = [json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("whole", "cut")]
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10_mcr", "cifar10_imbalanced_f1"])
def test_cifar_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    mocked = Mocked("cifar10", (32, 32, 3), 10, ["train", "test", "train[:90%]", "train[90%:]"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["epochs=1", "batch_size=8", "model.depth=8", "model.width=4", "rare.examples=2"]
    small += ["finetune.layers=[stage_2_block_0_norm,logits]", "finetune.observe_every=4"]
    assert trained(f"metricopt/{name}", tmp_path, *SHORT, *small)["count"] == 24


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cub200_recall", "cars196_recall", "sop_recall"])
def test_retrieval_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    mocked = Mocked("cars196", (None, None, 3), 8, ["train", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    monkeypatch.setattr(Mocked, "name", "cars196", raising=False)
    small = ["epochs=1", "batch_size=4", "model.image_size=16", "model.backbone=small"]
    small += ["model.weights=null", "train_classes=4", "validation_classes=2", "label=label"]
    small += ["finetune.observe_every=4", "report_k=[1,2]", "model.dim=8", "steps_per_epoch=2"]
    metrics = trained(f"metricopt/{name}", tmp_path, *SHORT, *small)
    assert set(metrics) == {"recall_at_1", "recall_at_2", "count"}


@pytest.mark.slow
def test_digits_retrieval_gives_unit_embeddings_of_unseen_classes(tmp_path):
    small = ["data.name=tfzoo_digits", "model.backbone=small", "model.weights=null"]
    small += ["model.image_size=8", "model.channels=1", "model.dim=8", "model.pixel_mean=8.0"]
    small += ["model.pixel_std=8.0", "train_classes=6", "validation_classes=2", "epochs=2"]
    small += ["batch_size=32", "finetune.observe_every=8", "optimizer.learning_rate=0.003"]
    metrics = trained("metricopt/cub200_recall", tmp_path, *SHORT, *small, export=True)
    assert metrics["recall_at_1"] > 0.7 and metrics["count"] == 354
    model, resolved = runner.open_trained(str(tmp_path))
    signature = resolved.recipe.signatures(model)["serving_default"]
    embedding = np.array(signature(**signature.examples)["embedding"])
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("digits_mcr", "metric.name=auc", "metric.name='auc': must be one of average_precision"),
        ("digits_mcr", "metric.k=2", "metric.k=2: must be null unless"),
        ("digits_mcr", "finetune.kind=lora", "finetune.kind='lora'"),
        ("digits_mcr", "finetune.steps=0", "finetune.steps=0"),
        ("digits_mcr", "finetune.layers=[dense]", "layers='dense': matches no layer"),
        ("digits_mcr", "finetune.layers=[flatten*]", "matches no layer that can absorb an adapter"),
        ("digits_mcr", "rare.classes=11", "rare.classes=11: must be from 0 to 10"),
        ("digits_mcr", "model.depth=9", "model.depth=9: must be 6 n"),
        ("digits_mcr", "data.name=tfzoo_breast_cancer", "must have image and label"),
        ("mammography_f1", "epochs=1", "data.path: must be set"),
        ("cub200_recall", "train_classes=0", "train_classes=0: must be at least 1"),
    ],
)
def test_wrong_configs(name, override, words, tmp_path):
    with pytest.raises(InputError, match=words):
        trained(f"metricopt/{name}", tmp_path, override)
