"""The evaluation networks' measures on cases with known results."""

import numpy as np
import pytest

from tfzoo.errors import InputError
from tfzoo.sdn import judges
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
