"""The whole network: masks, locality, views, fitting, saving, refusals."""

import keras
import numpy as np
import pytest

from support import load_module
from tfzoo.errors import InputError
from tfzoo.recon3d import OccupancyIoU, OccupancyReconstructor

cases = load_module("recon3d/cases.py")


def model(**keywords):
    keras.utils.set_random_seed(1)
    network = OccupancyReconstructor(**cases.SMALL | keywords)
    rng = np.random.default_rng(0)
    for weight in network.trainable_weights:
        weight.assign(weight + 0.2 * rng.normal(size=weight.shape))
    return network


@pytest.mark.parametrize("aggregate", ["mean", "max", "var", "mean_var"])
def test_order_of_views_does_not_matter(aggregate):
    network, images, cameras = model(aggregate=aggregate), cases.photos(v=3), cases.cameras(v=3)
    order, x = [2, 0, 1], cases.points()
    plain = network.occupancy(images, cameras, x)
    np.testing.assert_allclose(
        network.occupancy(images[:, order], cameras[:, order], x), plain, atol=1e-5
    )


def test_an_absent_view_is_as_good_as_none():
    network, images, cameras = model(), cases.photos(v=3), cases.cameras(v=3)
    cameras[:, 1] = 0
    masked = network.occupancy(images, cameras, cases.points())
    rest = network.occupancy(images[:, ::2], cameras[:, ::2], cases.points())
    np.testing.assert_allclose(masked, rest, atol=1e-5)


def test_a_point_without_any_view_that_has_it():
    network = model(visibility=True)
    far = np.full((3, 2, 3), 50.0)
    occupancy = network.occupancy(cases.photos(), cases.cameras(), far)
    np.testing.assert_allclose(occupancy, occupancy[0, 0], atol=1e-6)  # nothing is known of any
    assert np.isfinite(occupancy).all()


def test_local_evidence_and_global_code():
    cameras, x = cases.cameras(b=1, v=1), np.zeros((1, 1, 3))  # the image's centre
    images = cases.photos(b=1, v=1)
    other = images.copy()
    other[:, :, 8, 8] = 255 - other[:, :, 8, 8]  # a corner of the object
    for encoder, changes in (("local", False), ("global", True), ("unet", True)):
        network = model(encoder=encoder)
        change = np.abs(
            network.occupancy(images, cameras, x) - network.occupancy(other, cameras, x)
        ).max()
        assert (change > 0) == changes, encoder


@pytest.mark.slow
def test_fits_one_shape_and_comes_back_from_a_file(tmp_path):
    network = OccupancyReconstructor(**cases.SMALL)
    network.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[OccupancyIoU()],
    )
    x = {"images": cases.photos(), "cameras": cases.cameras(), "points": cases.points(n=64)}
    y = (np.linalg.norm(x["points"], axis=-1) < 0.4).astype("f4")
    logs = network.fit(x, y, batch_size=3, epochs=60, verbose=0).history
    assert logs["loss"][-1] < 0.5 * logs["loss"][0] and logs["iou"][-1] > 0.7
    network.threshold = 0.3
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.threshold == 0.3 and again.receptive_field == network.receptive_field
    arguments = (x["images"], x["cameras"], x["points"])
    np.testing.assert_allclose(
        again.occupancy(*arguments), network.occupancy(*arguments), atol=1e-6
    )
    assert again.evaluate(x, y, verbose=0, return_dict=True)["iou"] <= 1


def test_one_object_without_batch_axis_in_chunks(monkeypatch):
    from tfzoo.recon3d import field

    network, images, cameras, x = model(), cases.photos(), cases.cameras(), cases.points(n=700)
    whole = network.occupancy(images, cameras, x)
    monkeypatch.setattr(field, "CHUNK", 256)
    np.testing.assert_allclose(network.occupancy(images[1], cameras[1], x[1]), whole[1], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": cases.photos(size=16)}, r"images\[3, 2, 16, 16, 3\]"),
        ({"cameras": cases.cameras(v=1)}, r"cameras\[3, 1, 3, 7\]"),
        ({"cameras": np.zeros((3, 2, 3, 7))}, "has 0 views, must have at least 1"),
        ({"points": np.zeros((3, 2))}, r"points\[3, 2\]"),
        ({"points": np.full((3, 1, 3), np.nan)}, "points: holds NaN"),
        ({"images": np.zeros((3, 0, 32, 32, 3)), "cameras": np.zeros((3, 0, 3, 7))}, "0 views"),
        ({"images": "x.png"}, "images: dtype"),
    ],
)
def test_refuses(change, says):
    given = {"images": cases.photos(), "cameras": cases.cameras(), "points": cases.points()}
    with pytest.raises(InputError, match=says):
        model().occupancy(**given | change)


def test_variance_alone_refuses_a_single_view():
    with pytest.raises(InputError, match="has 1 views, must have at least 2"):
        model(aggregate="var").occupancy(cases.photos(v=1), cases.cameras(v=1), cases.points())
