"""The ranking loss compared with PyTorch's definition, its gradients, and invariances of scores."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.skipclip import objective
from tfzoo.skipclip.objective import pair_accuracy, ranking_loss, similarity


def test_loss_is_the_formula():
    scores = np.random.default_rng(0).uniform(0, 1, (5, 4)).astype("float32")
    pairs = list(itertools.combinations(range(4), 2))
    terms = np.stack([np.maximum(0, 0.1 - scores[:, i] + scores[:, j]) for i, j in pairs], 1)
    np.testing.assert_allclose(ranking_loss(scores, 0.1), terms.sum(1), rtol=1e-5)
    np.testing.assert_allclose(ranking_loss(scores, 0.1, "mean_pairs"), terms.mean(1), rtol=1e-5)


def test_clips_of_other_videos_come_last():
    rng = np.random.default_rng(0)
    scores, others = (rng.uniform(0, 1, (5, n)).astype("float32") for n in (3, 2))
    ranked = np.concatenate([scores, others[:, :1]], 1)  # one more clip, behind all futures
    for reduction in objective.REDUCTIONS:
        loss = ranking_loss(scores, 0.1, reduction, others[:, :1])
        np.testing.assert_allclose(loss, ranking_loss(ranked, 0.1, reduction), rtol=1e-5)
    each = [ranking_loss(scores, 0.1, negatives=others[:, k : k + 1]) for k in range(2)]
    np.testing.assert_allclose(
        ranking_loss(scores, 0.1, negatives=others), np.mean(each, 0), rtol=1e-5
    )


@pytest.mark.parametrize(("gap", "zero"), [(0.1001, True), (0.2, True), (0.09, False)])
def test_zero_exactly_when_neighbours_are_a_margin_apart(gap, zero):
    scores = 0.9 - gap * np.arange(4, dtype="float32")[None]
    assert (float(ranking_loss(scores, 0.1)[0]) < 1e-6) == zero
    lone = np.array([[0.9, 0.8, 0.75, 0.1]], "float32")  # one gap of 0.05
    assert float(ranking_loss(lone, 0.1)[0]) == pytest.approx(0.05, abs=1e-6)


def test_known_values():
    equal = np.full((1, 4), 0.3, "float32")
    assert float(ranking_loss(equal, 0.1)[0]) == pytest.approx(0.1 * 4 * 3 / 2)
    reversed_ = 0.2 * np.arange(4, dtype="float32")[None]
    assert float(ranking_loss(reversed_, 0.1)[0]) == pytest.approx(2.6, rel=1e-5)
    assert float(ranking_loss(reversed_, 0.1, "mean_pairs")[0]) == pytest.approx(0.4333, abs=1e-4)


def test_gradient_lifts_the_near_and_lowers_the_far():
    m = 4
    scores = tf.constant(0.3 + 0.01 * np.random.default_rng(0).normal(size=(1, m)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = ranking_loss(scores, 0.2)
    expected = [(i - 1) - (m - i) for i in range(1, m + 1)]  # all pairs are active
    np.testing.assert_allclose(tape.gradient(loss, scores)[0], expected)


def test_constants_added_and_swaps():
    scores = np.array([[0.9, 0.7, 0.5, 0.2]], "float32")
    wrong = np.array([[0.2, 0.7, 0.5, 0.9]], "float32")
    np.testing.assert_allclose(ranking_loss(wrong, 0.3), ranking_loss(wrong + 3, 0.3), rtol=1e-4)
    for i in range(3):
        swapped = scores.copy()
        swapped[:, [i, i + 1]] = swapped[:, [i + 1, i]]
        assert ranking_loss(swapped, 0.1)[0] > ranking_loss(scores, 0.1)[0]
    np.testing.assert_allclose(pair_accuracy(scores), [1])
    np.testing.assert_allclose(pair_accuracy(wrong), [1 / 3])
    np.testing.assert_allclose(pair_accuracy(np.zeros((1, 4))), [0.5])


def test_similarity_is_keras_cosine_by_cell():
    rng = np.random.default_rng(0)
    h, z = (rng.normal(size=(5, 1, 3, 2, 7)).astype("float32") for _ in range(2))
    cells = -keras.losses.CosineSimilarity(axis=-1, reduction=None)(h[:, 0], z[:, 0])
    np.testing.assert_allclose(similarity(h, z), np.mean(cells, (1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(similarity(h, h), np.ones(5), rtol=1e-5)
    np.testing.assert_allclose(similarity(h, 17 * z), similarity(h, z), rtol=1e-4)
    order = rng.permutation(3)
    moved = similarity(h[:, :, order], z[:, :, order])
    np.testing.assert_allclose(moved, similarity(h, z), rtol=1e-4)
    assert np.abs(similarity(h[:, :, ::-1], z) - similarity(h, z)).max() > 1e-2
    longer = np.concatenate([z - 1, z + 1], 1)  # times are averaged first
    np.testing.assert_allclose(similarity(h, longer), similarity(h, z), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_cells_of_zeros_have_finite_gradients(dtype):
    h = tf.zeros((2, 1, 2, 2, 3), dtype)
    z = tf.constant(np.random.default_rng(0).normal(size=(2, 1, 2, 2, 3)), dtype)
    with tf.GradientTape() as tape:
        tape.watch([h, z])
        loss = tf.reduce_sum(similarity(h, z))
    assert float(loss) == 0
    for gradient in tape.gradient(loss, [h, z]):
        assert np.isfinite(gradient.numpy()).all()


def test_margins_that_no_scores_can_keep():
    objective.check_margin(1 / 3, 4, False)
    objective.check_margin(2 / 3, 4, True)
    for margin, signed in ((0.34, False), (0.67, True), (0, False)):
        with pytest.raises(ValueError, match=f"margin={margin}"):
            objective.check_margin(margin, 4, signed)
    with pytest.raises(ValueError, match="futures=1"):
        objective.check_margin(0.1, 1, False)
