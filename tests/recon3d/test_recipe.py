"""The recipe: learns, exports, evaluates; larger ones build; refusals."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo import runner
from tfzoo.data.shapes import catalogue as shapes
from tfzoo.data.shapes.primitives import Part, Solid
from tfzoo.data.shapes.shape_samples import sample_shape
from tfzoo.errors import InputError
from tfzoo.recon3d import evaluation, recipe, visual_hull
from tfzoo.recon3d.field import probabilities

SMALL = [
    "deterministic=false",
    "epochs=2",
    "batch_size=2",
    "points=32",
    "image_size=32",
    "model.encoder_width=4",
    "model.features=4",
    "model.point_width=6",
    "model.decoder_width=8",
    "model.blocks=1",
    "mesh_shapes=0",
    "max_views=2",
    "test_views=[1,2]",
]


def made_shapes(count=4, seed=0, names=("ball", "rod")):
    rows = []
    for i in range(count):
        rng = np.random.RandomState(seed + i)
        body = Part("sphere", (0.35,)) if i % 2 == 0 else Part("cylinder", (0.2, 0.4))
        shape = sample_shape(Solid((body,)), rng, views=3, size=32)
        keep = np.r_[0:300, 4096:4300]
        some = {k: shape[k][keep] for k in ("points", "occupancies")}
        rows.append(shape | some | {"label": i % 2})
    return shapes.from_arrays({k: np.stack([r[k] for r in rows]) for k in rows[0]}, names, 300)


@pytest.fixture(scope="module")
def splits():
    return {name: made_shapes(4, 10 * i) for i, name in enumerate(shapes.SPLITS)}


@pytest.fixture(autouse=True)
def _few_shapes(monkeypatch, splits):
    monkeypatch.setattr(recipe, "posed_shapes", lambda *a: splits)


@pytest.mark.slow
def test_a_run_evaluates_and_exports(tmp_path):
    resolved = runner.resolve("recon3d/solids", SMALL)
    metrics = runner.run_recipe(resolved, tmp_path)
    assert all(np.isfinite(v) for v in metrics.values())
    wanted = {"seen_1", "unseen_2", "hull_unseen_2", "gauge_2", "unseen_at_half", "threshold"}
    assert wanted <= set(metrics) and metrics["gauge_change"] < 1e-3
    assert metrics["hull_seen_2"] > metrics["hull_seen_1"] > 0.1
    served = tf.saved_model.load(str(tmp_path / "export" / "solids" / "1")).signatures
    assert set(served) == {"serving_default", "occupancy", "features", "grid"}
    model, _ = runner.open_trained(str(tmp_path))
    assert model.threshold == metrics["threshold"]
    signatures = resolved.recipe.signatures(model)
    x = signatures["grid"].examples
    grid = signatures["grid"](**x)["occupancy"]
    corner = np.full((4, 1, 3), -0.55, "f4")
    ask = lambda p: probabilities(model.field(x["images"], x["cameras"])(p))[:, 0]  # noqa: E731
    expected = ask(corner)
    np.testing.assert_allclose(grid[:, 0, 0, 0], expected, atol=1e-5)
    where = np.linspace(-0.55, 0.55, 32)[[3, 20, 9]].astype("f4")
    asked = ask(np.tile(where, (4, 1, 1)))
    np.testing.assert_allclose(grid[:, 3, 20, 9], asked, atol=1e-5)


def test_streams_draw_views_and_points(splits):
    stream = splits["train"].stream((1, 3), 16, batch_size=2, seed=0)
    views = set()
    for x, y in stream.from_step(0).take(12):
        views.add(x["images"].shape[1])
        assert x["cameras"].shape[1] == x["images"].shape[1] and y.shape == (2, 16)
    assert views == {1, 2, 3}
    (a, _), (b, _) = (next(iter(s)) for s in (stream.from_step(3), stream.from_step(0).skip(3)))
    np.testing.assert_array_equal(a["points"], b["points"])


def test_splits_by_category():
    splits = shapes.by_category(made_shapes(12), ["rod"])
    assert set(splits["unseen"].labels) == {1} and len(splits["unseen"]) == 6
    assert all(set(splits[n].labels) == {0} for n in ("train", "validation", "test"))
    assert sum(len(s) for s in splits.values()) == 12
    for bad in (["cone"], ["ball", "rod"], []):
        with pytest.raises(InputError, match="data.unseen"):
            shapes.by_category(made_shapes(4), bad)


def test_the_hull_holds_the_shape_and_gets_tighter(splits):
    arrays = splits["test"].arrays(3)
    images, cameras, points = (arrays[k][0] for k in ("images", "cameras", "points"))
    ball = np.linalg.norm(points, axis=-1) < 0.32  # well inside, half a pixel is 0.01
    sizes = [visual_hull(images[:v], cameras[:v], points) for v in (1, 2, 3)]
    assert all(hull[ball].all() for hull in sizes)
    assert sizes[0].sum() > sizes[1].sum() >= sizes[2].sum() > ball.sum()


def test_the_threshold_is_the_best_of_those_given(splits):
    class Field:
        threshold = 0.5

        def field(self, images, cameras):
            radius = lambda x: np.linalg.norm(x, axis=-1)  # noqa: E731
            return lambda x: 40 * (0.35 - radius(x)) - 1.4  # right at 0.2

    balls = splits["validation"].take(np.array([0, 2])).arrays(2)
    assert evaluation.choose_threshold(Field(), balls, 2, [0.05, 0.2, 0.5, 0.9]) == 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shapenet_single", "shapenet_multi", "meshes"])
def test_larger_recipes_build_and_train_a_step(name):
    words = ["image_size=32", "batch_size=2", "epochs=1", "model.blocks=1", "model.encoder_width=3"]
    words += ["model.features=4", "points=16", "deterministic=false", "max_views=1"]
    words += ["test_views=[1]"]
    resolved = runner.resolve(f"recon3d/{name}", words)
    datasets = resolved.recipe.datasets(resolved.config)
    model = resolved.recipe.build(resolved.config, datasets.info)
    logs = model.fit(datasets.train.from_step(0), steps_per_epoch=1, epochs=1, verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.encoder=vit", "model.encoder='vit'"),
        ("model.points=here", "model.points='here'"),
        ("model.aggregate=var", "model.aggregate='var'"),
        ("model.aggregate=concat", "model.views=None"),
        ("image_size=50", "image_size=50"),
        ("max_views=0", "max_views=0"),
        ("thresholds=[0.0]", "thresholds"),
        ("resolution=30", "resolution=30"),
    ],
)
def test_refuses(override, says):
    with pytest.raises(InputError, match=says):
        runner.resolve("recon3d/solids", [override])
