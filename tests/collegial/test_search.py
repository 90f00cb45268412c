"""The search: the constant, the two problems, the published shapes, wrong input."""

import keras
import numpy as np
import pytest

from tfzoo.collegial import search
from tfzoo.collegial.search import Polynomial, maximize_trainability, minimize_parameters

BLOCK = Polynomial((512, 9))  # a ResNeXt block: 2 C n + 9 n^2, C = 256


def test_constant_of_the_square_cost():
    a = 3.0
    assert a / search.best_width(Polynomial((0, 1)), a) == pytest.approx(1.593624, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 2.5, 4.0])
@pytest.mark.parametrize("cost", [BLOCK, Polynomial((0, 1)), Polynomial((3, 5, 2))])
def test_best_width_is_the_minimum_of_variance_times_cost(cost, alpha):
    width = search.best_width(cost, alpha, depth=7)
    grid = np.linspace(width / 3, 3 * width, 20_001)
    product = np.expm1(7 * alpha / grid) * np.array([cost.member(n) for n in grid])
    assert grid[product.argmin()] == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize("budget", [1e6, 3e6, 4e7])
def test_width_does_not_depend_on_the_budget_nor_on_the_variance(budget):
    best = search.best_width(BLOCK, 3.0, depth=4)
    assert abs(maximize_trainability(budget, BLOCK, depth=4).width - best) <= 1
    assert abs(minimize_parameters(300 / budget, BLOCK, depth=4).width - best) <= 1


def test_integer_search_tries_every_shape():
    cost = Polynomial((7, 3), fixed=50)
    widths, budget = range(1, 40), 4000
    every = [
        (search.variance(m, n, 2.0, 3), m, n)
        for n in widths
        for m in range(1, 500)
        if cost(m, n) <= budget
    ]
    best = min(every)
    shape = maximize_trainability(budget, cost, alpha=2.0, depth=3, widths=widths)
    assert (shape.variance, shape.members, shape.width) == pytest.approx(best)
    limit = 0.37
    every = [
        (cost(m, n), m, n)
        for n in widths
        for m in range(1, 500)
        if search.variance(m, n, 2.0, 3) <= limit
    ]
    shape = minimize_parameters(limit, cost, alpha=2.0, depth=3, widths=widths)
    assert (shape.parameters, shape.members, shape.width) == min(every)


def test_round_trip_of_the_two_problems():
    first = maximize_trainability(2_000_000, BLOCK, depth=2)
    again = minimize_parameters(first.variance, BLOCK, depth=2)
    assert (again.members, again.width) == (first.members, first.width)


def test_variance_law():
    assert search.variance(4, 8, 3.0, 2) == pytest.approx(np.expm1(3 * 2 / 8) / 4)
    assert search.variance(1, 1e9) == pytest.approx(3e-9, rel=1e-6)


def test_counted_cost_is_the_blocks():
    def block(n):
        inputs = keras.Input((6,))
        x = keras.layers.Dense(n, use_bias=False)(inputs)
        x = keras.layers.Dense(n)(x)
        return keras.Model(inputs, keras.layers.Dense(3, use_bias=False)(x))

    cost = search.counted_cost(block)
    assert cost.coefficients == (6 + 1 + 3, 1)
    assert cost(5, 11) == 5 * block(11).count_params()
    with pytest.raises(ValueError, match="3 parameters do not depend on the width"):
        search.counted_cost(lambda n: with_bias(n))


def with_bias(n):
    inputs = keras.Input((6,))
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(n)(inputs)))


def test_dense_cost():
    assert search.dense_cost(64, 4, 10)(3, 20) == 3 * (64 * 20 + 3 * 400 + 20 * 10)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("budget=100: must be at least 521", lambda: maximize_trainability(100, BLOCK, widths=[1])),
        ("budget=-1", lambda: maximize_trainability(-1, BLOCK)),
        ("tolerance=-0.1", lambda: maximize_trainability(1e6, BLOCK, tolerance=-0.1)),
        ("widths=", lambda: maximize_trainability(1e6, BLOCK, widths=[0, 3])),
        ("widths=", lambda: minimize_parameters(0.1, BLOCK, widths=[])),
        ("variance_limit=0", lambda: minimize_parameters(0, BLOCK)),
        ("alpha=0", lambda: search.variance(1, 1, 0)),
        ("members=0", lambda: search.variance(0, 1)),
        ("coefficients", lambda: Polynomial((0, 0))),
        ("coefficients", lambda: Polynomial((1, -1))),
        ("need a power above the first", lambda: search.best_width(Polynomial((5,)))),
        ("increase with the number", lambda: maximize_trainability(10, lambda m, n: 1.0)),
        ("not a quadratic", lambda: search.counted_cost(cubic)),
    ],
)  # fmt: skip
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def cubic(n):
    layer = keras.layers.Dense(n * n, use_bias=False)
    layer.build((None, n))
    return layer
