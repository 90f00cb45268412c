"""The trust region: results, budget, and observations without a forward pass."""

import keras
import numpy as np
import pytest

from support import load_module
from tfzoo.errors import InputError
from tfzoo.metricopt import MetricOpt, MetricOptimizer, attach_adapters
from tfzoo.metricopt.head import Head
from tfzoo.metricopt.search import GaussianProcess, TrustRegion, smoothed_best

cases = load_module("metricopt/cases.py")


def spent(function, size, count, seed=0):
    region = TrustRegion(np.full(size, 0.5), np.ones(size, bool), seed)
    phi, cost, own = np.zeros((1, size)), np.array([function(np.zeros(size))]), np.array([False])
    for _ in range(count):
        point = region.propose(phi, cost, own)
        phi, cost = np.vstack([phi, point]), np.append(cost, function(point))
        own = np.append(own, True)
    return phi, cost


def test_a_known_optimum_is_approached_faster_than_by_chance():
    goal = np.random.default_rng(0).uniform(-1, 1, 8)
    function = lambda phi: float(np.sum((phi - goal) ** 2))  # noqa: E731
    _, cost = spent(function, 8, 60)
    chance = np.random.default_rng(1).uniform(-1, 1, (60, 8))
    assert cost.min() < 0.1 * cost[0]
    assert cost.min() < 0.3 * min(map(function, chance))


def test_only_free_coordinates_move_and_the_box_holds():
    region = TrustRegion(np.ones(3), np.array([True, False, True]))
    own = np.array([False])
    point = region.propose(np.zeros((1, 3)), np.array([1.0]), own)
    assert point[1] == 0 and 0 < np.abs(point).max() <= 1
    assert region.side(1.0, [2.0] * 6) == 0.5  # six failures
    assert region.side(1.0, [0.9, 0.8]) == 2.0  # two successes
    assert region.side(1.0, [0.9, 2.0, 0.8]) == 1.0


def test_the_process_interpolates_and_a_lucky_observation_is_not_believed():
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    y = (x**2).sum(1)
    mean, spread = GaussianProcess(x, y).predict(np.array([[0.0, 0.0], [5.0, 5.0]]))
    assert abs(mean[0]) < 0.1 and spread[1] > 5 * spread[0]
    noisy = y + 0.05 * np.random.default_rng(1).normal(size=60)
    lucky = int(np.argmax(y))
    noisy[lucky] = -0.1
    assert smoothed_best(x, noisy, np.ones(2)) != lucky


@pytest.mark.parametrize("activation", ["linear", "softmax", "sigmoid"])
def test_moves_of_the_head_are_exact_without_a_pass(activation):
    layers = [keras.Input((4,)), keras.layers.Dense(5, "tanh", name="h")]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation, name="out")])
    adapted, x = attach_adapters(model, ["h", "out"]), cases.floats(6, 4)
    phi = 0.3 * cases.floats(len(adapted.get_vector()))
    adapted.set_vector(phi)
    head, delta = Head.of(adapted), np.array([0.5, -1.0, 0.2])
    outputs = np.array(adapted(x))
    phi[head.where] += delta
    adapted.set_vector(phi)
    np.testing.assert_allclose(head.moved(outputs, delta), adapted(x), rtol=1e-4, atol=1e-6)


def test_there_is_no_head_where_the_last_layer_has_no_shift():
    assert Head.of(attach_adapters(cases.network(), "conv")) is None
    assert Head.of(attach_adapters(cases.network(), "logits", kind="scale")) is None


def imbalanced(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(160, 3)).astype("float32")
    y = (x @ [1.0, -1.0, 0.5] + 0.5 * rng.normal(size=160) > 1.5).astype("int64")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="out")])
    model.layers[-1].set_weights([np.zeros((3, 2), "float32"), np.array([3.0, 0.0], "float32")])
    return model, x, y


def searched(model, x, y, steps=60, initial=0, **options):
    adapted = attach_adapters(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adapted.compile(MetricOptimizer(keras.optimizers.SGD(1e-3)), loss)
    callback = MetricOpt("f1", (x, y), value="trust_region", observe_every=2, **options)
    rows = np.resize(np.arange(len(x)), steps * 8)
    adapted.fit(x[rows], y[rows], batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    return adapted, callback


@pytest.mark.filterwarnings("ignore:validation_data")
def test_a_fit_spends_one_observation_each_so_many_steps_and_keeps_its_choice():
    model, x, y = imbalanced()
    model.layers[-1].set_weights([np.array([[0, 1.0], [0, -1], [0, 0.5]]), np.array([4.0, 0.0])])
    adapted, callback = searched(model, x, y)
    values = [v for _, v in callback.history]
    assert callback.metric.calls == len(values) == 1 + 60 // 2
    assert values[0] < 0.3 and max(values) > 0.7  # a shift of the logits suffices
    chosen = callback.metric(y, np.array(adapted(x)))
    assert chosen > max(values) - 0.1
    numbers = {t.number for t in callback.optimizer.buffer.trajectories()}
    assert numbers >= {0, 1}


def test_a_search_that_is_cut_off_reads_what_it_observed():
    model, x, y = imbalanced(1)
    _, callback = searched(model, x, y, steps=40, measure_noise=False)
    before = callback._search
    rows = sorted(zip(before.number, before.cost, strict=True))
    before._read()
    again = sorted(zip(before.number, before.cost, strict=True))
    np.testing.assert_allclose(again, rows, rtol=1e-6)


def test_the_steps_of_fit_must_be_known():
    callback = MetricOpt("f1", (np.ones((2, 3)), np.ones(2)), value="trust_region")
    callback.set_params({"steps": None, "epochs": 1})
    with pytest.raises(InputError, match="steps_per_epoch=None: must be given"):
        callback._steps_of_fit()
