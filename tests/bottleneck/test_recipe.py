"""The recipes: digits learn, resume exactly and are served; the large ones on mocked data."""

import signal

import numpy as np
import pytest

from mocked import Mocked
from support import slow
from tfzoo import data, runner
from tfzoo.errors import InputError
from tfzoo.training.callbacks import StopFlag, TrainingInterrupted

FAST = ["deterministic=false", "epochs=3", "model.width=64", "model.draws=2"]


def trained(name, folder, *overrides, export=False):
    resolved = runner.resolve(name, [*FAST, *overrides])
    metrics = runner.run_recipe(resolved, folder, export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


@pytest.mark.parametrize("name", ["bottleneck/digits", slow("bottleneck/digits_ce")])
def test_digits_learn_and_export(name, tmp_path):
    metrics = trained(name, tmp_path, "batch_size=300", export=True)
    assert metrics["accuracy"] > 0.75 and metrics["count"] == 300
    model, resolved = runner.open_trained(str(tmp_path))
    signatures = resolved.recipe.signatures(model)
    assert set(signatures) == {"serving_default", "bytes", "features"}
    images = signatures["serving_default"].examples
    answers = signatures["serving_default"](**images)
    expected = {"mean", "stddev", "classes"} | ({"probabilities"} if "ce" in name else set())
    assert set(answers) == expected and answers["mean"].shape == (4, 10)
    assert signatures["features"](**images)["features"].shape == (4, 2, 16)
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 4 and "learning_rate" in rows[0] and "val_accuracy" in rows[0]


class StopsLater(StopFlag):
    """Requests a stop at the tenth check."""

    looks = 0

    @property
    def signum(self):
        self.looks += 1
        return signal.SIGTERM if self.looks > 9 else None


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    words = [*FAST, "batch_size=100", "steps_per_epoch=7"]
    resolved = runner.resolve("bottleneck/digits", words)
    recipe, config = resolved.recipe, resolved.config
    datasets = recipe.datasets(config)

    def train(folder, **keywords):
        runner.prepare(config)
        model = recipe.build(config, datasets.info)
        recipe.train(model, datasets, runner.Run(tmp_path / folder, config, **keywords))
        return model

    whole = train("whole")
    with pytest.raises(TrainingInterrupted, match="after step 10"):
        train("cut", stop=StopsLater())
    cut = train("cut")
    assert int(cut.steps) == 21
    for a, b in zip(whole.weights, cut.weights, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [("bottleneck/mnist", (28, 28, 1)), ("bottleneck/cifar10", (32, 32, 3))],
)
def test_large_recipes_train_on_mocked_data(name, shape, tmp_path, monkeypatch):
    mocked = Mocked(name.split("/")[1], shape, 10, ["train", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["batch_size=20", "steps_per_epoch=1", "epochs=1", "model.draws=1"]
    assert trained(name, tmp_path, *small)["count"] > 0


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.bottleneck_dim=0", "model.bottleneck_dim=0"),
        ("model.activation=tanh", "model.activation='tanh'"),
        ("model.rate=2", "model.rate=2"),
        ("loss=hinge", "loss='hinge'"),
        ("precision=mixed_float16", "precision='mixed_float16'"),
        ("distribute=mirrored", "distribute='mirrored'"),
        ("steps_per_epoch=null", "steps_per_epoch=None"),
        ("memory_gib=0.1", "batch_size=1197: must be at most .* for 0.1 GiB"),
        ("batch_size=40000", "batch_size=40000: must be at most"),
    ],
)
def test_values_out_of_range(override, words):
    with pytest.raises(InputError, match=words):
        runner.resolve("bottleneck/digits", [override])


def test_more_examples_than_there_are():
    resolved = runner.resolve("bottleneck/digits", ["batch_size=1500", "memory_gib=8"])
    with pytest.raises(InputError, match="batch_size=1500: must be at most 1197"):
        resolved.recipe.datasets(resolved.config)


def test_wants_square_images():
    resolved = runner.resolve("bottleneck/digits", ["data.name=imagenet2012"])
    with pytest.raises(InputError, match="must be square"):
        runner.dry_run(resolved)
