"""SDN's recipes: sets learn, resume exactly and are served; judges; the paper's sizes build."""

import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import runner
from tfzoo.data.images import image_sets
from tfzoo.errors import InputError
from tfzoo.sdn import SetDistributionNetwork, recipe
from tfzoo.training.callbacks import StopFlag, TrainingInterrupted

SMALL = [
    "deterministic=false",
    "epochs=2",
    "batch_size=4",
    "set_size=2",
    "image_size=4",
    "model.width=8",
    "model.code_dim=4",
    "model.noise_dim=2",
    "model.prior_hidden=[6]",
    "monitor_every=1",
    "voxel_net=null",
]


def made_sets(count, seed, size=4):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 200, (count, 1, size, size, 1))
    x = base + rng.integers(0, 50, (count, 5, size, size, 1))
    images = x.reshape(count * 5, size, size, 1).astype("uint8")
    voxels = np.repeat(np.repeat(np.repeat(base[:, 0, :2, :2] > 100, 8, 1), 8, 2), 16, 3)
    return image_sets.from_arrays(images, np.repeat(np.arange(count), 5), voxels=voxels)


@pytest.fixture(autouse=True)
def _few_sets(monkeypatch):
    def small_sets(config, size, channels):
        assert channels in (1, None)
        parts = {"train": 16, "validation": 6, "test": 6}
        return {name: made_sets(n, seed, size) for seed, (name, n) in enumerate(parts.items())}

    monkeypatch.setattr(recipe, "image_sets", small_sets)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            recipe, "image_sets", lambda *a: {k: made_sets(12, i) for i, k in enumerate(_SPLITS)}
        )
        folder = tmp_path_factory.mktemp("sets")
        resolved = runner.resolve("sdn/shapes", SMALL)
        metrics = runner.run_recipe(resolved, folder, export=True)
    return folder, metrics


_SPLITS = ("train", "validation", "test")


@pytest.mark.slow
def test_a_run_learns_watches_and_exports(run):
    folder, metrics = run
    assert all(np.isfinite(v) for v in metrics.values()) and metrics["count"] == 12
    assert 0 <= metrics["code_auc"] <= 1 and metrics["unique_codes"] >= 1
    rows = (folder / "log.csv").read_text().splitlines()
    assert len(rows) == 3 and "unique_codes" in rows[0] and "val_e_real" in rows[0]
    picture = tf.io.decode_png((folder / "samples" / "epoch-0002.png").read_bytes())
    assert picture.shape == (6 * 4, 3 * 2 * 4 + 6, 1)
    assert isinstance(keras.models.load_model(folder / "model.keras"), SetDistributionNetwork)
    loaded = tf.saved_model.load(str(folder / "export" / "shapes" / "1"))
    assert set(loaded.signatures) >= {"encode", "reconstruct", "sample", "score"}


def test_signatures(run):
    model, resolved = runner.open_trained(str(run[0]))
    signatures = resolved.recipe.signatures(model)
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 4, 4, 1)).astype("float32")
    mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    codes = signatures["encode"](images=x, mask=mask)["code"]
    np.testing.assert_array_equal(codes[:3], model.encode(x[:3], mask[:3]))
    np.testing.assert_array_equal(codes[3], 0)  # no image, no code
    seed = np.array([5, 5, 7, 5], np.int32)
    reconstructed = signatures["reconstruct"](images=x, mask=mask, seed=seed)["images"]
    assert (
        reconstructed.shape == x.shape and reconstructed.min() >= 0 and reconstructed.max() <= 255
    )
    drawn = signatures["sample"](seed=seed)
    np.testing.assert_array_equal(drawn["code"][0], drawn["code"][1])
    np.testing.assert_allclose(drawn["images"][0], drawn["images"][3], atol=1e-3)
    assert np.abs(drawn["images"][0] - drawn["images"][2]).max() > 1e-2
    scores = signatures["score"](images=x[:3], mask=mask[:3])
    np.testing.assert_allclose(scores["log_prob"], model.log_prob(codes[:3]), rtol=1e-4)
    energy = model.energy(model.prepare(x[:3]), codes[:3], mask=mask[:3])
    np.testing.assert_allclose(scores["energy"], energy, rtol=1e-4)


class StopsLater(StopFlag):
    """Requests a stop at the sixth check."""

    looks = 0

    @property
    def signum(self):
        self.looks += 1
        return signal.SIGTERM if self.looks > 5 else None


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    resolved = runner.resolve("sdn/shapes", [*SMALL, "save_every=2"])
    task, config = resolved.recipe, resolved.config
    datasets = task.datasets(config)

    def train(folder, **keywords):
        runner.prepare(config)
        model = task.build(config, datasets.info)
        task.train(model, datasets, runner.Run(tmp_path / folder, config, **keywords))
        return model

    whole = train("whole")
    with pytest.raises(TrainingInterrupted):
        train("cut", stop=StopsLater())
    for a, b in zip(whole.weights, train("cut").weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=a.path)


@pytest.mark.slow
def test_judges_train_and_judge(tmp_path):
    common = ["deterministic=false", "batch_size=4", "image_size=4", "set_size=2", "epochs=30"]
    words = [*common, "width=16", "rate=0.01"]
    metrics = runner.run_recipe(runner.resolve("sdn/shapes_voxels", words), tmp_path / "v")
    assert metrics["iou"] > metrics["iou_shuffled"] and metrics["count"] == 6
    words = [*common, "width=8", "dim=16"]
    seen = runner.run_recipe(runner.resolve("sdn/omniglot_verifier", words), tmp_path / "i")
    assert seen["auc"] > 0.8 and seen["count"] == 6
    judged = [f"voxel_net={tmp_path / 'v' / 'model.keras'}"]
    judged += [f"verifier={tmp_path / 'i' / 'model.keras'}"]
    words = [w for w in SMALL if not w.startswith("voxel_net")] + judged
    judgements = runner.run_recipe(
        runner.resolve("sdn/shapes", words), tmp_path / "s", export=False
    )
    expected = {"iou_real", "iou_reconstructed", "iou_from_1", "sample_consistency"}
    assert expected | {"verify_real", "verify_sampled"} <= set(judgements)
    assert judgements["iou_real"] > judgements["iou_real_shuffled"]
    assert all(
        0 <= judgements[k] <= 1 for k in judgements if k.startswith(("iou", "verify", "sample"))
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdn/vggface2", "sdn/shapenet", "sdn/faces"])
def test_larger_recipes_build_and_train_a_step(name, monkeypatch):
    rng = np.random.default_rng(0)
    channels = runner.resolve(name).config.channels or 1
    x = rng.integers(0, 256, (24, 32, 32, channels)).astype("uint8")
    sets = image_sets.from_arrays(x, np.repeat(np.arange(6), 4))
    monkeypatch.setattr(recipe, "image_sets", lambda *a: dict.fromkeys(_SPLITS, sets))
    words = ["image_size=32", "model.width=2", "batch_size=3", "set_size=2", "epochs=1"]
    words += ["model.code_dim=8", "model.prior_hidden=[8]", "deterministic=false"]
    resolved = runner.resolve(name, words)
    datasets = resolved.recipe.datasets(resolved.config)
    model = resolved.recipe.build(resolved.config, datasets.info)
    logs = model.fit(datasets.train.from_step(0), steps_per_epoch=1, epochs=1, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


def test_a_collapse_is_warned_of(run):
    model, _ = runner.open_trained(str(run[0]))
    model.encoder.features.layers[-1].kernel.assign(0 * model.encoder.features.layers[-1].kernel)
    from tfzoo.sdn import CodeMonitor

    monitor = CodeMonitor(made_sets(12, 0).arrays(2)[0])
    monitor.set_model(model)
    monitor.set_params({"epochs": 1})
    with pytest.warns(UserWarning, match="1 codes for 12 sets, the encoder collapses"):
        monitor.on_epoch_end(0, {})


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.preset=resnet", "model.preset='resnet'"),
        ("image_size=30", "image_size=30"),
        ("model.margin=0", "model.margin=0"),
        ("channels=2", "channels=2"),
        ("set_size=0", "set_size=0"),
        ("optimizer.decay=linear", "optimizer.decay"),
    ],
)
def test_refuses(override, says):
    with pytest.raises(InputError, match=says):
        runner.resolve("sdn/faces", [override])


def test_refuses_data_without_voxels_and_sets_too_small():
    with pytest.raises(InputError, match="test_size=4"):
        resolved = runner.resolve("sdn/shapes", [*SMALL, "test_size=4"])
        datasets = resolved.recipe.datasets(resolved.config)
        resolved.recipe.evaluate(None, datasets, resolved.config)
