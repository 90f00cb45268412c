"""Linear read-outs: all routes agree; the dual equals the primal; scikit-learn accepts them."""

import pickle
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from support import load_module
from tfzoo.afv import AFVClassifier, EnergyGAN, OneVsAllSquaredHinge, make_generator
from tfzoo.afv.estimators import FisherFeatures
from tfzoo.afv.readout import ROUTES, DualRidge, choose_ridge, gram

small = load_module("afv/small.py")


def classifier(stride=1, **options):
    model = AFVClassifier(
        small.vectorizer(stride=stride), None, 3, (16, 16, 1), 0.0, 1.0, **options
    )
    rng = np.random.default_rng(0)
    model.kernel.assign(rng.normal(size=model.kernel.shape))
    model.bias.assign([0.1, 0.2, 0.3])
    return model


@pytest.mark.parametrize("stride", [1, 4])
def test_all_routes_give_the_same_scores(stride):
    model, x = classifier(stride), small.images(4)
    v = model.vectorizer.transform(x)
    expected = v @ model.kernel.numpy() + model.bias.numpy()
    for route in ROUTES:
        model.route = route
        np.testing.assert_allclose(model(x), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(model.predict_scores(x, 3), expected, rtol=1e-3, atol=1e-3)


def test_dual_ridge_is_primal_ridge():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, held, t = rng.normal(size=(20, 6)) + 1, rng.normal(size=(5, 6)), rng.normal(size=(20, 3))
    problem = DualRidge(x @ x.T, t)
    alpha = problem.solve(0.1)
    primal = Ridge(alpha=0.1 * problem.scale).fit(x, t)
    np.testing.assert_allclose(problem.predict(alpha, held @ x.T), primal.predict(held), rtol=1e-4)
    np.testing.assert_allclose(x.T @ alpha, primal.coef_.T, rtol=1e-4, atol=1e-6)


def test_the_penalty_is_validations():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = np.stack([y + 2.0 * rng.normal(size=60) for _ in range(80)], 1)
    kernel, held = x[:40] @ x[:40].T, x[40:] @ x[:40].T
    accuracy = {p: choose_ridge(kernel, y[:40], held, y[40:], 2, [p])[3] for p in (1e-6, 0.1, 10)}
    *_, penalty, best = choose_ridge(kernel, y[:40], held, y[40:], 2, list(accuracy))
    assert best == max(accuracy.values()) == accuracy[penalty]
    with pytest.raises(ValueError, match="positive definite"):
        choose_ridge(np.ones((4, 4)) - 2 * np.eye(4), y[:4], held[:, :4], y[40:], 2, [0.0])


def test_the_gram_matrix_block_by_block():
    vectorizer, x = small.vectorizer(), small.images(7)
    v = vectorizer.transform(x)
    expected = v @ v[:5].T
    for memory in (2**31, 2 * 4 * vectorizer.features):
        np.testing.assert_allclose(
            gram(vectorizer, x, x[:5], memory), expected, rtol=1e-3, atol=0.05
        )
    np.testing.assert_allclose(gram(vectorizer, x), v @ v.T, rtol=1e-3, atol=0.05)


def two_kinds(n, seed):
    """Stripes across or down."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    wave = np.sin(np.arange(16) * 1.5 + rng.uniform(0, 6, (n, 1)))
    x = np.where(y[:, None, None] == 1, wave[:, :, None], wave[:, None, :])
    return (x + 0.3 * rng.normal(size=x.shape))[..., None].astype("float32"), y


def test_ridge_and_hinge_learn():
    x, y = two_kinds(120, 0)
    held_x, held_y = two_kinds(60, 1)
    model = AFVClassifier(small.vectorizer(), None, 2, (16, 16, 1), 0.0, 1.0)
    metrics = model.fit_ridge(x, y, held_x, held_y)
    assert metrics["validation_accuracy"] > 0.85
    scores = model.predict_scores(held_x)
    assert np.mean(scores.argmax(1) == held_y) == pytest.approx(metrics["validation_accuracy"])
    p = model.probabilities(held_x).numpy()
    likelihood = np.log(p[np.arange(60), held_y]).mean()
    assert likelihood > np.log(0.5) and float(model.sharpness) != 1
    assert model.kernel.shape == (model.vectorizer.features, 2)

    hinge = AFVClassifier(small.vectorizer(), None, 2, (16, 16, 1), 0.0, 1.0, use_bias=False)
    hinge.compile(keras.optimizers.Adam(1e-3), OneVsAllSquaredHinge(), metrics=["accuracy"])
    before = hinge.vectorizer.get_weights()
    logs = hinge.fit(x, np.eye(2)[y], epochs=12, verbose=0).history
    assert logs["loss"][0] < 1.5 and logs["loss"][-1] < 0.7 * logs["loss"][0]
    assert [w.name for w in hinge.trainable_weights] == ["kernel"]
    for a, b in zip(before, hinge.vectorizer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert hinge.evaluate(held_x, np.eye(2)[held_y], verbose=0)[1] > 0.7


def test_hinge_by_hand():
    scores = np.array([[2.0, -0.5], [0.0, 0.3]])
    loss = OneVsAllSquaredHinge()(np.array([[1, 0], [1, 0]]), scores)
    assert float(loss) == pytest.approx(np.mean([0, 0.25, 1.0, 1.69]))


def test_adopt_takes_a_gans_networks_over():
    with small.with_blocks(1):
        gan = EnergyGAN(16, 1, 3, latent=8, seed=0)
    model = AFVClassifier(small.vectorizer(), make_generator(16, 1, 3, 8), 2, (16, 16, 1), 0.0, 1.0)
    model.adopt(gan, samples=40, batch=16)
    x = small.images(3)
    np.testing.assert_allclose(model.energy(x), gan.discriminator(x)[:, 0], rtol=1e-5)
    z = gan.latents(3, 9)
    np.testing.assert_allclose(model.sample(z), gan.generate(z), rtol=1e-5)
    assert model.vectorizer.moments.count == 40


def test_scikit_learn_takes_it():
    x, y = two_kinds(80, 0)
    vectorizer = small.vectorizer()
    steps = make_pipeline(FisherFeatures(vectorizer, normalise=True), LinearSVC())
    grid = {"linearsvc__C": [0.1, 10], "fisherfeatures__stride": [1, 7]}
    search = GridSearchCV(steps, grid, cv=2).fit(x, y)
    assert search.best_score_ > 0.8
    first = search.best_estimator_[0]
    assert first.vectorizer is vectorizer and first.transform(x[:2]).shape == (
        2,
        first.n_features_out_,
    )
    with pytest.raises(ValueError, match="stride=0"):
        FisherFeatures(vectorizer, stride=0).fit(x)


def test_saved_and_loaded(tmp_path):
    model, x = classifier(route="jvp"), small.images(3)
    model.save(tmp_path / "c.keras")
    again = keras.models.load_model(tmp_path / "c.keras")
    assert again.route == "jvp"
    np.testing.assert_allclose(again(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("classes=1", lambda: AFVClassifier(small.vectorizer(), None, 1, (16, 16, 1))),
        ("route='fast'", lambda: classifier(route="fast")),
        ("served_features=0", lambda: classifier(served_features=0)),
        (
            "route='layers'",
            lambda: AFVClassifier(small.vectorizer(normalise=True), None, 3, (16, 16, 1)),
        ),
        ("images", lambda: classifier()(tf.zeros((2, 16, 16, 3)))),
        ("generator=None", lambda: classifier().sample(tf.zeros((2, 3)))),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()


def test_a_worker_reads_the_network_once_however_often_it_is_sent():
    features = FisherFeatures(small.vectorizer(), stride=2).fit(small.images())
    first, again = (pickle.loads(pickle.dumps(features)) for _ in range(2))
    assert first.vectorizer is again.vectorizer is not features.vectorizer
    assert first.stride == 2 and first.n_features_out_ == features.n_features_out_
    x = small.images()
    np.testing.assert_allclose(first.transform(x), features.transform(x), rtol=1e-4, atol=1e-5)
    features.vectorizer.adapt(small.images(40, seed=9))  # different statistics
    assert pickle.loads(pickle.dumps(features)).vectorizer is not first.vectorizer


@pytest.mark.slow
def test_a_search_in_two_processes_ends_with_the_same_scores():
    x, y = small.images(60), np.arange(60) % 2
    steps = make_pipeline(FisherFeatures(small.vectorizer()), LinearSVC())
    grid = {"fisherfeatures__stride": [1, 2, 4], "linearsvc__C": [0.1, 1.0]}
    start = time.monotonic()
    one = GridSearchCV(steps, grid, cv=3).fit(x, y)
    middle = time.monotonic()
    two = GridSearchCV(steps, grid, cv=3, n_jobs=2).fit(x, y)
    print(f"one job {middle - start:.1f} s, two {time.monotonic() - middle:.1f} s")
    actual, expected = (search.cv_results_["mean_test_score"] for search in (two, one))
    np.testing.assert_allclose(actual, expected, atol=0.06)
    assert time.monotonic() - middle < 120
