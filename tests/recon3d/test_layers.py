"""Encoders, point representations, aggregation, decoder: what each may depend on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import load_module
from tfzoo.data.shapes.cameras import turned
from tfzoo.recon3d import (
    GlobalEncoder,
    LocalEncoder,
    OccupancyDecoder,
    OccupancyReconstructor,
    PointRepresentation,
    UNetEncoder,
    ViewAggregation,
    geometry,
    visual_hull,
)
from tfzoo.recon3d.evaluation import random_rotation

cases = load_module("recon3d/cases.py")
RNG = np.random.default_rng(0)


def model(**keywords):
    keras.utils.set_random_seed(1)
    network = OccupancyReconstructor(**cases.SMALL | keywords)
    for weight in network.trainable_weights:
        weight.assign(weight + 0.2 * RNG.normal(size=weight.shape))
    return network


@pytest.mark.parametrize("cls", [LocalEncoder, UNetEncoder])
def test_a_cell_sees_no_further_than_it_says(cls):
    layer = cls(128, 2, 3)
    x = tf.Variable(RNG.normal(size=(1, 128, 128, 3)).astype("f4"))
    with tf.GradientTape() as tape:
        y = layer(x)[0, 30:32, 30:32]  # two cells, for interpolation
    seen = np.abs(tape.gradient(y, x)).max((0, 2, 3)) > 0
    span = np.flatnonzero(seen)
    assert 1 + span[-1] - span[0] <= layer.receptive_field
    if cls is LocalEncoder:
        assert 1 + span[-1] - span[0] == 14
        assert span[0] + span[-1] == 2 * 62 - 1  # centred on the pixels of the two cells: 60 to 63
    else:
        assert 1 + span[-1] - span[0] > 60


def test_a_global_code_sees_everything():
    layer = GlobalEncoder(32, 4, 4)
    x = tf.Variable(RNG.normal(size=(1, 32, 32, 3)).astype("f4"))
    with tf.GradientTape() as tape:
        y = layer(x)
    assert (np.abs(tape.gradient(y, x))[0].max(-1) > 0).mean() > 0.95 and y.shape == (1, 4)


def test_variance_is_numpys_whatever_the_order():
    r = RNG.normal(size=(2, 4, 5, 3)).astype("f4")
    variance = np.array(ViewAggregation("var")(r, np.ones((2, 4, 5), "f4")))
    np.testing.assert_allclose(variance, r.var(1), rtol=1e-4, atol=1e-6)
    for mode in ("mean", "max", "var", "mean_var"):
        layer, ones = ViewAggregation(mode), np.ones((2, 4, 5), "f4")
        np.testing.assert_allclose(layer(r, ones), layer(r[:, [2, 0, 3, 1]], ones), atol=1e-6)
    scaled = np.array(ViewAggregation("var")(3 * r + 1, np.ones((2, 4, 5), "f4")))
    np.testing.assert_allclose(scaled, 9 * variance, rtol=1e-4, atol=1e-5)


def test_equal_views_cost_nothing_and_absent_ones_do_not_count():
    r = RNG.normal(size=(2, 1, 5, 3)).astype("f4")
    ones = np.ones((2, 3, 5), "f4")
    np.testing.assert_allclose(ViewAggregation("var")(np.repeat(r, 3, 1), ones), 0, atol=1e-12)
    both = np.array(ViewAggregation()(r, ones[:, :1]))
    np.testing.assert_array_equal(both[..., 3:], 0)
    np.testing.assert_allclose(both[..., :3], np.maximum(r[:, 0], 0))
    mixed = RNG.normal(size=(2, 3, 5, 3)).astype("f4")
    weights = ones * [[[1], [0], [1]]]
    for mode in ("mean", "max", "var", "mean_var"):
        layer = ViewAggregation(mode)
        np.testing.assert_allclose(
            layer(mixed, weights), layer(mixed[:, ::2], ones[:, :2]), atol=1e-6
        )
        np.testing.assert_array_equal(layer(mixed, 0 * ones), 0)  # no views at all
    with pytest.raises(ValueError, match="at least 2 views"):
        ViewAggregation("var")(r, ones[:, :1])


def test_concatenation_keeps_the_views_apart():
    r = RNG.normal(size=(2, 2, 5, 3)).astype("f4")
    joined = np.array(ViewAggregation("concat", 3)(r, np.ones((2, 2, 5), "f4")))
    np.testing.assert_allclose(joined[..., 3:6], r[:, 1])
    np.testing.assert_array_equal(joined[..., 6:], 0)
    with pytest.raises(ValueError, match="takes at most 1"):
        ViewAggregation("concat", 1)(r, np.ones((2, 2, 5), "f4"))


@pytest.mark.parametrize(
    ("points", "same"),
    [
        ("none", True),
        ("camera", True),
        ("facing", True),
        ("world", False),
        ("camera+origin", False),
    ],
)
def test_only_world_coordinates_notice_that_the_world_was_turned(points, same):
    network = model(points=points)
    images, cameras, x = cases.photos(), cases.cameras(), cases.points()
    q = random_rotation(np.random.default_rng(3))
    moved, turned_x = turned(cameras, x, q)
    change = np.abs(
        network.occupancy(images, cameras, x) - network.occupancy(images, moved, turned_x)
    )
    assert change.max() < 1e-4 if same else change.max() > 1e-3


def test_hull_features_are_the_visual_hull():
    images, cameras = cases.photos(v=3), cases.cameras(v=3)
    points = cases.points(n=400)
    network = model(hull=True, silhouette=True, encoder="local")
    assert network.encoder.channels == 4 and network.feature_shape == (16, 16, 4 + 3)
    cameras[0, 1] = 0  # an absent view does not count
    features = np.array(network.encode(images))
    shapes = (images < 250).any(-1)
    sharp = shapes.reshape(3, 3, 16, 2, 16, 2).mean((3, 5))
    np.testing.assert_allclose(features[..., -3], sharp, atol=1e-6)
    blurred = features[1, 0, 8, :9, -1]  # grows towards the middle
    assert (np.diff(blurred) >= 0).all() and blurred[0] < 0.8 * blurred[-1]
    seen = geometry.project(cameras, geometry.camera_points(cameras, points))
    maps = geometry.sample_features(features.reshape(9, 16, 16, 7), np.reshape(seen, (9, -1, 2)), 2)
    weights = np.array(geometry.present(cameras), "f4")[..., None] * np.ones((1, 1, 400), "f4")
    hull = np.array(geometry.hull_of(np.reshape(maps, (3, 3, 400, 7)), weights))
    np.testing.assert_array_equal(hull[:, 0], hull[:, 2])
    for row in range(3):
        there = [v for v in range(3) if row or v != 1]
        plain = visual_hull(images[row, there], cameras[row, there], points[row])
        sure = np.abs(hull[row, 0, :, 0] - 0.5) > 0.45  # not within a cell of an edge
        assert sure.mean() > 0.5
        assert (plain[sure] != (hull[row, 0, sure, 0] > 0.5)).mean() < 0.03
    assert np.isfinite(network.occupancy(images, cameras, points)).all()
    with pytest.raises(ValueError, match="hull=True: must be False"):
        model(hull=True, encoder="global")


def test_positional_encoding_has_octaves():
    layer = PointRepresentation("world", 4, octaves=2)
    x = cases.points()
    encoded = np.array(layer.place(x, cases.cameras()))[:, 0]
    expected = [x, *(f(2**i * np.pi * x) for i in (0, 1) for f in (np.sin, np.cos))]
    np.testing.assert_allclose(encoded, np.concatenate(expected, -1), atol=1e-5)


def bn(h, layer):
    mean, var = (np.array(w) for w in layer.norm.weights)
    return (h - mean) / np.sqrt(var + 1e-5)


def cbn(h, c, layer):
    gamma, beta = (c @ np.array(d.kernel) + np.array(d.bias) for d in (layer.gamma, layer.beta))
    return gamma * bn(h, layer) + beta


def test_the_decoder_is_occupancy_networks():
    layer = OccupancyDecoder(8, 2)
    c, x = RNG.normal(size=(3, 5, 4)).astype("f4"), cases.points()
    dense = lambda d, h: h @ np.array(d.kernel) + np.array(d.bias)  # noqa: E731
    relu = lambda h: np.maximum(h, 0)  # noqa: E731
    start = np.array(layer(c, x))
    h = dense(layer.fc_p, c)  # zero residuals, unit norms
    np.testing.assert_allclose(
        start, dense(layer.fc_out, relu(bn(h, layer.norm)))[..., 0], atol=1e-5
    )
    for weight in layer.weights:
        noise = 0.3 * RNG.normal(size=weight.shape)
        weight.assign(np.abs(weight + noise) if "variance" in weight.path else weight + noise)
    h = dense(layer.fc_p, c)
    for block in layer.blocks:
        inner = dense(block.fc_0, relu(cbn(h, c, block.norms[0])))
        h = h + dense(block.fc_1, relu(cbn(inner, c, block.norms[1])))
    expected = dense(layer.fc_out, relu(cbn(h, c, layer.norm)))[..., 0]
    np.testing.assert_allclose(layer(c, x), expected, rtol=1e-3, atol=1e-4)


def test_plain_decoder_and_world_input():
    layer = OccupancyDecoder(8, 1, kind="plain", inputs="world")
    c, x = RNG.normal(size=(3, 5, 4)).astype("f4"), cases.points()
    assert np.abs(np.array(layer(c, x)) - np.array(layer(c, -x))).max() > 1e-3
    assert layer(c, x).shape == (3, 5) and layer.norm is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: UNetEncoder(40), "image_size=40"),
        (lambda: LocalEncoder(features=0), "features=0"),
        (lambda: PointRepresentation("here"), "points='here'"),
        (lambda: ViewAggregation("sum"), "mode='sum'"),
        (lambda: ViewAggregation("concat"), "views=None"),
        (lambda: OccupancyDecoder(kind="big"), "kind='big'"),
        (lambda: OccupancyReconstructor(encoder="vit"), "encoder='vit'"),
        (lambda: OccupancyReconstructor(threshold=1.0), "threshold=1.0"),
    ],
)
def test_refuses(make, says):
    with pytest.raises(ValueError, match=says):
        make()
