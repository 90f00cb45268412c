"""ALA's recipes: digits train, resume exactly and are served; the others on mocked data."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocked import Mocked
from support import slow
from tfzoo import data, runner
from tfzoo.ala import ClassWeightLoss, LossController
from tfzoo.ala.losses import effective_number
from tfzoo.data.tables.imbalance import long_tail
from tfzoo.errors import InputError

SHORT = ["epochs=2", "ala.warmup_steps=3", "ala.steps_per_action=5", "ala.memory=100"]


def trained(name, folder, *overrides, export=False):
    resolved = runner.resolve(f"ala/{name}", list(overrides))
    metrics = runner.run_recipe(resolved, folder, export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


@pytest.mark.parametrize("children", [slow(1), 3])
def test_digits_train_and_export(children, tmp_path):
    metrics = trained("digits", tmp_path, *SHORT, f"ala.children={children}", export=children == 3)
    assert set(metrics) == {"balanced_error", "accuracy", "count"} and metrics["count"] == 300
    model = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(model.loss, ClassWeightLoss) and np.abs(np.array(model.loss.phi)).max() > 0
    controller = keras.models.load_model(tmp_path / "controller.keras")
    assert isinstance(controller, LossController) and int(controller.written) > 0
    if children == 3:
        loaded = tf.saved_model.load(str(next((tmp_path / "export").glob("*/1"))))
        images = np.arange(64.0, dtype="float32").reshape(1, 8, 8, 1) % 17
        answer = loaded.signatures["serving_default"](images=tf.constant(images))
        expected = keras.ops.softmax(model(images))
        np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-4, atol=1e-6)
        again = [f"ala.controller={tmp_path / 'controller.keras'}", "ala.learn=false"]
        trained("digits", tmp_path / "other", *SHORT, "ala.children=2", *again)
        used = keras.models.load_model(tmp_path / "other" / "controller.keras")
        assert int(used.written) == int(controller.written)


@pytest.mark.parametrize("common", [True, slow(False)])
def test_children_with_common_random_numbers_differ_by_their_losses_only(
    common, tmp_path, monkeypatch
):
    from tfzoo.ala.children import Children

    steps, said = Children.step, []

    def observed(self, x, y, phi, warm=False):
        said.append((np.array(x), self.predict([np.zeros((1, 8, 8, 1)) + 7])))
        return steps(self, x, y, phi, warm)

    monkeypatch.setattr(Children, "step", observed)
    words = ["ala.children=2", "ala.beta=0", f"ala.common={common}".lower()]
    trained("digits", tmp_path, *SHORT, *words)
    assert len(said) > 10
    for pair, predictions in said:
        assert (np.ptp(pair, 0).max() == 0) == common
        assert (np.ptp(predictions, 0).max() < 1e-5) == common  # but for rounding


class Cut(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("children", [slow(1), 2])
def test_resumed_equals_uninterrupted(children, tmp_path, monkeypatch):
    small = [*SHORT, f"ala.children={children}", "save_every=4"]
    trained("digits", tmp_path / "whole", *small)
    from tfzoo.ala.alignment import Alignment

    act = Alignment.act

    def failing(self, statistics):
        if int(self.windows) == 2:
            raise Cut
        return act(self, statistics)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(Alignment, "act", failing)
        trained("digits", tmp_path / "cut", *small)
    trained("digits", tmp_path / "cut", *small)
    for name in ("model", "controller"):
        paths = (tmp_path / f / f"{name}.keras" for f in ("whole", "cut"))
        whole, cut = (keras.models.load_model(p) for p in paths)
        for a, b in zip(whole.weights, cut.weights, strict=True):
            np.testing.assert_array_equal(a, b)
    results = [json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("whole", "cut")]
    assert results[0] == results[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    mocked = Mocked(name, (32, 32, 3), 10, ["train", "test", "train[:90%]", "train[90%:]"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["batch_size=8", "model.depth=8", "model.width=2", "ala.mode=loop", "epochs=1"]
    small += ["ala.children=2"] if name == "cifar10" else []
    small += ["ala.warmup_steps=1", "ala.steps_per_action=2", "ala.evaluations=1"]
    assert trained(name, tmp_path, *SHORT, *small)["count"] == 24


def test_under_a_strategy(tmp_path):
    words = ["ala.children=1", "distribute=mirrored", "steps_per_epoch=6"]
    trained("digits", tmp_path, *SHORT, *words)
    controller = keras.models.load_model(tmp_path / "controller.keras")
    assert int(controller.draws) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["omniglot_recall", "sop", "cars196"])
def test_retrieval_recipes_train_on_mocked_data(name, tmp_path, monkeypatch):
    mocked = Mocked("cars196", (None, None, 3), 8, ["train", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["batch_size=4", "per_class=2", "model.image_size=16", "model.backbone=small"]
    small += ["model.weights=null", "train_classes=4", "validation_classes=2", "label=label"]
    small += ["report_k=[1,2]", "model.dim=8", "steps_per_epoch=4", "ala.children=1"]
    small += ["ala.steps_per_action=3", "ala.warmup_steps=1"]
    metrics = trained(name, tmp_path, *SHORT, *small, export=name == "sop")
    assert set(metrics) == {"recall_at_1", "recall_at_2", "count"}
    if name == "sop":
        model, resolved = runner.open_trained(str(tmp_path))
        signature = resolved.recipe.signatures(model)["serving_default"]
        embedding = np.array(signature(**signature.examples)["embedding"])
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


def test_batches_hold_several_of_each_class(monkeypatch):
    mocked = Mocked("cars196", (8, 8, 3), 6, ["train", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    words = ["batch_size=4", "per_class=2", "model.image_size=8", "train_classes=4"]
    words += ["validation_classes=1", "label=label"]
    resolved = runner.resolve("ala/omniglot_recall", words)
    stream = resolved.recipe.datasets(resolved.config).train
    seen = [np.array(y) for _, y in stream.from_step(0).take(5)]
    for y in seen:
        assert sorted(np.unique(y, return_counts=True)[1]) == [2, 2]
    again = [np.array(y) for _, y in stream.from_step(3).take(2)]
    np.testing.assert_array_equal(again, seen[3:])
    files = [np.array(x) for x, _ in stream.from_step(0).take(5)]
    assert any((a != files[0]).any() for a in files[1:])


class Faces(Mocked):
    def __init__(self):
        super().__init__("celeb_a", (20, 16, 3), 2, ["train", "validation", "test"])
        import tensorflow_datasets as tfds

        attributes = {"Wearing_Hat": tf.bool, "Smiling": tf.bool}
        image = tfds.features.Image(shape=(20, 16, 3))
        self.info.features = tfds.features.FeaturesDict({"image": image, "attributes": attributes})

    def as_dataset(self, split, decoders=None, **keywords):
        dataset = super().as_dataset(split, decoders, **keywords)

        def turned(x):
            return {"image": x["image"], "attributes": {"Wearing_Hat": x["label"] > 0}}

        return dataset.map(turned)


@pytest.mark.slow
def test_celeb_a_trains_on_mocked_data(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "builder", lambda config: Faces())
    small = ["batch_size=8", "model.depth=8", "model.width=2", "image_size=8"]
    small += ["ala.steps_per_action=3"]
    metrics = trained("celeb_a", tmp_path, *SHORT, *small, "ala.warmup_steps=0")
    assert metrics["count"] == 24
    with pytest.raises(InputError, match="attribute='Bald': must be one of"):
        trained("celeb_a", tmp_path / "b", *SHORT, *small, "attribute=Bald")


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("digits", "ala.loss=focal_pairs", "ala.loss='focal_pairs': must be one of class_weights"),
        ("sop", "ala.loss=correlation", "ala.loss='correlation': must be one of distance_mixture"),
        ("digits", "ala.children=0", "ala.children=0"),
        ("digits", "ala.evaluations=11", "evaluations=11: must be at most 10"),
        ("digits", "epochs=1", "epochs=1: .* must be at least 160"),
        (
            "digits",
            "distribute=mirrored",
            "distribute='mirrored': must be none, since ala.children=6",
        ),
        (
            "digits",
            "precision=mixed_float16",
            "precision='mixed_float16': must be .*, since ala.children=6",
        ),
        ("digits", "ala.controller=ala/digits", "ala/digits"),
        ("digits", "optimizer.kind=rmsprop", "optimizer.kind='rmsprop'"),
        ("sop", "batch_size=81", "batch_size=81: must be divisible by per_class, 2"),
    ],
)
def test_wrong_configs(name, override, words, tmp_path):
    with pytest.raises(InputError, match=words):
        trained(name, tmp_path, override)


def test_a_long_tail_falls_geometrically_and_keeps_the_smallest_class():
    y = np.repeat(np.arange(10), [60] + [50] * 9)
    kept = y[long_tail(y, 10.0, 0)]
    expected = (50 * 10.0 ** (-np.arange(10) / 9)).astype(int)
    np.testing.assert_array_equal(np.bincount(kept), expected)
    assert len(long_tail(y, 1.0, 0)) == 500
    with pytest.raises(InputError, match=r"rare.ratio=0.5: must be at least 1"):
        long_tail(y, 0.5, 0)


def test_class_balanced_weights_lie_between_equal_ones_and_inverse_frequencies():
    counts = np.array([1000, 100, 10])
    np.testing.assert_array_equal(effective_number(counts, 0.0), 0)
    near = effective_number(counts, 1 - 1e-7)
    inverse = -np.log(counts)
    np.testing.assert_allclose(near, inverse - inverse.mean(), atol=1e-3)
    between = effective_number(counts, 0.99)
    assert (np.diff(between) > 0).all() and np.ptp(between) < np.ptp(near)


@pytest.mark.slow
def test_the_class_balanced_start_counts_an_epoch(tmp_path):
    words = ["ala.beta=0", "ala.learn=false", "ala.effective=0.99", "ala.children=2"]
    trained("digits", tmp_path, *SHORT, *words)
    loss = keras.models.load_model(tmp_path / "model.keras").loss
    phi, counts = np.array(loss.phi), np.array(loss.counts)
    assert np.ptp(phi) > 1
    assert np.corrcoef(phi, np.log(counts))[0, 1] < -0.95
