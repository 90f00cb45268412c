"""Black-box metrics compared with slow references, and their errors for wrong input."""

import keras
import numpy as np
import pytest
import sklearn.metrics
from scipy.special import expit, softmax

from tfzoo import metrics
from tfzoo.errors import InputError
from tfzoo.metrics import BlackBoxMetric, MetricError


def two_classes(rng, n=60):
    y = (rng.random(n) < 0.3).astype(int)
    return y, 0.8 * y + rng.normal(size=n)


def counts(y, said):
    return ((y == 1) & said).sum(), ((y == 0) & said).sum(), ((y == 1) & ~said).sum()


def test_binary_metrics_by_counting():
    y, logits = two_classes(np.random.default_rng(0))
    hit, false, missed = counts(y, logits > 0)
    values = {
        "f1": 2 * hit / (2 * hit + false + missed),
        "jaccard": hit / (hit + false + missed),
        "misclassification_rate": (false + missed) / len(y),
    }
    two_columns = np.stack([np.zeros_like(logits), logits], 1)
    for name, value in values.items():
        metric = metrics.get(name, threshold=0.0)
        assert metric(y, logits) == pytest.approx(value)
        assert metric(y[:, None], logits[:, None]) == pytest.approx(value)
        assert metric(np.eye(2)[y], two_columns) == pytest.approx(value)


@pytest.mark.parametrize("precision", [0.5, 0.8, 0.95])
def test_recall_at_precision_tries_every_threshold(precision):
    y, logits = two_classes(np.random.default_rng(1))
    best = 0.0
    for threshold in logits:
        hit, false, missed = counts(y, logits >= threshold)
        if hit / (hit + false) >= precision:
            best = max(best, hit / (hit + missed))
    assert metrics.get("recall_at_precision", precision=precision)(y, logits) == pytest.approx(best)


def test_average_precision_is_the_sum_over_recall_steps():
    y, logits = two_classes(np.random.default_rng(2))
    order = np.argsort(-logits)
    hits = np.cumsum(y[order])
    expected = sum(hits[i] / (i + 1) for i in range(len(y)) if y[order][i]) / y.sum()
    assert metrics.get("average_precision")(y, logits) == pytest.approx(expected)
    scores = np.stack([np.zeros_like(logits), logits], 1)
    assert metrics.get("average_precision")(y, scores) == pytest.approx(expected)


def test_balanced_error_weighs_classes_alike():
    y, scores = np.array([0] * 8 + [1] * 2), np.eye(2)[[0] * 10]
    assert metrics.get("balanced_error")(y, scores) == pytest.approx(0.5)
    assert metrics.get("misclassification_rate")(y, scores) == pytest.approx(0.2)


def test_scikit_learns_metrics_are_given_what_they_take():
    rng = np.random.default_rng(8)
    y, logits = rng.integers(0, 3, 40), rng.normal(size=(40, 3))
    logits[np.arange(40), y] += 1
    said, p = logits.argmax(1), softmax(logits, 1)
    expected = {
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(y, said),
        "f1_macro": sklearn.metrics.f1_score(y, said, average="macro"),
        "neg_log_loss": -sklearn.metrics.log_loss(y, p),
        "roc_auc_ovr": sklearn.metrics.roc_auc_score(y, p, multi_class="ovr"),
        "top_k_accuracy": sklearn.metrics.top_k_accuracy_score(y, logits),
    }
    for name, value in expected.items():
        assert name in metrics.names()
        for labels in (y, np.eye(3)[y]):
            assert metrics.get(name)(labels, logits) == pytest.approx(value), name
    for function, options, given in (
        (sklearn.metrics.cohen_kappa_score, {}, said),
        (sklearn.metrics.f1_score, {"average": "micro"}, said),
        (sklearn.metrics.zero_one_loss, {}, said),
        (sklearn.metrics.log_loss, {}, p),
    ):
        metric = metrics.get(function, **options)
        assert metric.mode == ("min" if "loss" in metric.name else "max")
        assert metric(y, logits) == pytest.approx(function(y, given, **options))
        assert BlackBoxMetric.from_config(metric.get_config())(y, logits) == metric(y, logits)


def test_scikit_learns_metrics_of_two_classes_and_of_numbers():
    y, logits = two_classes(np.random.default_rng(9))
    auc = sklearn.metrics.roc_auc_score(y, logits)
    for given in (logits, logits[:, None], np.stack([-logits, logits], 1)):
        assert metrics.get("roc_auc")(y, given) == pytest.approx(auc)
    said = (logits > 0.2).astype(int)
    precision = sklearn.metrics.precision_score(y, said)
    assert metrics.get("precision", threshold=0.2)(y, logits) == pytest.approx(precision)
    brier = sklearn.metrics.brier_score_loss(y, expit(logits))
    assert metrics.get(sklearn.metrics.brier_score_loss)(y, logits) == pytest.approx(brier)
    target = logits + 0.1
    assert metrics.get("neg_mean_squared_error")(target, logits[:, None]) == pytest.approx(-0.01)
    assert metrics.get(sklearn.metrics.r2_score)(target, logits) > 0.9


@pytest.mark.parametrize("k", [1, 3])
def test_retrieval_against_a_loop(k, monkeypatch):
    monkeypatch.setattr("tfzoo.metrics.retrieval._CHUNK_BYTES", 8 * 20 * 7)  # several chunks
    rng = np.random.default_rng(3)
    y, x = rng.integers(0, 6, 20), rng.normal(size=(20, 4))
    y[0] = 9  # alone in its class
    hits, precisions = [], []
    for i in range(20):
        others = [j for j in range(20) if j != i]
        cosine = [x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in others]
        ranked = [y[others[j]] == y[i] for j in np.argsort(-np.array(cosine))]
        hits.append(any(ranked[:k]))
        places = [r + 1 for r, same in enumerate(ranked) if same]
        if places:
            precisions.append(np.mean([(n + 1) / p for n, p in enumerate(places)]))
    assert metrics.recall_at_k(y, x, k) == pytest.approx(np.mean(hits))
    assert metrics.mean_average_precision(y, x) == pytest.approx(np.mean(precisions))


def test_ties_do_not_depend_on_the_order_of_rows():
    """An embedding collapsed to a point cannot rank: precision equals the class's frequency."""
    y, x = np.repeat(np.arange(4), 5), np.ones((20, 3))
    assert metrics.mean_average_precision(y, x) == pytest.approx(4 / 19)
    x = np.random.default_rng(5).integers(0, 2, (20, 3)) + 0.5
    rows = np.random.default_rng(6).permutation(20)
    precision = metrics.mean_average_precision(y, x)
    assert metrics.mean_average_precision(y[rows], x[rows]) == pytest.approx(precision)


def test_calls_are_counted_and_costs_turned():
    metric = metrics.get("f1")
    assert metric.mode == "max" and metric.cost(0.25) == -0.25
    metric([0, 1], [0.1, 0.9])
    metric([0, 1], [0.1, 0.9])
    assert metric.calls == 2
    assert metrics.get(lambda y, p: 3.0, "min").cost(0.25) == 0.25


def test_own_registered_function_survives_its_config():
    metric = metrics.get("recall_at_precision", precision=0.8)
    again = BlackBoxMetric.from_config(metric.get_config())
    y, logits = two_classes(np.random.default_rng(4))
    assert again(y, logits) == metric(y, logits)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric)).name


def raising(y_true, y_pred):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (raising, "metric 'raising': raised KeyError at call 1, for labels int64.*no such thing"),
        (lambda y, p: float("nan"), "returned nan at call 1, must be a finite number"),
        (lambda y, p: float("inf"), "returned inf"),
        (lambda y, p: None, "returned None"),
        (lambda y, p: p, "returned array"),
    ],
)
def test_a_metric_that_fails_says_so(function, words):
    with pytest.raises(MetricError, match=words):
        metrics.get(function, "min")(np.arange(3), np.ones((3, 2)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.get("f2"), "metric='f2': must be one of average_precision"),
        (lambda: metrics.get(len), "mode=None: must be one of min, max"),
        (lambda: metrics.get(len, "best"), "mode='best'"),
    ],
)
def test_wrong_names_and_modes(call, words):
    with pytest.raises(InputError, match=words):
        call()


@pytest.mark.parametrize(
    ("name", "options", "y", "p", "words"),
    [
        ("recall_at_precision", {"precision": 1.5}, [0, 1], [0.1, 0.9], "precision=1.5"),
        ("recall_at_precision", {}, [0, 0], [0.1, 0.9], "no example of class 1"),
        ("recall_at_precision", {}, [0, 1], np.eye(3)[:2], "must be for two classes"),
        ("recall_at_k", {"k": 2}, [0, 1], np.eye(2), "k=2: must be from 1 to 1"),
        ("recall_at_k", {}, [0, 1, 1], np.eye(2), r"embeddings \[2, 2\]: must be \[3, D\]"),
        ("mean_average_precision", {}, [0, 1], np.eye(2), "no class has two rows"),
    ],
)
def test_bad_input_of_named_metrics(name, options, y, p, words):
    with pytest.raises(MetricError, match=words):
        metrics.get(name, **options)(y, p)
