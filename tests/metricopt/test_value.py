"""The value function, its training set and its meta-learning."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.metricopt import Observations, RankedRegression, ValueFunction, interpolate, meta_train


def cloud(rng, n=400, dim=3):
    return rng.normal(size=(n, dim)).astype("float32")


def quadratic(phi, center=0.3):
    return 5 + 2 * ((phi - center) ** 2).sum(1)


def test_interpolation_equals_scikit_learns_gaussian_process():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel

    rng = np.random.default_rng(0)
    at, values, steps = np.array([0, 5, 9, 20]), rng.normal(size=4), np.arange(30)
    mean, variance = interpolate(steps, at, values, length_scale=4.0, noise=0.2, amplitude=1.5)
    kernel = ConstantKernel(1.5**2) * RBF(4.0)
    oracle = GaussianProcessRegressor(kernel, alpha=0.2**2, optimizer=None)
    oracle.fit(at[:, None], values - values.mean())
    expected, std = oracle.predict(steps[:, None], return_std=True)
    np.testing.assert_allclose(mean, expected + values.mean(), atol=1e-6)
    np.testing.assert_allclose(variance, std**2 + 0.2**2, atol=1e-6)


def test_interpolation_is_surest_at_observations_and_exact_without_noise():
    at, values = np.array([3, 10, 17]), np.array([1.0, 3.0, 2.0])
    mean, variance = interpolate(np.arange(40), at, values, length_scale=2.0, noise=1e-4)
    np.testing.assert_allclose(mean[at], values, atol=1e-4)
    assert set(np.argsort(variance)[:3]) == set(at)
    assert (np.diff(variance[17:28]) > 0).all()  # grows with the distance
    assert variance[39] == pytest.approx(1.0, abs=1e-3) and mean[39] == pytest.approx(2.0, abs=1e-3)


def test_ranked_regression_against_loops():
    rng = np.random.default_rng(1)
    m, w, f = rng.normal(size=7), rng.random(7), rng.normal(size=7)
    loss = RankedRegression(0.7, 0.3, 0.4)(np.stack([m, w], 1), f[:, None])
    terms = [
        max(0.0, 0.3 - (f[i] - f[j]) * np.sign(m[i] - m[j]))
        for i in range(7)
        for j in range(7)
        if abs(m[i] - m[j]) > 0.4
    ]
    assert float(loss) == pytest.approx(np.mean(w * (f - m) ** 2) + 0.7 * np.mean(terms), rel=1e-5)
    ordered = np.arange(5.0)
    exact = np.stack([ordered, np.ones(5)], 1)
    assert float(RankedRegression()(exact, ordered[:, None])) == 0.0
    swapped = ordered[[1, 0, 2, 3, 4]][:, None]
    only_ranks = np.stack([ordered, np.zeros(5)], 1)
    assert float(RankedRegression()(only_ranks, swapped)) > 0


def test_gradient_is_the_networks():
    value, rng = ValueFunction(4, (8, 6)), np.random.default_rng(2)
    value.fit_observations(Observations(cloud(rng, 50, 4), rng.normal(size=50), np.ones(50)), 20, 0)
    phi = tf.constant(rng.normal(size=4), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(phi)
        f = value(phi[None])[0, 0]
    gradient = np.array(value.gradient(phi))
    np.testing.assert_allclose(gradient, tape.gradient(f, phi), rtol=1e-4, atol=1e-6)
    step = 1e-2
    for i in range(4):
        e = step * np.eye(4, dtype="float32")[i]
        high, low = (float(value((phi + s * e)[None])[0, 0]) for s in (1, -1))
        assert gradient[i] == pytest.approx((high - low) / (2 * step), abs=5e-3)


def test_value_function_recovers_a_known_function_and_its_descent_the_optimum():
    rng = np.random.default_rng(3)
    phi = cloud(rng)
    value = ValueFunction(3, (32, 32))
    value.fit_observations(Observations(phi, quadratic(phi), np.ones(len(phi))), 1500, 0)
    fresh = cloud(rng, 200)
    error = value.metric(fresh) - quadratic(fresh)
    assert np.mean(error**2) < 0.02 * np.var(quadratic(fresh))
    point = np.array([1.5, -1.0, 0.0], "float32")
    for _ in range(300):
        slope = np.array(value.gradient(point))
        point -= 0.02 * slope / (np.linalg.norm(slope) + 1e-8)
    np.testing.assert_allclose(point, 0.3, atol=0.15)


def test_uncertain_observations_weigh_less():
    phi = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    truth = np.ones(64)
    wrong = np.arange(64) % 2 == 0
    cost = np.where(wrong, 3.0, truth)
    cost[0] = 1.5
    variance = np.where(wrong, 100.0, 0.01)
    value = ValueFunction(1, (16,))
    value.fit_observations(Observations(phi, cost, variance), 400, 0)
    assert np.abs(value.metric(phi) - 1).max() < 0.4


def test_box_grows_with_what_was_seen_and_scale_stays():
    value, rng = ValueFunction(2, (4,)), np.random.default_rng(4)
    first = Observations(cloud(rng, 30, 2), rng.normal(size=30), np.ones(30))
    value.fit_observations(first, 1, 0)
    np.testing.assert_allclose(value.lower, first.phi.min(0))
    mean = float(value.mean)
    second = Observations(3 * cloud(rng, 30, 2), 9 + rng.normal(size=30), np.ones(30))
    value.fit_observations(second, 1, 0)
    np.testing.assert_allclose(value.lower, np.minimum(first.phi.min(0), second.phi.min(0)))
    np.testing.assert_allclose(value.upper, np.maximum(first.phi.max(0), second.phi.max(0)))
    assert float(value.mean) == mean


def test_meta_training_finds_a_start_that_learns_new_tasks_faster():
    rng = np.random.default_rng(5)

    def task(center, n=300):
        phi = cloud(rng, n)
        return Observations(phi, quadratic(phi, center), np.ones(n))

    keras.utils.set_random_seed(0)
    plain, meta = ValueFunction(3, (32,)), ValueFunction(3, (32,))
    meta.set_weights(plain.get_weights())
    meta_train(meta, [task(c) for c in (-0.2, 0.0, 0.2)], rounds=40)
    new, fresh = task(0.1, 40), task(0.1)
    errors = []
    for value in (plain, meta):
        value.fit_observations(new, 30, 0)
        p = value(fresh.phi)[:, 0]
        errors.append(1 - np.corrcoef(p, fresh.cost)[0, 1])
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interpolate([0], [], [], 1.0, 1.0), "at least one observation"),
        (lambda: interpolate([0], [0], [1.0], 0.0, 1.0), "length_scale=0.0"),
        (lambda: ValueFunction(0), "dim=0"),
        (lambda: ValueFunction(3, ()), "hidden="),
        (lambda: RankedRegression(margin=-1.0), "margin=-1.0"),
        (lambda: meta_train(ValueFunction(3), []), "at least one task"),
        (
            lambda: meta_train(
                ValueFunction(3), [Observations(np.ones((2, 4)), np.ones(2), np.ones(2))]
            ),
            r"tasks=\[2, 4\]: must be \[N, 3\]",
        ),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(InputError, match=words):
        call()
