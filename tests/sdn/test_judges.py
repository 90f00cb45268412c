"""The evaluation networks' measures on cases with known results."""

import numpy as np
import pytest

from tfzoo import runner
from tfzoo.data.images import image_sets
from tfzoo.errors import InputError
from tfzoo.sdn import evaluation, judges, recipe
from tfzoo.sdn.corruptions import CORRUPTIONS, corrupted


def test_iou_of_known_boxes():
    a, b = np.zeros((2, 4, 4, 4), bool), np.zeros((2, 4, 4, 4), bool)
    a[0, :2], b[0, 1:3] = True, True  # a third overlaps
    np.testing.assert_allclose(judges.iou(a, b), [1 / 3, 1])
    np.testing.assert_allclose(judges.iou(a, a), [1, 1])


def test_coarse_keeps_a_single_voxel():
    fine = np.zeros((1, 16, 16, 16), bool)
    fine[0, 3, 0, 15] = True
    pooled = judges.coarse(fine)
    assert pooled.sum() == 1 and pooled[0, 1, 0, 7]
    with pytest.raises(ValueError, match="multiple of 8"):
        judges.coarse(np.zeros((1, 12, 12, 12)))


def test_verification_and_retrieval_of_perfect_and_random_pairs():
    rng = np.random.default_rng(0)
    a = np.eye(20)
    auc, false, true = judges.verification(a, a)
    assert auc == 1 and judges.retrieval(a, a) == 1 and true[-1] == false[-1] == 1
    x, y = rng.normal(size=(2, 60, 9))
    assert abs(judges.verification(x, y)[0] - 0.5) < 0.1
    assert judges.retrieval(np.ones((5, 2)), np.ones((5, 2))) == 0  # ties are misses


def test_views_in_any_order_and_number_are_one_shape():
    net = judges.make_voxel_net(4, width=8)
    x = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 4, 1)).astype("float32")
    once = net(x)
    np.testing.assert_allclose(net(x[:, ::-1]), once, atol=1e-5)
    np.testing.assert_allclose(net(np.concatenate([x, x], 1)), once, atol=1e-5)
    assert once.shape == (2, 8, 8, 8) and judges.occupancy(net, x).dtype == bool


def strokes(row=3, column=3, sets=2, n=3):
    """A bright bar of 2x6 pixels at a place in images of 16x16."""
    x = np.zeros((sets, n, 16, 16, 1), "float32")
    x[:, :, row : row + 2, column : column + 6] = 255
    return x


def test_stroke_iou_is_1_for_the_same_and_0_far_away():
    assert judges.stroke_iou(strokes(), strokes()) == 1
    assert judges.stroke_iou(strokes(12, 9), strokes()) == 0
    # one row of two is shared: 6 pixels of 18
    assert judges.stroke_iou(strokes(4), strokes()) == pytest.approx(1 / 3)
    assert judges.stroke_iou(0 * strokes(), strokes()) == 0
    # grey below half is no ink, and noise over the whole image shares few of its pixels
    assert judges.stroke_iou(0.4 * strokes(), strokes()) == 0
    noise = np.random.default_rng(0).uniform(0, 255, (2, 3, 16, 16, 1))
    assert judges.stroke_iou(noise, strokes()) < 0.15


def test_stroke_iou_takes_the_nearest_drawing_of_the_same_set():
    real = strokes()
    real[:, 1:] = strokes(12, 9, n=2)
    assert judges.stroke_iou(strokes(), real) == 1
    other = np.concatenate([strokes(sets=1), strokes(12, 9, sets=1)])
    assert judges.stroke_iou(other[::-1], other) == 0


def test_background_is_the_deviation_away_from_strokes():
    rng = np.random.default_rng(0)
    assert judges.background(strokes(), strokes()) == 0
    grainy = strokes() + rng.normal(0, 0.1 * 255, (2, 3, 16, 16, 1))
    assert judges.background(grainy, strokes()) == pytest.approx(0.1, abs=0.01)
    # noise on and beside the strokes only is none of the background
    near = np.zeros((1, 1, 16, 16, 1))
    near[:, :, 2:6, 2:10] = 1
    assert judges.background(strokes() + near * rng.normal(0, 99, near.shape), strokes()) == 0
    with pytest.raises(InputError, match="ink=-1"):
        judges.background(strokes(), strokes(), -1)


def test_kid_is_around_0_for_one_distribution_and_far_above_for_others():
    rng = np.random.default_rng(0)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    draw = lambda mean: unit(rng.normal(mean, 1, (300, 16)))  # noqa: E731
    floors = [judges.kid(draw(0), draw(0)) for _ in range(20)]
    assert abs(np.mean(floors)) < 0.006 and min(floors) < 0 < max(floors)
    assert judges.kid(draw(0), draw(0.3)) > 5 * max(np.abs(floors))


def test_refuses_other_shapes():
    for a, b in ((strokes(), strokes()[:1]), (strokes()[:, 0], strokes()), (strokes(n=0),) * 2):
        with pytest.raises(InputError, match=r"drawn: shape .+ must be \[M, n, S, S, C\]"):
            judges.stroke_iou(a, b)
    with pytest.raises(InputError, match=r"shapes \[1, 2\], \[3, 2\], must be two rows"):
        judges.kid(np.ones((1, 2)), np.ones((3, 2)))
    with pytest.raises(InputError, match="kind='torn': must be one of noisy"):
        corrupted(strokes()[0], kind="torn")
    with pytest.raises(InputError, match=r"images: shape \[2, 3, 16, 16, 1\]"):
        corrupted(strokes())


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_change_images_within_the_range_and_repeat_by_seed(kind):
    x = strokes(sets=1, n=8)[0]
    new = corrupted(x, 3, kind)
    assert new.shape == x.shape and new.min() >= 0 and new.max() <= 255
    np.testing.assert_array_equal(new, corrupted(x, 3, kind))
    if kind != "blended":  # of equal images
        assert judges.stroke_iou(new[None], x[None]) < 0.7


def glyphs(sets, seed, n=8):
    """Sets of n drawings of a random character of 12x12 pixels, each a little shifted."""
    rng = np.random.default_rng(seed)
    x = np.zeros((sets, n, 12, 12, 1), "float32")
    for one in x:
        bars = rng.integers(1, 7, (3, 2))
        for image in one:
            for i, (a, b) in enumerate(bars + rng.integers(0, 2, (1, 2))):
                image[(slice(a, a + 4), b) if i % 2 else (a, slice(b, b + 4))] = 255
    return x


@pytest.fixture
def task(monkeypatch):
    """The recipe of the verifier on glyphs: its data, its network and a function that trains it."""

    def few(config, size, channels):
        split = lambda n, seed: image_sets.from_arrays(  # noqa: E731
            glyphs(n, seed).reshape(-1, 12, 12, 1).astype("uint8"), np.repeat(np.arange(n), 8)
        )
        return {"train": split(60, 0), "validation": split(4, 1), "test": split(30, 2)}

    monkeypatch.setattr(recipe, "image_sets", few)

    def resolved(*words):
        small = ["image_size=12", "set_size=4", "width=8", "batch_size=48", "rate=0.005"]
        return runner.resolve("sdn/omniglot_verifier", [*small, "deterministic=false", *words])

    return resolved


def test_the_judge_scores_corrupted_drawings_low_and_real_ones_high(task):
    given = task("corrupted=0.4", "steps_per_epoch=200")
    datasets = given.recipe.datasets(given.config)
    embed = given.recipe.build(given.config, datasets.info)
    given.recipe._classifier.fit(datasets.train.from_step(0), steps_per_epoch=200, verbose=0)
    a, b = judges.halves(glyphs(30, 2), 4)
    flat, real = a.reshape(-1, 12, 12, 1), judges.set_embeddings(embed, b)
    score = lambda x: judges.verification(judges.set_embeddings(embed, x), real)[0]  # noqa: E731
    assert score(a) > 0.95
    for kind in evaluation.CONTROLS:
        assert score(corrupted(flat, 1, kind).reshape(a.shape)) < 0.88, kind
    noise = np.random.default_rng(0).uniform(0, 255, a.shape).astype("float32")
    assert score(noise) < 0.65


def test_corrupted_images_are_a_class_of_their_own_and_repeat_by_step(task):
    given = task("corrupted=0.25")
    stream = given.recipe.datasets(given.config).train
    batches = list(stream.from_step(0).take(3).as_numpy_iterator())
    images, owner = batches[2]
    assert images.shape == (48, 12, 12, 1) and (owner[-12:] == 60).all() and owner[:-12].max() < 60
    for x, y in zip(next(stream.from_step(2).as_numpy_iterator()), batches[2], strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(InputError, match="corrupted=0.001: must be a part of a batch"):
        few = task("corrupted=0.001")
        few.recipe.datasets(few.config)
