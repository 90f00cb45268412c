"""Compares Fisher vectors with scikit-learn and scikit-image, and checks their invariances."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import load_module
from tfzoo.afv import FisherVectorizer, PerExampleGradients
from tfzoo.afv.sketch import sketch

small = load_module("afv/small.py")


class Quadratic(keras.layers.Layer):
    """phi(x), without parameters."""

    def call(self, x):
        return keras.ops.concatenate([x, keras.ops.square(x), keras.ops.sin(3 * x)], -1)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3 * shape[-1])


def linear_model(size=4):
    parts = [keras.Input((size,)), Quadratic(), keras.layers.Dense(1, use_bias=False)]
    return keras.Sequential(parts)


def test_a_linear_discriminator_standardises_its_features():
    from sklearn.preprocessing import StandardScaler

    model = linear_model()
    rng = np.random.default_rng(0)
    fake, real = (rng.normal(s, 1 + s, (n, 4)).astype("float32") for s, n in ((0, 200), (1, 20)))
    fv = FisherVectorizer(model, copy=False, official=True).adapt(fake)
    phi = [np.concatenate([x, x**2, np.sin(3 * x)], 1) for x in (fake, real)]
    expected = StandardScaler().fit(phi[0]).transform(phi[1])
    np.testing.assert_allclose(fv.vector(real), expected, rtol=1e-3, atol=1e-4)
    density = fv.normal()
    np.testing.assert_allclose(
        (fv.gradients(real) - density.loc) / density.scale.diag, expected, rtol=1e-3, atol=1e-4
    )


class MixtureMeans(keras.layers.Layer):
    """log density of a mixture of unit normals as a function of its means."""

    def build(self, shape):
        self.means = self.add_weight((3, shape[-1]), name="means")

    def call(self, x):
        square = keras.ops.sum(keras.ops.square(x[:, None] - self.means), -1)
        return keras.ops.logsumexp(-square / 2, -1, keepdims=True)


def test_a_mixtures_means_give_scikit_images_fisher_vector():
    from skimage.feature import fisher_vector
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [5, 0], [0, 6]])
    draw = lambda n: (centres[rng.integers(0, 3, n)] + rng.normal(size=(n, 2))).astype("float32")  # noqa: E731
    model = keras.Sequential([keras.Input((2,)), MixtureMeans()])
    model.layers[0].means.assign(centres)
    fv = FisherVectorizer(model, copy=False).adapt(draw(4000))
    gmm = GaussianMixture(3, covariance_type="diag")
    gmm.fit(draw(300))
    gmm.means_, gmm.covariances_ = centres.astype(float), np.ones((3, 2))
    gmm.weights_, gmm.precisions_cholesky_ = np.full(3, 1 / 3), np.ones((3, 2))
    x = draw(10)
    theirs = np.stack([fisher_vector(row[None].astype(float), gmm)[3:9] for row in x])
    ours = fv.vector(x).numpy()
    ratio = np.sum(ours * theirs) / np.sum(theirs**2)
    assert ratio > 0
    assert np.corrcoef(ours.ravel(), (ratio * theirs).ravel())[0, 1] > 0.995


def test_fresh_draws_have_mean_zero_and_variance_one():
    rng = np.random.default_rng(0)
    model = linear_model(8)
    fv = FisherVectorizer(model, copy=False).adapt(rng.normal(size=(4000, 8)).astype("float32"))
    v = fv.vector(rng.normal(size=(1000, 8)).astype("float32")).numpy()
    assert np.mean(np.abs(v.mean(0)) < 4 / np.sqrt(1000)) >= 0.99
    assert 0.7 < np.median(v.var(0)) < 1.5


def test_statistics_stream_and_merge():
    x = small.images(48, seed=7)
    whole, parts, other = (FisherVectorizer(small.discriminator()) for _ in range(3))
    whole.adapt(x)
    parts.adapt([x[:10], x[10:31]])
    other.update(x[31:])
    parts.merge(other)
    assert parts.moments.count == 48
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(parts.m2, whole.m2, rtol=1e-3, atol=1e-8)
    g = whole.gradients(x).numpy().astype("float64")
    np.testing.assert_allclose(whole.deviation(), g.std(0), rtol=1e-3, atol=1e-7)
    batches = iter(np.split(x, [20, 40]))
    taken = FisherVectorizer(small.discriminator()).adapt_to(
        lambda n: next(batches), samples=48, batch=20
    )
    np.testing.assert_allclose(taken.mean, whole.mean, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="same discriminator"):
        whole.merge(FisherVectorizer(small.discriminator(seed=1)))


@pytest.fixture(scope="module")
def fitted():
    """Fitted on 64 images; tests do not modify it."""
    return small.vectorizer()


def as_fitted(fitted, **options):
    """Another vectorizer of the same discriminator, with the same statistics."""
    fv = FisherVectorizer(small.discriminator(), **options)
    fv.merge(fitted)
    return fv


def test_distances_and_their_symmetries(fitted):
    fv = fitted
    x, y = small.images(6, seed=1), small.images(5, seed=2)
    vx, vy = fv.vector(x).numpy(), fv.vector(y).numpy()
    living = fv.size - fv.dead
    expected = np.sum((vx.mean(0) - vy.mean(0)) ** 2) / living
    assert fv.distance(x, y) == pytest.approx(expected, rel=1e-3)
    assert fv.distance(y, x) == pytest.approx(fv.distance(x, y), rel=1e-6)
    assert fv.distance(x, x) == 0 and fv.distance(x[::-1], y) == pytest.approx(expected, 1e-3)
    np.testing.assert_allclose(fv.mean_vector(x), vx.mean(0), rtol=1e-3, atol=1e-4)
    matrix = fv.distance_matrix([x, y])
    np.testing.assert_allclose(matrix, [[0, expected], [expected, 0]], rtol=1e-3)
    assert fv.distance(x) == pytest.approx(np.sum(vx.mean(0) ** 2) / living, rel=1e-3)
    kernel = [a @ b.T / living for a, b in ((vx, vx), (vy, vy), (vx, vy))]
    off = [np.sum(k) - np.trace(k) for k in kernel[:2]]
    unbiased = off[0] / 30 + off[1] / 20 - 2 * kernel[2].mean()
    assert fv.distance(x, y, unbiased=True) == pytest.approx(unbiased, rel=1e-3, abs=1e-4)
    with pytest.raises(ValueError, match="at least two"):
        fv.distance(x[:1], y, unbiased=True)


def test_similarity_is_the_official_codes_with_its_floor(fitted):
    fv = fitted
    x = small.images(50, seed=3)
    result = fv.similarity(x)
    g = fv.gradients(x).numpy()
    sigma = fv.deviation().numpy()
    alive = fv.whitening().numpy() > 0
    apart = np.mean((g.mean(0) - fv.mean)[alive] ** 2 / (sigma[alive] ** 2 + 1e-12))
    assert result.distance == pytest.approx(apart, rel=1e-2)
    assert result.similarity == pytest.approx(np.exp(-10 * result.distance))
    assert result.floor == pytest.approx(1 / 50 + 1 / 64) and result.count == 50
    assert 0.3 < result.distance / result.floor < 3  # the same distribution


def test_the_unbiased_distance_has_mean_zero():
    rng = np.random.default_rng(0)
    fv = FisherVectorizer(linear_model(6), copy=False)
    fv.adapt(rng.normal(size=(4000, 6)).astype("float32"))
    draw = lambda: rng.normal(size=(20, 6)).astype("float32")  # noqa: E731
    pairs = [(draw(), draw()) for _ in range(40)]
    biased, fair = (
        np.array([fv.distance(a, b, unbiased=flag) for a, b in pairs]) for flag in (False, True)
    )
    assert biased.mean() == pytest.approx(2 / 20, rel=0.3)
    assert abs(fair.mean()) < 4 * fair.std() / 40**0.5


def test_vectors_do_not_see_shifts_and_scales_of_d():
    x = small.images(4, seed=1)
    plain = FisherVectorizer(small.discriminator("logit")).adapt(small.images(64, seed=7)).vector(x)
    for function in (lambda d: d + 3.0, lambda d: 2.5 * d):
        model = small.discriminator("logit")
        changed = keras.Model(model.inputs, function(model.outputs[0]))
        vectors = FisherVectorizer(changed, copy=False).adapt(small.images(64, seed=7)).vector(x)
        np.testing.assert_allclose(vectors, plain, rtol=1e-2, atol=1e-3)


class Rescaled(keras.layers.Layer):
    """A linear form whose parameters are theta / c."""

    def __init__(self, c):
        super().__init__()
        self.c = c

    def build(self, shape):
        self.theta = self.add_weight((shape[-1],), "zeros", name="theta")

    def call(self, x):
        return keras.ops.sum(x * self.theta * self.c, -1, keepdims=True)


def test_vectors_do_not_see_a_rescaling_of_parameters():
    rng = np.random.default_rng(0)
    fake, real = (rng.normal(size=(n, 4)).astype("float32") for n in (50, 5))
    vectors = []
    for c in (np.ones(4), np.array([0.1, 1, 3, 20])):
        model = keras.Sequential([keras.Input((4,)), Rescaled(c.astype("float32"))])
        vectors.append(FisherVectorizer(model, copy=False, official=True).adapt(fake).vector(real))
    np.testing.assert_allclose(vectors[1], vectors[0], rtol=1e-4, atol=1e-4)


def test_dead_coordinates_are_masked_and_reported():
    model = small.discriminator("logit", blocks=4)
    model.get_layer("block_4_conv_1").bias.assign([-100.0, 0, 0])  # a dead unit before the ReLU
    fv = FisherVectorizer(model).adapt(small.images(32, seed=7))
    # the unit's bias, and the last one, whose gradient is 1; sigma keeps the unit's weights alive
    assert fv.dead == 2
    v = fv.vector(small.images(3)).numpy()
    assert np.isfinite(v).all() and (v[:, fv.whitening() == 0] == 0).all()
    saturated = small.discriminator()
    saturated.get_layer("head").bias.assign([200.0])
    with pytest.raises(ValueError, match="coordinates are dead.*saturates"):
        FisherVectorizer(saturated).adapt(small.images(32))


def test_stride_projection_and_length(fitted):
    x = small.images(4)
    v = fitted.transform(x)
    assert v.shape == (4, fitted.features) == (4, fitted.size)
    strided = as_fitted(fitted, stride=5)
    np.testing.assert_allclose(strided.transform(x), v[:, ::5], rtol=1e-4, atol=1e-5)
    folded = as_fitted(fitted, projection=400)
    w = folded.transform(x)
    assert w.shape == (4, 400) == (4, folded.features)
    gram, kept = v @ v.T, w @ w.T
    assert np.corrcoef(gram.ravel(), kept.ravel())[0, 1] > 0.9
    unit = as_fitted(fitted, normalise=True).transform(x)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-5)


def test_statistics_outlive_the_discriminators_training():
    model, x = small.discriminator(), small.images(3)
    fv = FisherVectorizer(model).adapt(small.images(32, seed=7))
    before = fv.transform(x)
    assert model.trainable_variables and not fv.trainable_variables
    for w in model.trainable_variables:
        w.assign(w * 1.3)
    np.testing.assert_array_equal(fv.transform(x), before)
    fv.load_discriminator(model)
    with pytest.raises(ValueError, match="0 generated images.*call adapt"):
        fv.transform(x)
    assert np.abs(fv.adapt(small.images(32, seed=7)).transform(x) - before).max() > 1e-3


def test_saved_and_loaded(tmp_path, fitted):
    fv, x = as_fitted(fitted, stride=3), small.images(3)
    fv.save(tmp_path / "v.keras")
    again = keras.models.load_model(tmp_path / "v.keras")
    np.testing.assert_allclose(again.transform(x), fv.transform(x), rtol=1e-5, atol=1e-6)
    assert again.similarity(x).distance == pytest.approx(fv.similarity(x).distance, rel=1e-4)
    np.testing.assert_allclose(
        tf.function(fv, jit_compile=True, autograph=False)(x), fv(x), atol=1e-3
    )


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("stride=0", lambda _: FisherVectorizer(small.discriminator(), stride=0)),
        ("projection=0", lambda _: FisherVectorizer(small.discriminator(), projection=0)),
        (
            "statistics of 8",
            lambda _: FisherVectorizer(small.discriminator()).adapt(small.images(8)),
        ),
        ("images", lambda fitted: fitted.transform(small.images(2, 32))),
        ("images", lambda fitted: fitted.similarity(small.images(2, 16, 3))),
        ("call adapt", lambda _: FisherVectorizer(small.discriminator()).distance(small.images(2))),
    ],
)
def test_wrong_input(match, call, fitted):
    with pytest.raises(ValueError, match=match):
        call(fitted)


def test_folded_first_statistics_are_of_the_sketch():
    model, x = small.discriminator(), small.images(40)
    vectorizer = FisherVectorizer(model, projection=32, fold_first=True).adapt(x)
    variables = vectorizer.gradients.variables
    rows = sketch(PerExampleGradients(vectorizer.discriminator, variables)(x), 32).numpy()
    assert vectorizer.size == vectorizer.features == 32
    np.testing.assert_allclose(vectorizer.mean, rows.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(vectorizer.transform(x).std(0), 1, rtol=1e-3)
    assert vectorizer.distance(x[:20], x[20:]) > 0
    with pytest.raises(ValueError, match="needs a projection"):
        FisherVectorizer(model, fold_first=True)


def test_parameters_by_patterns_of_their_paths():
    model = small.discriminator(blocks=2)
    vectorizer = FisherVectorizer(model, parameters=["block_2_*/kernel", "head/*"])
    paths = [v.path for v in vectorizer.gradients.variables]
    assert len(paths) == 5 and all("block_2" in p or "head" in p for p in paths)
    with pytest.raises(ValueError, match="parameters='bloc': matches no weight; they are block_1"):
        FisherVectorizer(model, parameters="bloc")
