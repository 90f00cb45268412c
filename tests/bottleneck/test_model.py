"""The Keras models: equal to the simulators, usable as Keras models, and unchanged by loading."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import serving
from tfzoo.bottleneck import BottleneckNetwork, Composition, InfiniteMLP, InfiniteNetwork
from tfzoo.bottleneck.dynamics import Head, Hybrid, descend
from tfzoo.bottleneck.signatures import signatures


def data(n=12, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype("float32")
    return x, np.stack([np.sin(x[:, 0]), x[:, 1] * x[:, 2]], 1)[:, :outputs].astype("float32")


def network(dim=3, compiled=True, **options):
    model = BottleneckNetwork(dim, **{"width": 64, **options})
    if compiled:
        model.compile(metrics=["mae"])
    return model


def trained(**options):
    model = network(**options)
    model.fit(*data(), epochs=2, steps_per_epoch=20, verbose=0)
    return model


def test_fit_runs_the_simulator():
    x, y = data()
    model = network(head_activation="erf")
    history = model.fit(x, y, epochs=30, verbose=0).history
    g, f = model.g, model.f
    rows = tf.constant(x)
    problem = Hybrid(g.ntk(rows), model._initial(rows)[0], Head(f, model.u[0], model.v[0]), y)
    same = descend(problem, 30, rate=0.1)
    np.testing.assert_allclose(history["loss"], same.losses[:-1], rtol=1e-3)  # k = 2: same scale
    np.testing.assert_allclose(model.features(x)[:, 0], problem.features(same.state), atol=1e-3)
    np.testing.assert_allclose(model(x), problem.outputs(same.state), atol=1e-3)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["learning_rate"][0] == pytest.approx(same.rates[0], rel=1e-3)


def test_steps_an_epoch_do_not_matter():
    x, y = data()
    a = network()
    a.fit(x, y, epochs=40, verbose=0)
    keras.utils.set_random_seed(0)
    b = network()
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    b.fit(dataset, epochs=1, steps_per_epoch=10, verbose=0)
    b.fit(dataset, epochs=4, initial_epoch=1, steps_per_epoch=10, verbose=0)
    np.testing.assert_allclose(a(x), b(x), atol=1e-5)
    assert int(b.steps) == int(b.optimizer.iterations) == 40


def test_predictions_start_at_zero_and_features_at_the_draw():
    x, y = data()
    model = network(input_shape=(5,), outputs=2, examples=12)
    np.testing.assert_array_equal(model(x), np.zeros((12, 2)))
    start = model.features(x)
    model.fit(x, y, epochs=20, verbose=0)
    assert np.abs(model.features(x) - start).max() > 0.05
    frozen = trained(freeze_features=True)
    np.testing.assert_array_equal(frozen.c, np.zeros((1, 12, 3)))
    raw = network(centred=False, input_shape=(5,), outputs=2, examples=12)
    assert np.abs(raw(x)).max() > 0.1


def test_points_outside_the_training_set_move_by_theta_g():
    """z(x) equals that of a training point at x without its own force."""
    x, y = data()
    model = trained()
    others = data(4, seed=9)[0]
    start = model._initial(tf.constant(others))[0]
    moved = model.g.ntk(others, x) @ model.c[0]
    np.testing.assert_allclose(model.features(others)[:, 0], start + moved, atol=1e-3)


def test_random_draw_has_the_nngp_as_its_covariance():
    x, _ = data(4)
    model = BottleneckNetwork(
        2000, width=1024, input_shape=(5,), outputs=1, examples=1, bias_scale=0.3
    )
    z = model._initial(tf.constant(x))[0].numpy()
    expected = model.g.nngp(x)
    assert np.abs(z @ z.T / 2000 - expected).max() < 0.2 * np.abs(expected).max()


def test_early_stopping_callbacks_and_validation():
    x, y = data()
    model = network()
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, patience=2)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(
        x, y, epochs=50, verbose=0, callbacks=[stop, halve], validation_split=0.25
    ).history
    assert len(history["loss"]) == 3 and "val_mae" in history and model.examples == 9
    rates = history["learning_rate"]
    assert rates[1] == pytest.approx(rates[0] / 2)
    again = network()
    again.compile(keras.optimizers.SGD(0.01))
    assert again.fit(x, y, verbose=0).history["learning_rate"] == [pytest.approx(0.01)]


def test_best_weights_come_back():
    x, y = data()
    model = network(rate=1.0)
    best = keras.callbacks.EarlyStopping(
        "val_loss", patience=30, restore_best_weights=True, start_from_epoch=2
    )
    held = data(8, seed=5)
    history = model.fit(
        x, y, epochs=60, steps_per_epoch=5, verbose=0, callbacks=[best], validation_data=held
    ).history
    metrics = model.evaluate(*held, verbose=0, return_dict=True)
    least = min(history["val_loss"][2:])
    assert metrics["loss"] == pytest.approx(least, rel=1e-3)


def test_growing_sharpness_lowers_the_rate_and_is_logged():
    x, y = data()
    model = network(dim=4, rate=0.5, limit=0.6)
    history = model.fit(x, 10 * y, epochs=80, verbose=0).history
    assert history["learning_rate"][-1] < 0.5 * history["learning_rate"][0]
    assert max(history["sharpness"]) > 0.6
    assert history["loss"][-1] < 0.05 * history["loss"][0]


@pytest.mark.parametrize("sparse", [False, True])
def test_cross_entropy(sparse):
    x, _ = data(30)
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    y = labels if sparse else np.eye(3)[labels]
    kind = "SparseCategorical" if sparse else "Categorical"
    loss = getattr(keras.losses, f"{kind}Crossentropy")(from_logits=True)
    model = network(compiled=False, draws=2, width=256, rate=0.5)
    model.compile(loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, epochs=10, steps_per_epoch=30, verbose=0).history
    assert history["accuracy"][-1] > 0.95 and history["loss"][0] < np.log(3)
    answers = signatures(model, classes=True)["serving_default"](x=x)
    np.testing.assert_allclose(answers["probabilities"].sum(1), 1, rtol=1e-5)
    assert np.mean(answers["classes"] == labels) > 0.95
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


@pytest.mark.parametrize("options", [{}, {"kernel": "nngp"}, {"head_activation": "erf"}])
def test_infinite_network_is_tfps_gaussian_process(options):
    x, y = data()
    others = data(5, seed=3)[0]
    model = InfiniteNetwork(2, noise=0.01, jitter=1e-5, bias_scale=0.1, **options)
    model.compile()
    model.fit(x, y, verbose=0)
    exact = model.posterior(others)
    assert exact.batch_shape == (2,) and exact.event_shape == (5,)
    mean, stddev = model.predictive(others)
    np.testing.assert_allclose(mean, tf.transpose(exact.mean()), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stddev, np.broadcast_to(exact.stddev(), (2, 5)).T, rtol=1e-4)


def test_infinite_network_fits_and_is_what_gradient_descent_ends_at():
    x, y = data()
    model = InfiniteNetwork(2, head_activation="relu")
    model.compile(metrics=["mae"])
    history = model.fit(x, y, verbose=0, validation_data=(x, y)).history
    assert history["loss"][0] < 1e-8 and history["val_loss"][0] < 1e-6
    g = InfiniteMLP(2)
    kernel = Composition(InfiniteMLP(1), g)
    others = data(4, seed=3)[0].astype("float64")
    points = x.astype("float64")
    expected = kernel.ntk(others, points) @ np.linalg.solve(kernel.ntk(points), y)
    np.testing.assert_allclose(model.predict(others, verbose=0), expected, atol=1e-3)
    assert model.predictive(x)[1].numpy().max() < 0.05 < model.predictive(others)[1].numpy().min()


def test_ill_conditioned_kernels_and_wrong_data_are_said():
    x, y = data()
    double = np.concatenate([x, x]), np.concatenate([y, y])
    exact = InfiniteNetwork(jitter=0.0)
    exact.compile()
    with pytest.raises(ValueError, match="jitter=0.0.*must be larger"):
        exact.fit(*double, verbose=0)
    padded = InfiniteNetwork()
    padded.compile()
    padded.fit(*double, verbose=0)
    np.testing.assert_allclose(padded(x), y, atol=0.01)
    twice = network()
    twice.fit(*double, epochs=20, verbose=0)
    assert np.isfinite(twice.predict(x, verbose=0)).all()
    one = network(rate=0.5)
    one.fit(x[:1], y[:1], epochs=60, verbose=0)
    np.testing.assert_allclose(one(x[:1]), y[:1], atol=0.05)
    zero = network(unit_rows=True)
    with_zero = np.concatenate([x, np.zeros_like(x[:1])])
    zero.fit(with_zero, np.concatenate([y, y[:1]]), epochs=20, verbose=0)
    assert np.isfinite(zero.predict(with_zero, verbose=0)).all()
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="x: holds NaN or infinity"):
            network().fit(np.full_like(x, bad), y)
    with pytest.raises(ValueError, match="are all inputs 0"):
        network().fit(np.zeros_like(x), y, verbose=0)


def test_wrong_arguments():
    x, y = data()
    with pytest.raises(ValueError, match="bottleneck_dim=0"):
        network(0)
    with pytest.raises(ValueError, match="rate=2.0"):
        network(rate=2.0)
    with pytest.raises(ValueError, match="kernel='rbf'"):
        InfiniteNetwork(kernel="rbf")
    with pytest.raises(ValueError, match="call fit first"):
        network()(x)
    with pytest.raises(ValueError, match="batch_size=4"):
        network().fit(x, y, batch_size=4)
    with pytest.raises(ValueError, match="sample_weight"):
        network().fit(x, y, sample_weight=np.ones(12))
    with pytest.raises(ValueError, match="build a new model"):
        trained().fit(x[:5], y[:5], verbose=0)
    with pytest.raises(ValueError, match="optimizer='Adam'"):
        network().compile("adam")
    with pytest.raises(ValueError, match="optimizer='SGD'"):
        network().compile(keras.optimizers.SGD(0.1, momentum=0.9))
    with pytest.raises(ValueError, match="from_logits=True"):
        network().compile(loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="closed form"):
        InfiniteNetwork().compile("sgd")
    with pytest.raises(ValueError, match="draws=1: must be at least 2"):
        trained().predictive(x)
    with pytest.raises(FloatingPointError, match="the loss is"):
        model = network(limit=None)
        model.compile(keras.optimizers.SGD(1e4))
        model.fit(x, y, epochs=200, verbose=0)


SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ROWS = keras.losses.CategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        (SPARSE, np.full(12, 0.5), "0.5 is not a class index"),
        (SPARSE, np.full(12, -1), "class indices from -1"),
        (SPARSE, np.eye(12)[:, :3], r"y of shape \(12, 3\): must be class indices"),
        (ROWS, np.zeros(12), r"y of shape \(12,\): must be rows"),
        ("mse", np.zeros((12, 2, 1)), r"y of shape \(12, 2, 1\): must be \[N, k\]"),
        ("mse", np.array(["a"] * 12), "y of dtype <U1: must be numbers"),
        ("mse", np.zeros((0, 2)), r"y of shape \(0, 2\)"),
    ],
)
def test_targets_that_are_none_are_said_in_one_line(loss, y, words):
    model = network(compiled=False)
    model.compile(loss=loss)
    with pytest.raises(ValueError, match=words) as caught:
        model.fit(data()[0][: len(y)], y, verbose=0)
    assert "\n" not in str(caught.value)


FRESH = """
import sys, keras, numpy as np, tfzoo
folder = sys.argv[1]
x, y = (np.load(f"{folder}/data.npz")[k] for k in "xy")
for name in ("infinite", "bottleneck"):
    model = keras.models.load_model(f"{folder}/{name}.keras")
    results = {"first": np.stack(model.predictive(x)), "evaluated": model.evaluate(x, y, verbose=0)}
    if name == "bottleneck":
        results |= model.fit(x, y, epochs=3, steps_per_epoch=10, verbose=0).history
    np.savez(f"{folder}/{name}.npz", **results)
"""


@pytest.mark.slow
def test_a_fresh_process_predicts_the_same_and_goes_on_the_same(tmp_path):
    x, y = data()
    models = {"bottleneck": trained(draws=2, rate=0.3), "infinite": InfiniteNetwork(noise=0.1)}
    models["infinite"].compile(metrics=["mae"])
    models["infinite"].fit(x, y, verbose=0)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
    subprocess.run([sys.executable, "-c", FRESH, tmp_path], check=True, capture_output=True)
    for name, model in models.items():
        saved = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_allclose(saved["first"], np.stack(model.predictive(x)), atol=1e-6)
        np.testing.assert_allclose(saved["evaluated"], model.evaluate(x, y, verbose=0), rtol=1e-5)
    history = models["bottleneck"].fit(x, y, epochs=3, steps_per_epoch=10, verbose=0).history
    for key in ("loss", "learning_rate"):
        np.testing.assert_array_equal(np.load(tmp_path / "bottleneck.npz")[key], history[key])


def test_an_unfitted_model_keeps_how_it_was_compiled(tmp_path):
    network().save(tmp_path / "a.keras")
    model = keras.models.load_model(tmp_path / "a.keras")
    x, y = data()
    rate = model.fit(x, y, verbose=0).history["learning_rate"][0]
    assert rate > 0.02  # from the spectrum, not Keras's default 0.01


@pytest.mark.slow
def test_exports_answer_by_the_batching_law(tmp_path):
    models = {"many": trained(draws=3), "one": trained(), "infinite": InfiniteNetwork()}
    models["infinite"].compile()
    models["infinite"].fit(*data(), verbose=0)
    for name, model in models.items():
        exported = signatures(model)
        path = serving.write(model, exported, tmp_path / name)  # compares, also under XLA
        served = tf.saved_model.load(str(path)).signatures
        answers = served["serving_default"](x=tf.constant(data()[0]))
        assert set(answers) == ({"mean"} if name == "one" else {"mean", "stddev"})
        np.testing.assert_allclose(answers["mean"], model(data()[0]), atol=1e-5)
        if name == "many":
            features = served["features"](x=tf.constant(data()[0]))["features"]
            np.testing.assert_allclose(features, model.features(data()[0]), atol=1e-4)
            spread = np.std(model.members(data()[0]), 1, ddof=1)
            np.testing.assert_allclose(answers["stddev"], spread, atol=1e-4)


def test_computation_stays_in_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_float16")
    model = trained()
    assert model(data()[0]).dtype == "float32" and model.c.dtype == "float32"


def test_fit_under_xla():
    x, y = data()
    losses = []
    for jit in (False, True):
        keras.utils.set_random_seed(0)
        model = network(compiled=False)
        model.compile(jit_compile=jit)
        losses.append(model.fit(x, y, epochs=3, steps_per_epoch=11, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
