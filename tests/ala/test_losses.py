"""ALA's losses: closed forms, starting points, and the effect of actions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow
from tfzoo.ala import (
    ClassWeightLoss,
    CorrelationLoss,
    DistanceMixtureLoss,
    FocalPairLoss,
    metric_losses,
)
from tfzoo.errors import InputError

C = 4


def batch(seed=0, rows=12):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, C)).astype("float32")
    return rng.integers(0, C, rows), logits, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def symmetric(seed=0, size=0.5):
    phi = np.random.default_rng(seed).uniform(-size, size, (C, C))
    return (np.triu(phi, 1) + np.triu(phi, 1).T + np.eye(C)).astype("float32")


def test_phi_i_gives_minus_p_over_one_plus_p_and_its_derivative():
    y, logits, p = batch()
    true = p[np.arange(len(y)), y]
    loss = CorrelationLoss(C)
    values = np.array(loss.call(y, tf.constant(p)))
    np.testing.assert_allclose(values, -true / (1 + true), rtol=1e-5)
    assert (values > -0.5).all() and (values < 0).all()
    log_p = tf.constant(np.log(p))
    with tf.GradientTape() as tape:
        tape.watch(log_p)
        total = tf.reduce_sum(-tf.sigmoid(tf.gather(log_p, y, batch_dims=1)))
    slope = tf.gather(tape.gradient(total, log_p), y, batch_dims=1)
    np.testing.assert_allclose(slope, -true / (1 + true) ** 2, rtol=1e-5)
    cross = keras.losses.SparseCategoricalCrossentropy()(y, p)
    assert abs(float(loss(y, p)) - float(cross)) > 0.3  # it is not cross-entropy
    np.testing.assert_allclose(CorrelationLoss(C, link="identity")(y, p), cross, rtol=1e-5)


@pytest.mark.parametrize("link", ["sigmoid", "identity"])
def test_equation_6_against_numpy_in_every_form_of_input(link):
    y, logits, p = batch(1)
    phi = np.abs(symmetric()) if link == "identity" else symmetric()
    inside = np.einsum("bi,ij,bj->b", np.eye(C)[y], phi, np.log(p))
    expected = -1 / (1 + np.exp(-inside)) if link == "sigmoid" else -inside
    for from_logits, said in ((False, p), (True, logits)):
        loss = CorrelationLoss(C, from_logits, link, phi=phi)
        for labels in (y, y[:, None], np.eye(C)[y]):
            np.testing.assert_allclose(loss.call(labels, said), expected, rtol=1e-4)
    if link == "sigmoid":
        assert ((expected > -1) & (expected < 0)).all()


def test_phi_stays_symmetric_with_ones_and_within_its_limits():
    rng = np.random.default_rng(0)
    for link, low in (("sigmoid", -0.3), ("identity", 0.0)):
        loss = CorrelationLoss(C, link=link, limit=0.3)
        for _ in range(30):
            loss.apply_action(rng.normal(0, 0.3, loss.decisions))
            phi = np.array(loss.phi)
            np.testing.assert_array_equal(phi, phi.T)
            np.testing.assert_array_equal(np.diag(phi), 1)
            off = phi[~np.eye(C, dtype=bool)]
            assert off.min() >= low - 1e-6 and off.max() <= 0.3 + 1e-6
        assert off.max() > off.min()


def test_a_pairs_action_moves_its_two_entries_and_no_other():
    loss = CorrelationLoss(C, scale=0.5)
    pairs = list(zip(loss.rows, loss.columns, strict=True))
    delta = np.zeros(6)
    delta[pairs.index((1, 3))] = 0.2
    loss.apply_action(delta)
    expected = np.eye(C)
    expected[1, 3] = expected[3, 1] = 0.1
    np.testing.assert_allclose(loss.phi, expected, atol=1e-7)
    np.testing.assert_allclose(loss.decided(np.array(loss.phi)), 0.5 * delta, atol=1e-7)


def test_class_weights_at_zero_are_cross_entropy_and_then_weigh():
    y, logits, p = batch(2)
    loss = ClassWeightLoss(C, from_logits=True)
    cross = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)(y, logits)
    np.testing.assert_allclose(loss.call(y, logits), cross, rtol=1e-6)
    phi = np.array([0.5, -1.0, 0.0, 0.5])
    loss.apply_action(phi)
    weights = np.exp(phi) / np.exp(phi).mean()  # nothing counted: equal frequencies
    np.testing.assert_allclose(loss.call(y, logits), weights[y] * cross, rtol=1e-5)
    loss.apply_action(10 * np.ones(C))  # a common factor has no effect
    np.testing.assert_allclose(loss.phi, phi, atol=1e-5)
    loss.apply_action([20, 0, 0, -20])
    np.testing.assert_allclose(loss.phi, [3, -1, 0, -3], atol=1e-5)


def test_an_examples_mean_weight_is_one_whatever_phi_is():
    """Phi is a direction, not a learning rate, which a class's used to be."""
    counts, phi = np.array([90, 5, 4, 1]), np.array([-2.0, 1.0, 2.0, -1.0])
    loss = ClassWeightLoss(C, phi=phi, counts=counts)
    weights = np.array(loss.weights(phi))
    assert counts @ weights / 100 == pytest.approx(1)
    np.testing.assert_allclose(weights / weights[0], np.exp(phi - phi[0]), rtol=1e-5)
    old = np.array(ClassWeightLoss(C, phi=phi, counts=counts, per="class").weights(phi))
    assert old.mean() == pytest.approx(1) and counts @ old / 100 < 0.25  # a quarter of the rate
    again = ClassWeightLoss.from_config(loss.get_config())
    np.testing.assert_array_equal(again.counts, counts)
    before = {k: v for k, v in loss.get_config().items() if k not in ("per", "counts")}
    np.testing.assert_allclose(ClassWeightLoss.from_config(before).weights(phi), old, rtol=1e-5)


def test_the_mixtures_steps_say_which_distances_count_and_leave_the_scale():
    loss, rng = DistanceMixtureLoss(), np.random.default_rng(0)
    for _ in range(20):
        loss.apply_action(0.1 * rng.integers(-1, 2, 10))
        phi = np.array(loss.phi)
        np.testing.assert_allclose(phi.sum(1), 1, rtol=1e-5)
        assert phi.min() >= 0 and phi[:, 0].min() > 0.05


@pytest.mark.parametrize("sharpness", [0.5, 4.0, 30.0])
def test_derivatives_of_a_side_sum_to_one_at_most_however_sharp(sharpness, monkeypatch):
    """The sharpness is a direction, too."""
    monkeypatch.setattr(metric_losses, "distances", lambda x: x)
    rng, loss = np.random.default_rng(0), FocalPairLoss(phi=np.log([sharpness] * 2), limit=9)
    y, d = rng.integers(0, 3, 20), tf.constant(rng.uniform(0, 2, (20, 20)).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(d)
        total = tf.reduce_sum(loss.call(y, d))
    slopes = np.array(tape.gradient(total, d))
    for sides in (np.maximum(slopes, 0).sum(1), np.maximum(-slopes, 0).sum(1)):
        assert 0 < sides.max() <= 1 + 1e-5


def test_statistics_are_mean_log_probabilities_and_follow_the_labels():
    y, logits, p = batch(3, 40)
    c = CorrelationLoss(C).matrix(y, p)
    for i in range(C):
        np.testing.assert_allclose(c[i], -np.log(p[y == i]).mean(0), rtol=1e-5)
    order = np.array([2, 0, 3, 1])
    turned = CorrelationLoss(C).matrix(np.argsort(order)[y], p[:, order])
    np.testing.assert_allclose(turned, c[np.ix_(order, order)], rtol=1e-5)
    weights = ClassWeightLoss(C).statistics(y, p)
    np.testing.assert_allclose(weights[:, 0], np.diag(c), rtol=1e-5)
    np.testing.assert_allclose(weights[1, 1], (c[0, 1] + c[2, 1] + c[3, 1]) / 3, rtol=1e-5)
    pairs = CorrelationLoss(C).statistics(y, p)
    np.testing.assert_allclose(pairs[0], [c[0, 1], c[1, 0]], rtol=1e-5)
    missing = CorrelationLoss(C).statistics(np.zeros(5, int), p[:5])  # classes without rows
    assert np.isfinite(missing).all()


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_distance_mixture_starts_as_the_triplet_loss_and_mixes_after_its_equation():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)).astype("float32"), np.array([0, 0, 1, 1, 0, 2, 1])
    d = np.linalg.norm(unit(x)[:, None] - unit(x)[None], axis=-1)
    phi = np.array([[1.0, 0, 0.3, 0, 0], [0.7, 0.4, 0, 0, 0.2]])
    powers = [1, 0.5, 2, 3, 4]

    def expected(phi):
        mixed = [sum(w * 2 * (d / 2) ** k for w, k in zip(row, powers, strict=True)) for row in phi]
        terms = [
            mixed[0][a, p] - mixed[1][a, n] + 0.2
            for a in range(7)
            for p in range(7)
            for n in range(7)
            if a != p and y[a] == y[p] and y[a] != y[n]
        ]
        terms = [v for v in terms if v > 0]
        return np.mean(terms)

    start = np.zeros((2, 5))
    start[:, 0] = 1
    np.testing.assert_allclose(DistanceMixtureLoss(0.2)(y, x), expected(start), rtol=1e-4)
    np.testing.assert_allclose(DistanceMixtureLoss(0.2, phi=phi)(y, x), expected(phi), rtol=1e-4)


def test_focal_pairs_against_loops():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 3)).astype("float32"), np.array([0, 0, 1, 1, 0, 2])
    d = np.linalg.norm(unit(x)[:, None] - unit(x)[None], axis=-1)
    s1, s2 = np.exp([0.4, 1.8])
    rows = []
    for a in range(6):
        near = sum(np.exp(s1 * (d[a, j] - 1)) for j in range(6) if j != a and y[j] == y[a])
        far = sum(np.exp(-s2 * (d[a, j] - 1)) for j in range(6) if y[j] != y[a])
        rows.append(np.log(1 + near) / s1 + np.log(1 + far) / s2)
    losses = FocalPairLoss(phi=[0.4, 1.8]).call(y, tf.constant(x))
    np.testing.assert_allclose(losses, rows, rtol=1e-4)
    np.testing.assert_allclose(FocalPairLoss().phi, np.log(4), rtol=1e-6)


@pytest.mark.parametrize("make", [DistanceMixtureLoss, FocalPairLoss])
def test_metric_learning_parameters_stay_in_bounds_and_gradients_finite(make):
    loss, rng = make(), np.random.default_rng(0)
    x, y = tf.Variable(rng.normal(size=(8, 3)).astype("float32")), np.arange(8) % 3
    x[1].assign(x[4])  # equal rows
    for _ in range(20):
        loss.apply_action(rng.normal(0, 0.5, loss.decisions))
        with tf.GradientTape() as tape:
            value = loss(y, x)
        assert np.isfinite(tape.gradient(value, x)).all() and np.isfinite(float(value))
    statistics = loss.statistics(y, np.array(x))
    assert statistics.shape == (loss.decisions, 2) and np.isfinite(statistics).all()
    alone = loss.statistics(np.zeros(3, int), np.array(x)[:3])  # no negative pairs
    assert np.isfinite(alone).all()
    if make is DistanceMixtureLoss:
        phi = np.array(loss.phi)
        assert phi.min() >= 0 and phi[:, 0].min() >= 0.1 - 1e-6 and phi.max() <= 2


def test_a_warm_up_takes_the_fixed_loss():
    y, logits, p = batch()
    loss = CorrelationLoss(C, phi=symmetric())
    moving = float(loss(y, p))
    loss.warm.assign(1.0)
    cross = keras.losses.SparseCategoricalCrossentropy()(y, p)
    np.testing.assert_allclose(loss(y, p), cross, rtol=1e-5)
    loss.warm.assign(0.0)
    assert float(loss(y, p)) == moving


def test_parameters_are_saved_with_the_model_and_are_no_constants_of_the_graph(tmp_path):
    y, logits, p = batch(0, 16)
    model = keras.Sequential([keras.Input((C,)), keras.layers.Dense(C)])
    loss = CorrelationLoss(C, from_logits=True)
    model.compile("sgd", loss)
    before = model.train_on_batch(logits, y)
    loss.apply_action(np.linspace(-0.5, 0.5, 6))
    after = model.test_on_batch(logits, y)
    np.testing.assert_allclose(after, float(loss(y, model(logits))), rtol=1e-5)
    assert abs(before - after) > 1e-3
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.loss.phi, loss.phi)
    assert again.test_on_batch(logits, y) == pytest.approx(after, rel=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", slow("mixed_bfloat16"), slow("float32")])
def test_xla_and_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    y, logits, p = batch(0, 16)
    for loss in (CorrelationLoss(C, True), ClassWeightLoss(C, True), FocalPairLoss()):
        model = keras.Sequential([keras.Input((C,)), keras.layers.Dense(C)])
        model.compile("sgd", loss, jit_compile=True)
        assert np.isfinite(model.fit(logits, y, epochs=1, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CorrelationLoss(1), "num_classes=1: must be at least 2"),
        (lambda: CorrelationLoss(3, link="log"), "link='log': must be one of sigmoid, identity"),
        (lambda: CorrelationLoss(3, limit=0.0), "limit=0.0: must be above 0"),
        (lambda: ClassWeightLoss(3, scale=-1.0), "scale=-1.0"),
        (lambda: ClassWeightLoss(3, phi=[0.0, 1.0]), r"phi=\[2\]: must be of shape \[3\]"),
        (lambda: DistanceMixtureLoss(-0.1), "margin=-0.1"),
        (lambda: FocalPairLoss(2.5), "offset=2.5"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(InputError, match=words):
        make()
