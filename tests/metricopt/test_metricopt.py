"""The plug-in and its callback: special cases, solved problems, messages."""

import keras
import numpy as np
import pytest

from tfzoo import metrics
from tfzoo.errors import InputError
from tfzoo.metricopt import (
    MetricOpt,
    MetricOptimizer,
    Observations,
    ValueFunction,
    attach_adapters,
)
from tfzoo.metrics import MetricError

FAST = {"trajectories": 3, "trajectory_steps": 8, "observe_every": 4, "fit_steps": 40}
FAST |= {"refit_steps": 5}


def regression(seed=0, outputs=2):
    """A linear model, its data and (x, y) for validation."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(32, 3)).astype("float32")
    y = (x @ rng.normal(size=(3, outputs))).astype("float32")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(outputs, name="d")])
    return model, x, y


def tuned(model, optimizer, x, y, steps, callbacks=(), loss="mse", **keywords):
    adapted = attach_adapters(model)
    adapted.compile(optimizer, loss, **keywords)
    long = [np.tile(a, (steps * 8 // len(x), 1)) for a in (x, y)]
    adapted.fit(*long, batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))
    return adapted


def mean_square(y_true, y_pred):
    return float(np.mean((y_true - y_pred) ** 2))


@pytest.mark.parametrize("inner", ["sgd", "momentum", "adam"])
def test_weight_zero_is_the_plain_optimizer_bit_by_bit(inner):
    model, x, y = regression()
    make = {
        "sgd": lambda: keras.optimizers.SGD(0.05),
        "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "adam": lambda: keras.optimizers.Adam(0.05),
    }[inner]
    plain = tuned(model, make(), x, y, 12)
    ours = tuned(model, MetricOptimizer(make(), weight=0.0), x, y, 12)
    np.testing.assert_array_equal(plain.get_vector(), ours.get_vector())
    assert np.abs(ours.get_vector()).max() > 1e-2


def test_one_step_is_its_equation():
    model, x, y = regression()
    adapted = attach_adapters(model)
    optimizer = MetricOptimizer(keras.optimizers.SGD(0.1), weight=0.7, hidden=(4,))
    optimizer.build(adapted.trainable_variables)
    rng = np.random.default_rng(0)
    phi = rng.uniform(-0.2, 0.2, size=4).astype("float32")
    cloud = Observations(rng.uniform(-1, 1, (40, 4)), rng.normal(size=40), np.ones(40))
    optimizer.value.fit_observations(cloud, 10, 0)
    adapted.set_vector(phi)
    gradient = rng.normal(size=4).astype("float32")
    slope = np.array(optimizer.value.gradient(phi))

    def step(coupling, at):
        optimizer.coupling.assign(coupling)
        adapted.set_vector(at)
        optimizer.apply([gradient[:2], gradient[2:]], adapted.trainable_variables)
        return adapted.get_vector()

    np.testing.assert_allclose(step(0.0, phi), phi - 0.1 * gradient, rtol=1e-5)
    direction = slope / np.linalg.norm(slope)
    expected = phi - 0.1 * (gradient + 0.7 * direction)
    np.testing.assert_allclose(step(0.7, phi), expected, rtol=1e-4, atol=1e-6)
    lower, upper = cloud.phi.min(0), cloud.phi.max(0)
    far = step(0.7, 5 * np.ones(4, "float32"))
    np.testing.assert_allclose(far, np.clip(far, lower, upper), rtol=1e-6)
    np.testing.assert_allclose(far, upper, rtol=1e-6)
    recorded = np.array(optimizer.buffer.phi)[:3]
    np.testing.assert_allclose(recorded[2], far)
    assert int(optimizer.steps) == 3


def test_a_problem_with_a_known_optimum_is_solved():
    """The loss is uninformative; the metric has its optimum at phi*."""
    model, x, y = regression()
    adapted = attach_adapters(model)
    target = np.array([0.2, -0.25, 0.15, 0.3], "float32")
    adapted.set_vector(target)
    best = np.array(adapted(x))
    silent = lambda y_true, y_pred: 0.0 * keras.ops.sum(y_pred, -1)  # noqa: E731
    metric = metrics.get(mean_square, "min")
    callback = MetricOpt(metric, (x, best), trajectories=16, trajectory_steps=4, observe_every=2)
    optimizer = MetricOptimizer(keras.optimizers.SGD(0.02, momentum=0.9), weight=0.3)
    trained = tuned(model, optimizer, x, y, 64 + 240, [callback], loss=silent)
    start = mean_square(best, np.array(model(x)))
    assert mean_square(best, np.array(trained(x))) < 0.06 * start
    np.testing.assert_allclose(trained.get_vector(), target, atol=0.15)


def test_loss_and_metric_in_conflict_the_metric_wins():
    """The loss pulls outputs up, the metric rewards low ones."""
    model, x, _ = regression(outputs=1)
    up = lambda y_true, y_pred: -keras.ops.mean(y_pred, -1)  # noqa: E731
    metric = lambda y_true, y_pred: float(np.mean(y_pred))  # noqa: E731
    y = np.zeros((32, 1), "float32")
    ends = {}
    for weight in (0.0, 3.0):
        callback = MetricOpt(metric, (x, y), "min", restore_best=False, **FAST)
        optimizer = MetricOptimizer(keras.optimizers.SGD(0.02), weight)
        trained = tuned(model, optimizer, x, y, 24 + 80, [callback], loss=up)
        ends[weight] = float(np.mean(trained(x)))
    start = float(np.mean(model(x)))
    assert ends[0.0] > start + 0.1 and ends[3.0] < start - 0.1


@pytest.mark.slow
def test_a_metric_turned_round_gives_the_same_path():
    model, x, y = regression()
    turned = lambda y_true, y_pred: -mean_square(y_true, y_pred)  # noqa: E731
    ends = []
    for metric, mode in ((mean_square, "min"), (turned, "max")):
        keras.utils.set_random_seed(3)
        optimizer = MetricOptimizer(keras.optimizers.SGD(0.02), 0.3)
        ends.append(tuned(model, optimizer, x, y, 48, [MetricOpt(metric, (x, y), mode, **FAST)]))
    np.testing.assert_array_equal(ends[0].get_vector(), ends[1].get_vector())


@pytest.mark.parametrize(("every", "calls"), [(2, 3 * 5 + 13), (4, 3 * 3 + 7), (8, 3 * 2 + 4)])
def test_cadence_changes_only_the_number_of_calls(every, calls):
    model, x, y = regression()
    metric = metrics.get(mean_square, "min")
    settings = FAST | {"observe_every": every, "restore_best": False}
    callback = MetricOpt(metric, (x, y), **settings)
    optimizer = MetricOptimizer(keras.optimizers.SGD(0.02), 0.0)
    trained = tuned(model, optimizer, x, y, 48, [callback])
    assert metric.calls == len(callback.history) == calls
    plain = attach_adapters(model)
    plain.compile(keras.optimizers.SGD(0.02), "mse")
    plain.fit(x, y, batch_size=8, epochs=6, shuffle=False, verbose=0)  # the last 24 steps
    np.testing.assert_array_equal(trained.get_vector(), plain.get_vector())


def test_the_best_observed_is_put_back_and_logged():
    model, x, y = regression()
    callback = MetricOpt("recall_at_k", (x, np.arange(32) % 4), **FAST)
    optimizer = MetricOptimizer(keras.optimizers.SGD(0.02), 0.3)
    adapted = attach_adapters(model)
    adapted.compile(optimizer, "mse")
    logs = adapted.fit(x, y, batch_size=8, epochs=12, verbose=0, callbacks=[callback]).history
    best = max(value for _, value in callback.history)
    assert callback.held_out.evaluate(adapted, callback.metric) == pytest.approx(best)
    assert logs["best_val_recall_at_k"][-1] == pytest.approx(best)
    assert logs["val_recall_at_k"][-1] == callback.history[-2][1]  # the last one comes at the end


def test_observations_are_interpolated_within_trajectories():
    model, x, y = regression()
    callback = MetricOpt(mean_square, (x, y), "min", noise=0.01, **FAST)
    tuned(model, MetricOptimizer("sgd", 0.3), x, y, 24, [callback])
    observations = callback.observations()
    sizes = [len(t.phi) for t in callback.optimizer.buffer.trajectories()]
    assert sizes == [9, 9, 9, 1]  # the start and eight steps each, then the fine-tuning's start
    adapted = attach_adapters(model)
    for row in (0, 4, 8, 13):
        adapted.set_vector(observations.phi[row])
        value = mean_square(y, np.array(adapted(x)))
        assert observations.cost[row] == pytest.approx(value, rel=0.05)
    assert (observations.variance > 0).all()


def test_saved_and_loaded_it_goes_on_as_before(tmp_path):
    model, x, y = regression()
    make = lambda: MetricOpt("recall_at_k", (x, np.arange(32) % 4), **FAST)  # noqa: E731
    adapted = tuned(model, MetricOptimizer("adam", 0.3), x, y, 40, [make()])
    adapted.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert int(again.optimizer.steps) == 40 and float(again.optimizer.coupling) > 0
    for one in (adapted, again):
        one.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0, callbacks=[make()])
    np.testing.assert_allclose(adapted.get_vector(), again.get_vector(), rtol=1e-6, atol=1e-7)
    for a, b in zip(adapted.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=a.path)


@pytest.mark.parametrize(
    ("policy", "keywords"),
    [
        ("float32", {"jit_compile": True}),
        ("float32", {"steps_per_execution": 4}),
        ("mixed_float16", {}),
        ("mixed_bfloat16", {}),
    ],
)
def test_xla_several_steps_an_execution_and_mixed_precision(policy, keywords):
    keras.config.set_dtype_policy(policy)
    model, x, y = regression()
    callback = MetricOpt(mean_square, (x, y), "min", **FAST)
    trained = tuned(model, MetricOptimizer("sgd", 0.3), x, y, 48, [callback], **keywords)
    steps = int(callback.optimizer.steps)
    assert steps == 48 or (policy == "mixed_float16" and steps > 40)  # overflows are not steps
    assert (
        len(callback.history) >= 3 * 3 + steps // 4 - 5 and np.isfinite(trained.get_vector()).all()
    )
    values = [value for _, value in callback.history]
    assert float(callback.optimizer.best_cost) == pytest.approx(min(values))


@pytest.mark.slow
def test_a_value_function_from_elsewhere_needs_no_trajectories():
    model, x, y = regression()
    rng = np.random.default_rng(0)
    adapted, phi = attach_adapters(model), rng.normal(0, 0.3, (200, 4)).astype("float32")
    costs = []
    for row in phi:
        adapted.set_vector(row)
        costs.append(mean_square(y, np.array(adapted(x))))
    value = ValueFunction(4)
    value.fit_observations(Observations(phi, np.array(costs), np.ones(200)), 300, 0)
    callback = MetricOpt(mean_square, (x, y), "min", trajectories=0, value_function=value)
    trained = tuned(model, MetricOptimizer("sgd", 0.3), x, y, 40, [callback])
    assert callback.history[0] == (0, pytest.approx(mean_square(y, np.array(model(x))), rel=1e-5))
    assert mean_square(y, np.array(trained(x))) < callback.history[0][1]
    with pytest.raises(InputError, match="value_function: has 5 parameters"):
        wrong = MetricOpt(
            mean_square, (x, y), "min", trajectories=0, value_function=ValueFunction(5)
        )
        tuned(model, MetricOptimizer("sgd"), x, y, 4, [wrong])


def test_the_ring_forgets_the_oldest():
    model, x, y = regression()
    callback = MetricOpt(mean_square, (x, y), "min", **FAST)
    tuned(model, MetricOptimizer("sgd", 0.3, capacity=20), x, y, 48, [callback])
    trajectories = callback.optimizer.buffer.trajectories()
    assert sum(len(t.phi) for t in trajectories) <= 20 and trajectories[-1].number == 3


def test_a_constant_metric_is_warned_of_and_the_loss_followed():
    model, x, y = regression()
    callback = MetricOpt(lambda a, b: 0.5, (x, y), "min", **FAST)
    with pytest.warns(UserWarning, match="is 0.5 at all 9 observations; nothing can be learnt"):
        tuned(model, MetricOptimizer("sgd", 0.3), x, y, 24, [callback])
    assert float(callback.optimizer.coupling) == 0.0


def test_a_fit_that_only_collects_is_warned_of():
    model, x, y = regression()
    callback = MetricOpt(mean_square, (x, y), "min", **FAST)
    with pytest.warns(UserWarning, match="ended after 20 steps, the first 24 only collect"):
        tuned(model, MetricOptimizer("sgd", 0.3), x, y, 20, [callback])


def test_a_metric_that_fails_stops_the_training_by_name():
    model, x, y = regression()
    callback = MetricOpt(lambda a, b: float("nan"), (x, y), "min", **FAST)
    with pytest.raises(MetricError, match="returned nan at call 1"):
        tuned(model, MetricOptimizer("sgd", 0.3), x, y, 24, [callback])


XY = (np.ones((4, 3), "float32"), np.ones((4, 2), "float32"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MetricOpt("f1", None), "validation_data=None"),
        (lambda: MetricOpt("f1", []), "validation_data: holds no examples"),
        (lambda: MetricOpt("f1", [np.ones((2, 3))]), "must give"),
        (lambda: MetricOpt("f1", XY, trajectories=0), "trajectories=0"),
        (lambda: MetricOpt("f1", XY, observe_every=0), "observe_every=0"),
        (lambda: MetricOpt("f1", XY, init_std=0.0), "init_std=0.0"),
        (lambda: MetricOpt(len, XY), "mode=None"),
        (lambda: MetricOptimizer("sgd", weight=-1.0), "weight=-1.0"),
        (lambda: MetricOptimizer("sgd", capacity=1), "capacity=1"),
        (
            lambda: tuned(regression()[0], "sgd", *XY, 4, [MetricOpt("f1", XY)]),
            "optimizer=SGD: the model must be compiled with",
        ),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_small_split_is_warned_of_and_what_is_adapted_and_gained_is_printed(capsys):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)).astype("float32"), np.arange(60) < 8
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="d")])
    adapted = attach_adapters(model, "d*")
    adapted.compile(MetricOptimizer("sgd", 0.3), keras.losses.BinaryCrossentropy(from_logits=True))
    callback = MetricOpt("f1", (x, y.astype("int64")), test_data=(x[::-1], y[::-1] * 1), **FAST)
    with pytest.warns(UserWarning, match=r"f1.* on its 60 examples \(8 of the rarest class\)"):
        adapted.fit(x, y.astype("float32")[:, None], epochs=15, verbose=2, callbacks=[callback])
    says = capsys.readouterr().out
    assert "MetricOpt adapts d: 2 parameters" in says
    assert "on test" in says and "validation minus test +0" in says
    assert callback.report["noise"] > 0.05


def test_what_cannot_be_folded_is_said_before_the_fit():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="d")])
    model.add(keras.layers.Dropout(0.5, name="dropout"))
    adapted = attach_adapters(model, ["d", "dropout"])
    adapted.compile(MetricOptimizer("sgd", 0.3), "mse")
    callback = MetricOpt(mean_square, XY, "min", measure_noise=False, **FAST)
    with pytest.warns(UserWarning, match="fold.. will refuse: layer 'dropout': a Dropout cannot"):
        adapted.fit(*XY, epochs=26, verbose=0, callbacks=[callback])
