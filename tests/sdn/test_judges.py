"""The evaluation networks' measures on cases with known results."""

import numpy as np
import pytest

from tfzoo.sdn import judges


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
