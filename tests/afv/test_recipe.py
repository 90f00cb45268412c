"""AFV's recipes: digits learn, resume exactly and are served; the paper's on mocked data."""

import dataclasses
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from mocked import Mocked
from support import load_module
from tfzoo import data, runner
from tfzoo.afv import EnergyGAN, export_distance
from tfzoo.afv.recipe import FisherClassification, augmented, make_gan
from tfzoo.errors import InputError
from tfzoo.serving.loading import load
from tfzoo.training.callbacks import StopFlag, TrainingInterrupted

small = load_module("afv/small.py")
FAST = ["deterministic=false", "epochs=1", "model.width=2", "model.latent=3"]


def trained(name, folder, *overrides, export=False):
    resolved = runner.resolve(name, [*FAST, *overrides])
    metrics = runner.run_recipe(resolved, folder, export=export)
    assert all(np.isfinite(v) for v in metrics.values())
    return metrics


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with small.with_blocks(1):
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    words = ["epochs=2", "monitor_every=1", "readout.examples=300", "readout.samples=64"]
    words += ["readout.served_features=32", "model.width=4"]
    metrics = trained("afv/digits", folder, *words, export=True)
    return folder, metrics


@pytest.mark.slow
def test_digits_learn_and_export(run):
    folder, metrics = run
    assert metrics["accuracy"] > 0.8 and metrics["count"] == 300
    assert metrics["distance_floor"] == pytest.approx(1 / 300 + 1 / 64)
    rows = (folder / "log.csv").read_text().splitlines()
    assert len(rows) == 3 and "fisher_train" in rows[0] and "distance_val" in rows[0]
    picture = tf.io.decode_png((folder / "samples" / "epoch-0002.png").read_bytes())
    assert picture.shape == (128, 128, 1)
    assert isinstance(keras.models.load_model(folder / "gan.keras"), EnergyGAN)


@pytest.mark.slow
def test_signatures(run):
    model, resolved = runner.open_trained(str(run[0]))
    signatures = resolved.recipe.signatures(model)
    names = {"serving_default", "features", "score"}
    assert set(signatures) == names | {"bytes", "features_bytes", "score_bytes", "sample"}
    images = signatures["serving_default"].examples
    answers = signatures["serving_default"](**images)
    np.testing.assert_allclose(answers["probabilities"].sum(1), 1, rtol=1e-5)
    vectors = signatures["features"](**images)["fisher_vector"]
    assert vectors.shape == (4, 32) and model.vectorizer.features == 233
    assert signatures["score"](**images)["energy"].shape == (4,)
    drawn = signatures["sample"](seed=np.array([3, 5, 3, 4]))["images"]
    np.testing.assert_allclose(drawn[0], drawn[2], rtol=1e-5)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3 and drawn.min() >= 0 and drawn.max() <= 16


@pytest.mark.slow
def test_the_distance_is_an_export_of_its_own(run, tmp_path):
    model, _ = runner.open_trained(str(run[0]))
    loaded = load(export_distance(model, tmp_path / "distance"))
    rng = np.random.default_rng(0)
    x, y = (tf.constant(rng.integers(0, 17, (n, 8, 8, 1)), tf.float32) for n in (9, 5))
    answer = loaded.signatures["serving_default"](x=x, y=y)
    expected = model.vectorizer.distance(model.prepare(x), model.prepare(y))
    assert float(answer["distance"]) == pytest.approx(expected, rel=1e-3)
    assert float(answer["floor"]) == pytest.approx(1 / 9 + 1 / 5)
    near = loaded.signatures["similarity"](x=x)
    assert float(near["distance"]) == pytest.approx(
        model.vectorizer.similarity(model.prepare(x)).distance, rel=1e-3
    )


class StopsLater(StopFlag):
    """Requests a stop at the eighth check."""

    looks = 0

    @property
    def signum(self):
        self.looks += 1
        return signal.SIGTERM if self.looks > 7 else None


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    """The GAN's `fit`; the later steps of a recipe depend only on the GAN."""
    config = runner.resolve("afv/digits", [*FAST, "steps_per_epoch=6", "epochs=2"]).config
    datasets = FisherClassification().datasets(config)

    def train(folder, **keywords):
        runner.prepare(config)
        gan = make_gan(config, datasets.info)
        runner.Run(tmp_path / folder, config, **keywords).fit(gan, datasets)
        return gan

    whole = train("whole")
    with pytest.raises(TrainingInterrupted, match="after step 8"):
        train("cut", stop=StopsLater())
    for v, w in zip(whole.weights, train("cut").weights, strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-5, atol=1e-6, err_msg=v.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("afv/mnist", (28, 28, 1)),
        ("afv/cifar10", (32, 32, 3)),
    ],
)
def test_the_papers_recipes_train_on_mocked_data(name, shape, tmp_path, monkeypatch):
    mocked = Mocked(name.split("/")[1], shape, 10, ["train", "test"])
    monkeypatch.setattr(data, "builder", lambda config: mocked)
    small = ["batch_size=8", "steps_per_epoch=2", "readout.epochs=1", "readout.batch_size=8"]
    small += ["readout.samples=32", "readout.rate=0.001"]
    assert trained(name, tmp_path, *small)["count"] > 0
    assert (tmp_path / "readout" / "log.csv").is_file()
    model, _ = runner.open_trained(str(tmp_path))
    assert np.abs(model.kernel).max() > 0 and not np.any(model.bias)


def test_cifar100_is_cifar10_but_for_its_data():
    small, large = (runner.resolve(f"afv/cifar10{x}").config for x in ("", "0"))
    assert large.data.name == "cifar100" and dataclasses.replace(large, data=small.data) == small


def test_augmentation_of_the_official_code():
    image = tf.reshape(tf.range(64.0), (8, 8, 1)) + 1
    seen = set()
    for i in range(40):
        changed = augmented(image, tf.constant([0, i]), "official", 8)
        assert changed.shape == (8, 8, 1)
        inside = changed.numpy()[1:-1, 1:-1, 0]  # the part that a crop by one pixel always keeps
        seen.add((np.sign(inside[0, 1] - inside[0, 0]), abs(inside[0, 1] - inside[0, 0])))
    assert seen >= {(1, 1), (-1, 1), (1, 8), (-1, 8)}
    plain = augmented(image, tf.constant([0, 0]), "none", 8)
    np.testing.assert_array_equal(plain, image)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.image_size=20", "model.image_size=20"),
        ("model.width=0", "model.width=0"),
        ("model.objective=wgan", "model.objective='wgan'"),
        ("model.head=logit model.objective=vgan", "model.head='logit'"),
        ("model.ema=1", "model.ema=1"),
        ("model.mcmc_weight=-1", "model.mcmc_weight=-1"),
        ("optimizer.d_rate=0", "optimizer.d_rate=0"),
        ("optimizer.drop_epochs=[2,1]", "optimizer.drop_epochs"),
        ("readout.method=svm", "readout.method='svm'"),
        ("readout.samples=8", "readout.samples=8"),
        ("readout.dropout=1", "readout.dropout=1"),
        ("readout.route=fast", "readout.route='fast'"),
        ("augment=crop", "augment='crop'"),
        ("monitor_every=0", "monitor_every=0"),
    ],
)
def test_values_out_of_range(override, words):
    with pytest.raises(InputError, match=words):
        runner.resolve("afv/digits", override.split())


def test_wants_square_images():
    resolved = runner.resolve("afv/digits", ["data.name=imagenet2012"])
    with pytest.raises(InputError, match="must be square"):
        runner.dry_run(resolved)
