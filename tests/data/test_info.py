import json

import numpy as np
import pytest

from tfzoo import data, runner
from tfzoo.data.info import Info, moments, value_range
from tfzoo.errors import InputError
from tfzoo.recipes.config import NetworkConfig


def test_range_of_integers_is_their_dtypes_unless_they_stay_in_its_lower_half():
    assert value_range(np.dtype("uint8"), 3, 251) == (0.0, 255.0)
    assert value_range(np.dtype("uint8"), 1, 16) == (0.0, 16.0)
    assert value_range(np.dtype("uint16"), 0, 65000) == (0.0, 65535.0)
    assert value_range(np.dtype("float32"), -0.5, 0.9) == (-0.5, pytest.approx(0.9))


def test_scales_are_the_datas_unless_told():
    x = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3)).astype("uint8")
    info = Info(1, shape=(4, 4, 3), **moments(x))
    plain = NetworkConfig()
    by_channel = info.by_channel(plain)
    np.testing.assert_allclose(by_channel["pixel_mean"], x.mean((0, 1, 2)))
    np.testing.assert_allclose(by_channel["pixel_std"], x.std((0, 1, 2)))
    over_all = info.over_all(plain)
    assert over_all == {"pixel_mean": pytest.approx(x.mean()), "pixel_std": pytest.approx(x.std())}
    assert info.to_unit(plain) == {"pixel_mean": 127.5, "pixel_std": 127.5}
    told = NetworkConfig(pixel_mean=3.0, pixel_std=2.0)
    for scale in (info.by_channel, info.over_all, info.to_unit):
        assert scale(told) == {"pixel_mean": 3.0, "pixel_std": 2.0}


def test_a_constant_channel_is_not_divided_by_zero():
    info = Info(1, **moments(np.full((5, 2, 2, 1), 7, "uint8")))
    assert info.by_channel(NetworkConfig())["pixel_std"] == 1.0
    assert info.over_all(NetworkConfig())["pixel_std"] == 1.0


def test_data_that_were_not_measured_scale_nothing_in_silence():
    with pytest.raises(ValueError, match="pixel_mean=None"):
        Info(1).by_channel(NetworkConfig())
    assert Info(1, guesses=("mean", "std")).by_channel(NetworkConfig())["pixel_mean"] == 0.0


def test_info_survives_json():
    info = Info(3, 7, "a/1", (None, None, 3), "uint8", 0.0, 255.0, (1.0,), (2.0,), ("b", "c"))
    assert Info.from_dict(json.loads(json.dumps(info.__dict__)) | {"action_dim": 3}) == info
    assert info.num_classes == 2 and info.has_names and info.channels == 3
    assert not Info(1, classes=("0", "1")).has_names
    with pytest.raises(InputError, match="must all have one size"):
        _ = info.sizes


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 8, 8, 1)).astype("uint8")
    np.savez(folder / "mine.npz", x=x, y=np.arange(200) % 4)
    return [f"data.path={folder / 'mine.npz'}", "data.name=tfzoo_arrays"]


def test_statistics_are_of_the_training_split_and_kept(arrays):
    resolved = runner.resolve("collegial/digits", [*arrays, "batch_size=8"])
    builder = data.builder(resolved.config.data)
    train = data.three_splits(builder)[0]
    x = np.stack([e["image"] for e in data.split(builder, train).as_numpy_iterator()])
    for _ in range(2):  # measured, then read
        info = resolved.recipe.datasets(resolved.config).info
        assert (info.low, info.high) == (0.0, 255.0)
        np.testing.assert_allclose(info.mean, x.mean((0, 1, 2)))
        np.testing.assert_allclose(info.std, x.std((0, 1, 2)))
        kept = list(builder.data_path.glob("statistics-image-*.json"))
        assert len(kept) == 1


def test_settings_of_a_recipes_own_data_are_left_out_for_others(arrays):
    own = runner.resolve("metricopt/digits_mcr")
    assert own.config.rare.classes == 5 and own.config.model.pixel_std == 16 and not own.left_out
    (said,) = runner.remarks(own)
    assert "rare.classes=5" in said and "rare.classes=0" in said
    other = runner.resolve("metricopt/digits_mcr", [*arrays, "model.pixel_mean=1.0"])
    assert other.config.rare.classes == 0
    assert other.config.model.pixel_mean == 1.0 and other.config.model.pixel_std is None
    (said,) = runner.remarks(other)
    assert all(key in said for key in ("rare.classes", "rare.examples", "model.pixel_std"))
    assert "pixel_mean" not in said
    told = runner.resolve("metricopt/digits_mcr", [*arrays, "rare.classes=2"])
    assert told.config.rare.classes == 2


def test_a_metric_that_the_data_do_not_allow_is_refused_before_training(arrays):
    words = [*arrays, "metric.name=recall_at_precision", "metric.precision=0.9"]
    resolved = runner.resolve("metricopt/digits_mcr", words)
    with pytest.raises(InputError, match="metric.name='recall_at_precision': not defined on"):
        resolved.recipe.datasets(resolved.config)


def test_levels_of_an_image_model_follow_the_data(arrays):
    other = runner.resolve("aft/digits_pixels", arrays)
    assert other.config.levels == 256 and runner.resolve("aft/digits_pixels").config.levels == 17
    told = runner.resolve("aft/digits_pixels", [*arrays, "levels=17"])
    with pytest.raises(InputError, match="levels=17: must be at least 256"):
        told.recipe.build(told.config, told.recipe.datasets(told.config).info)


def test_judges_of_other_data_are_left_out(tmp_path):
    words = ["data.name=tfzoo_image_folder", f"data.path={tmp_path}"]
    resolved = runner.resolve("sdn/shapes", words)
    assert resolved.config.voxel_net is None and "voxel_net" in resolved.left_out
