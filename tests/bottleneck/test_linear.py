"""Linear halves: the simulators compared with two matrices at two rates, and the conserved
quantity."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.bottleneck.dynamics import (
    FunctionSpace,
    Head,
    KernelDescent,
    conserved,
    descend,
    plain_descent,
    two_rate_descent,
)
from tfzoo.bottleneck.kernels import Composition, InfiniteMLP

G, F = InfiniteMLP(2, "linear"), InfiniteMLP(1, "linear")
RATES = (2, 3)
"""Weight layers of f and of g."""


def problem(n=10, inputs=5, outputs=2, dim=3):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, inputs)), 3 * rng.normal(size=(n, outputs))
    b = rng.normal(size=(dim, inputs))
    head = Head.draw(F, dim, 50, outputs, seed=0, dtype="float64")
    a = tf.transpose(tf.matmul(head.u, head.v, transpose_a=True)).numpy() / np.sqrt(50)
    return x, x / np.sqrt(inputs), y, a, b, head


@pytest.mark.parametrize("centred", [True, False])
def test_function_space_is_two_rate_descent(centred):
    x, scaled, y, a, b, head = problem()
    simulated = FunctionSpace(G.ntk(x), tf.constant(scaled @ b.T), head, y, centred=centred)
    ended = descend(simulated, 40, learning_rate=0.05, limit=None)
    path = two_rate_descent(
        a, b, scaled, y, rates=RATES, learning_rate=0.05, steps=40, centred=centred
    )
    np.testing.assert_allclose(ended.losses, path.losses, rtol=1e-10)
    np.testing.assert_allclose(ended.state.z, scaled @ path.b.T, rtol=1e-8, atol=1e-10)
    assert path.losses[-1] < 0.7 * path.losses[0]


def test_no_bottleneck_is_plain_descent():
    x, scaled, y, *_ = problem()
    path = descend(KernelDescent(Composition(F, G).ntk(x), y), 40, learning_rate=0.05)
    expected = plain_descent(scaled, y, rate=sum(RATES), learning_rate=0.05, steps=40)
    np.testing.assert_allclose(path.losses, expected, rtol=1e-10)


def test_conservation_law():
    """Constant up to O(eta) over a fixed time, while the two halves change much."""
    _, scaled, y, a, b, _ = problem()
    start, drifts = conserved(a, b, RATES), []
    for steps in (100, 1000):
        path = two_rate_descent(
            a, b, scaled, y, rates=RATES, learning_rate=4.0 / steps, steps=steps
        )
        drifts.append(np.abs(path.conserved - start).max())
    assert np.abs(path.b - b).max() > 0.3
    assert drifts[1] < 0.02 and 5 < drifts[0] / drifts[1] < 20
