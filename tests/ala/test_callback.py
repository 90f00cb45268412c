"""The callback: exact when inactive, and its errors for bad input."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_wine

import tfzoo
from tfzoo import metrics
from tfzoo.ala import (
    PAPER,
    AdaptiveLossAlignment,
    Alignment,
    ClassWeightLoss,
    CorrelationLoss,
    LossController,
)
from tfzoo.errors import InputError
from tfzoo.metrics import MetricError

K = {"steps_per_action": 4, "evaluations": 2}


def data(seed=0, rows=64, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    x = np.eye(classes)[y] + 0.8 * rng.normal(size=(rows, classes))
    return x.astype("float32"), y


def network(classes=3, dropout=0.3):
    keras.utils.set_random_seed(1)
    layers = [keras.Input((classes,)), keras.layers.Dense(8, "relu")]
    layers += [keras.layers.Dropout(dropout), keras.layers.Dense(classes)]
    return keras.Sequential(layers)


def fitted(loss, callbacks=(), epochs=4, model=None, **keywords):
    x, y = data()
    model = model or network()
    model.compile(keras.optimizers.Adam(0.01), loss, **keywords)
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def watch(controller=None, metric="balanced_error", held=None, **keywords):
    held = held or data(1)
    return AdaptiveLossAlignment(controller or LossController(), held, metric, **K | keywords)


@pytest.mark.parametrize(
    "make", [lambda: ClassWeightLoss(3, True), lambda: CorrelationLoss(3, True)]
)
def test_zero_actions_leave_training_bit_equal_to_the_fixed_loss(make):
    """With dropout and shuffling: the callback does not consume their random numbers."""
    plain = fitted(make())
    callback = watch(LossController(beta=0.0))
    ours = fitted(make(), [callback])
    for a, b in zip(plain.weights, ours.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(callback.history) == 2 * 32 // 4 and len(callback.alignment.trace) == 8


def test_actions_move_the_loss_and_the_training():
    loss, plain = ClassWeightLoss(3, True), fitted(ClassWeightLoss(3, True))
    callback = watch()
    ours = fitted(loss, [callback])
    assert np.abs(np.array(loss.phi)).max() > 0.05
    np.testing.assert_array_equal(loss.phi, callback.alignment.phi[0])
    assert any(
        (np.array(a) != np.array(b)).any() for a, b in zip(plain.weights, ours.weights, strict=True)
    )
    assert [s for s, _ in callback.history[:4]] == [3, 4, 7, 8]


def test_labels_of_the_training_are_counted_and_no_others():
    x, y = data()
    x, y = x[y > 0], y[y > 0]  # no class 0, which the validation data have
    model, loss = network(), ClassWeightLoss(3, True)
    model.compile("sgd", loss)
    settings = {"batch_size": 8, "verbose": 0, "validation_data": data(1)}
    model.fit(x, y, epochs=2, callbacks=[watch()], **settings)
    np.testing.assert_array_equal(loss.counts, 1 + 2 * np.bincount(y))
    model.evaluate(*data(1), verbose=0)
    assert float(loss.counts[0]) == 1


def test_the_warm_up_is_cross_entropy_then_the_windows_begin():
    loss = CorrelationLoss(3, True)
    callback = watch(warmup_steps=20)
    ours = fitted(loss, [callback], epochs=2)  # 16 steps: only warm-up
    plain = fitted(keras.losses.SparseCategoricalCrossentropy(from_logits=True), epochs=2)
    for a, b in zip(plain.weights, ours.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not callback.history and float(loss.warm) == 0
    callback = watch(warmup_steps=20)
    fitted(CorrelationLoss(3, True), [callback])
    assert [s for s, _ in callback.history] == [23, 24, 27, 28, 31, 32]


def test_a_saved_policy_is_applied_with_learning_off_and_stays_as_it_was(tmp_path):
    controller = LossController(learning_rate=0.01)
    fitted(ClassWeightLoss(3, True), [watch(controller)], epochs=8)
    assert int(controller.written) > 0
    controller.save(tmp_path / "controller.keras")
    again = keras.models.load_model(tmp_path / "controller.keras")
    before = [np.array(v) for v in again.trainable_variables]
    callback = watch(again, learn=False)
    fitted(ClassWeightLoss(3, True), [callback])
    for a, b in zip(before, again.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(again.written) == int(controller.written)
    assert np.abs(np.array(callback.alignment.phi)).max() > 0


@pytest.mark.slow
def test_a_planted_confusable_pair_is_found():
    """The metric improves when pairs of classes move together, except for 0 and 1, which must move
    apart.

    It is computed from Phi itself, so that it responds at once: the test is whether the policy,
    shared by all pairs, singles out by its state the pair that the validation split confuses.
    """
    loss = CorrelationLoss(4)
    settings = {"learning_rate": 1e-3, "memory": 600, "batch": 32, "entropy": 0.1, "updates": 4}
    controller = LossController(**(PAPER | {"uniform": True} | settings))
    alignment, rng = Alignment(loss, controller, 6, 400), np.random.default_rng(0)
    statistics = np.full((6, loss.decisions, 2), 3.0)
    statistics[:, 0] = 0.7  # of the pair (0, 1): the classes are often confused
    for _ in range(400):
        decided = np.stack([loss.decided(p) for p in np.array(alignment.phi)])
        alignment.add(decided[:, 0] - decided[:, 1:].mean(1) + 0.01 * rng.normal(size=6))
        alignment.act(statistics + 0.05 * rng.normal(size=statistics.shape))
        if np.abs(np.array(alignment.phi) - np.eye(4)).max() >= 0.9:  # at the limit: once more
            alignment.phi.assign(np.broadcast_to(np.eye(4), (6, 4, 4)))
    p = controller.probabilities(np.array(alignment.state)).mean(0)
    assert p[0, 2] < 0.05 and p[0, 0] > 0.2  # the pair: never up
    assert p[1:, 2].min() > 0.9  # the others: up


@pytest.mark.parametrize("keywords", [{"jit_compile": True}, {"steps_per_execution": 4}])
def test_xla_and_several_steps_an_execution(keywords):
    callback = watch()
    fitted(ClassWeightLoss(3, True), [callback], **keywords)
    assert int(callback.alignment.windows) == 8


def test_a_constant_metric_is_warned_of_and_a_failing_one_named():
    with pytest.warns(UserWarning, match="the same in all 8 windows"):
        fitted(ClassWeightLoss(3, True), [watch(metric=lambda a, b: 0.5, mode="min")])
    nan = watch(metric=lambda a, b: float("nan"), mode="min")
    with pytest.raises(MetricError, match="returned nan at call 1"):
        fitted(ClassWeightLoss(3, True), [nan])


def test_more_is_better_turns_rewards_round():
    seen = {}
    error = metrics.get("balanced_error").function
    for mode, function in (("min", error), ("max", lambda y, p: 1 - error(y, p))):
        callback = watch(metric=function, mode=mode)
        fitted(ClassWeightLoss(3, True), [callback])
        seen[mode] = np.array(callback.controller.memory_advantages)
    np.testing.assert_array_equal(seen["min"], seen["max"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AdaptiveLossAlignment(LossController(), None, "f1"), "validation_data=None"),
        (lambda: AdaptiveLossAlignment(LossController(), [], "f1"), "holds no examples"),
        (lambda: AdaptiveLossAlignment("policy", data(), "f1"), "controller=str: must be a Loss"),
        (lambda: watch(metric="auc"), "metric='auc': must be one of"),
        (lambda: watch(evaluations=5), "evaluations=5: must be from 1 to 4"),
        (lambda: watch(steps_per_action=0), "steps_per_action=0"),
        (lambda: watch(warmup_steps=-1), "warmup_steps=-1"),
        (lambda: fitted("mse", [watch()]), "loss='mse': the model must be compiled with"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.slow
def test_the_packages_controller_does_not_harm_a_problem_of_ones_own():
    """scikit-learn's wine with one class reduced to six rows, compared with the fixed loss over
    five draws."""
    x, y = load_wine(return_X_y=True)
    x = ((x - x.mean(0)) / x.std(0)).astype("float32")
    errors = {True: [], False: []}
    for seed in range(5):
        order = np.random.RandomState(seed).permutation(len(x))
        train, held, test = order[:90], order[90:134], order[134:]
        train = np.concatenate([train[y[train] != 2], train[y[train] == 2][:6]])
        for moved in errors:
            keras.utils.set_random_seed(seed)
            model = keras.Sequential([keras.Input((13,)), keras.layers.Dense(3)])
            model.compile(keras.optimizers.SGD(0.02), ClassWeightLoss(3, from_logits=True))
            callbacks = []
            if moved:
                controller, judged = tfzoo.load("ala/controller"), (x[held], y[held])
                callback = AdaptiveLossAlignment(
                    controller, judged, "balanced_error", steps_per_action=10, learn=False
                )
                callbacks.append(callback)
            model.fit(x[train], y[train], epochs=60, verbose=0, callbacks=callbacks)
            said = model.predict(x[test], verbose=0)
            errors[moved].append(metrics.get("balanced_error")(y[test], said))
    assert np.mean(errors[True]) <= np.mean(errors[False]) + 0.02
