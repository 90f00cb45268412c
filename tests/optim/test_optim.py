"""Momentum SGD against its formula; the learning rate's steps."""

import keras
import numpy as np
import pytest

from tfzoo.optim import MomentumSGD, StepsConfig, make_momentum_sgd


@pytest.mark.parametrize("nesterov", [False, True])
def test_decay_goes_through_the_momentum(nesterov):
    w, b, lr, momentum, decay = np.array([1.0, -2.0]), 0.0, 0.1, 0.9, 0.3
    variable = keras.Variable(w.astype("float32"))
    optimizer = MomentumSGD(lr, momentum, decay, nesterov=nesterov)
    for step in range(4):
        gradient = np.array([0.5, step])
        optimizer.apply([keras.ops.cast(gradient, "float32")], [variable])
        g = gradient + decay * w
        b = momentum * b + g
        w = w - lr * (g + momentum * b if nesterov else b)
        np.testing.assert_allclose(variable, w, rtol=1e-5)


def test_the_rate_falls_after_the_epochs_named():
    config = StepsConfig(0.1, drop_epochs=[2, 3], drop_factor=0.5)
    optimizer = make_momentum_sgd(config, steps_per_epoch=4)
    rates = [float(optimizer._learning_rate(step)) for step in range(16)]
    np.testing.assert_allclose(rates, [0.1] * 8 + [0.05] * 4 + [0.025] * 4, rtol=1e-6)
