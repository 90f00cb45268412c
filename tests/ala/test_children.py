"""Children in one graph train as separate models do, on one device or two, and learn together."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow
from tfzoo import metrics
from tfzoo.ala import (
    Alignment,
    Children,
    ClassWeightLoss,
    CorrelationLoss,
    LossController,
    Schedule,
    SharedLearning,
)
from tfzoo.errors import InputError
from tfzoo.metrics.held_out import HeldOut


def network():
    layers = [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.BatchNormalization()]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


def batch(seed, count=3, rows=8):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, rows, 4)).astype("float32"), rng.integers(0, 3, (count, rows))


@pytest.mark.parametrize(
    ("mode", "jit"),
    [("vectorised", False), ("loop", True), slow(("vectorised", True)), slow(("loop", False))],
)
def test_children_are_the_separate_models(mode, jit):
    networks = []

    def make():
        networks.append(network())
        return networks[-1]

    phi = np.array([[0, 0, 0], [0.5, -0.5, 0], [-1, 0, 1]], "float32")
    per_class = ClassWeightLoss(3, True, per="class")  # which does not count labels
    children = Children(make, per_class, keras.optimizers.Adam(0.05), 3, mode, jit_compile=jit)
    for model, row in zip(networks, phi, strict=True):
        loss = ClassWeightLoss(3, True, phi=row, per="class")
        model.compile(keras.optimizers.Adam(0.05), loss)
    for step in range(3):
        x, y = batch(step)
        losses = np.array(children.step(x, y, phi))
        alone = [m.train_on_batch(a, b) for m, a, b in zip(networks, x, y, strict=True)]
        if step == 0:
            np.testing.assert_allclose(losses, alone, rtol=1e-4)
    x = batch(9)[0][0]
    said, other = children.predict([x[:5], x[5:]]), network()
    for i, model in enumerate(networks):
        np.testing.assert_allclose(said[i], model.predict(x, verbose=0), rtol=1e-3, atol=1e-4)
        children.write(i, other)
        np.testing.assert_allclose(other.predict(x, verbose=0), said[i], rtol=1e-4, atol=1e-5)


def test_several_steps_of_one_call_are_those_steps_and_labels_are_counted():
    keras.utils.set_random_seed(0)
    first, second = (
        Children(network, ClassWeightLoss(3, True), keras.optimizers.Adam(0.05), 2)
        for _ in range(2)
    )
    second.begin([network() for _ in range(2)])
    for a, b in zip(first.variables, second.variables, strict=True):
        b.assign(a)
    x, y = (np.stack(parts) for parts in zip(*(batch(s, 2) for s in range(3)), strict=True))
    phi = np.array([[0.5, -0.5, 0], [-1, 0, 1]], "float32")
    second.loss.counts.assign([90, 5, 5])
    first.loss.counts.assign([90, 5, 5])
    for step in range(3):
        first.step(x[step], y[step], 0 * phi)
    second.steps(x, y, 0 * phi)
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    expected = np.array([90, 5, 5]) + np.bincount(y.reshape(-1), minlength=3)
    for children in (first, second):
        np.testing.assert_array_equal(children.loss.counts, expected)
    second.copy(0, 1)
    for variable in second.groups[0].stacked:
        np.testing.assert_array_equal(variable[0], variable[1])
    second.begin([network() for _ in range(2)])
    assert int(second.groups[0].optimizer.iterations) == 0
    assert float(second.groups[0].optimizer.learning_rate) == pytest.approx(0.05)


def test_a_warm_step_takes_the_fixed_loss():
    children = Children(network, CorrelationLoss(3, True), keras.optimizers.SGD(0.0), 2)
    x, y = batch(0, 2)
    phi = np.broadcast_to(np.eye(3), (2, 3, 3))
    warm = np.array(children.step(x, y, phi, warm=True))
    assert (warm > 0).all() and (np.array(children.step(x, y, phi)) < 0).all()


PROGRAM = """
import numpy as np, keras, tensorflow as tf
cpus = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from tfzoo.ala import Children, ClassWeightLoss

def network():
    layers = [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.BatchNormalization()]
    return keras.Sequential([*layers, keras.layers.Dense(3)])

said = []
for strategy in (None, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    for mode in ("vectorised", "loop"):
        keras.utils.set_random_seed(0)
        loss, adam = ClassWeightLoss(3, True), keras.optimizers.Adam(0.05)
        children = Children(network, loss, adam, 3, mode, strategy)
        rng = np.random.default_rng(0)
        phi = rng.normal(size=(3, 3)).astype("float32")
        for _ in range(3):
            x = rng.normal(size=(3, 8, 4)).astype("float32")
            losses = children.step(x, rng.integers(0, 3, (3, 8)), phi)
        devices = {v.value.device[-5:] for v in children.variables}
        assert len(devices) == (1 if strategy is None else 2), devices
        model = network()
        children.write(2, model)
        said.append((np.array(losses), children.predict([x[0]]), model.predict(x[0], verbose=0)))
for other in said[1:]:
    for a, b in zip(said[0], other):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
print("same")
"""


@pytest.mark.slow
def test_two_devices_of_a_mirrored_strategy_share_the_children():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "same" in done.stdout


def learning(actions=6, count=3):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    loss = ClassWeightLoss(3, True)
    children = Children(network, loss, keras.optimizers.Adam(0.02), count)
    controller = LossController(learning_rate=0.01, memory=50)
    alignment = Alignment(loss, controller, count, actions)
    x = rng.normal(size=(30, 4)).astype("float32")
    held = HeldOut((x, rng.integers(0, 3, 30)), 16)
    schedule = Schedule(actions, 4, 2, 5)
    return SharedLearning(children, alignment, held, metrics.get("balanced_error"), schedule)


def stream(start=0):
    step = start
    while True:
        x, y = batch(100 + step)
        yield x.reshape(-1, 4), y.reshape(-1)
        step += 1


def test_they_share_one_controller_and_resume_exactly():
    whole = learning()
    whole.fit(stream())
    assert [s for s, _ in whole.values] == [s for t in range(9, 30, 4) for s in (t - 1, t)]
    assert int(whole.alignment.windows) == 6 and int(whole.alignment.controller.written) == 45
    assert int(whole.alignment.controller.decisions) == 3
    cut = learning()
    state = {}

    class Stop(Exception):
        pass

    def after(step, losses):
        if step == 19:
            state["values"] = [np.array(v) for v in cut.variables]
            raise Stop

    with pytest.raises(Stop):
        cut.fit(stream(), after=after)
    again = learning()
    for variable, value in zip(again.variables, state["values"], strict=True):
        variable.assign(value)
    again.fit(stream(19), step=19)
    for a, b in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.best() == again.best()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Children(network, None, keras.optimizers.SGD(), 0), "children=0"),
        (lambda: Children(network, None, keras.optimizers.SGD(), 1, "pool"), "mode='pool'"),
        (
            lambda: Children(network, None, keras.optimizers.SGD(global_clipnorm=1.0), 1),
            "global_clipnorm=1.0: must be None",
        ),
        (lambda: Schedule(5, 4, 5), "evaluations=5: must be at most 4"),
        (lambda: Schedule(0), "actions=0"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_several_variables_of_one_name_are_stacked():
    children = Children(network, ClassWeightLoss(3, True), keras.optimizers.SGD(0.1), 2)
    shapes = [tuple(v.shape) for v in children.groups[0].trainable]
    assert shapes == [(2, 4, 5), (2, 5), (2, 5), (2, 5), (2, 5, 3), (2, 3)]
    assert tf.is_tensor(children.step(*batch(0, 2), np.zeros((2, 3))))
