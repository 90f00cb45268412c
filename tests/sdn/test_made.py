"""The prior is a proper autoregressive distribution."""

import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.sdn import MADE


def make_layer(dim=6, hidden=(11, 7), seed=0):
    keras.utils.set_random_seed(seed)
    layer = MADE(dim, hidden)
    layer.build((None, dim))
    for weight in layer.weights:  # biases too, so that no bit is unbiased
        weight.assign(weight + 0.7 * np.random.default_rng(seed).normal(size=weight.shape))
    return layer


def test_a_narrow_layer_is_warned_of():
    with pytest.warns(UserWarning, match=r"hidden=\[9, 4\]: must be at least dim - 1 = 5"):
        layer = make_layer(6, (9, 4))
    masks = layer.masks()
    sees = (masks[0] @ masks[1] @ masks[2] > 0).sum(0)
    assert (sees < np.arange(6)).any()  # some logit lacks an earlier bit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = make_layer(6, (9, 5)).masks()
    np.testing.assert_array_equal((masks[0] @ masks[1] @ masks[2] > 0).sum(0), np.arange(6))


def all_codes(dim):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=dim)), "float32")


@pytest.mark.parametrize("hidden", [(11, 7), (3,), (40, 2, 9)])
def test_probabilities_of_all_codes_sum_to_one(hidden):
    p = np.exp(np.asarray(make_layer(6, hidden).log_prob(all_codes(6))))
    np.testing.assert_allclose(p.sum(), 1, atol=1e-5)
    assert p.std() > 1e-3  # and it is not uniform


def test_a_logit_sees_only_earlier_bits_and_all_of_them():
    layer, z = make_layer(5, (40, 40)), tf.Variable(all_codes(5)[:1])
    with tf.GradientTape() as tape:
        logits = layer(z)
    jacobian = tape.jacobian(logits, z)[0, :, 0].numpy()
    np.testing.assert_array_equal(np.triu(jacobian), 0)
    # with 40 units a layer, some path of positive ReLUs leads from every earlier bit
    assert (np.abs(jacobian[np.tril_indices(5, -1)]) > 0).mean() > 0.8


def test_log_prob_equals_factors_multiplied_by_hand():
    layer, codes = make_layer(), all_codes(6)[[3, 17, 60]]
    p = 1 / (1 + np.exp(-np.asarray(layer(codes), "float64")))
    by_hand = np.log(np.where(codes > 0, p, 1 - p)).sum(1)
    np.testing.assert_allclose(layer.log_prob(codes), by_hand, rtol=1e-5)


def test_samples_follow_the_exact_distribution():
    from scipy import stats

    layer, codes, n = make_layer(), all_codes(6), 50_000
    u = np.random.default_rng(0).random((n, 6)).astype("float32")
    drawn = np.asarray(layer.sample(u))
    index = ((drawn > 0) @ (2 ** np.arange(5, -1, -1))).astype(int)
    seen = np.bincount(index, minlength=64)
    expected = n * np.exp(np.asarray(layer.log_prob(codes), "float64"))
    enough = expected > 5
    rest = lambda a: np.append(a[enough], a[~enough].sum() + 1e-9)  # noqa: E731
    expected = rest(expected)
    p = stats.chisquare(rest(seen.astype(float)), expected * (n + 1e-9) / expected.sum()).pvalue
    assert p > 1e-3


@pytest.mark.parametrize("hidden", [(11, 7), (2,), (64, 64)])
def test_sampling_in_one_pass_equals_bit_by_bit(hidden):
    layer = make_layer(6, hidden)
    u = np.random.default_rng(1).random((20, 6)).astype("float32")
    codes = np.ones((20, 6), "float32")
    for j in range(6):
        p = 1 / (1 + np.exp(-np.asarray(layer(codes))[:, j]))
        codes[:, j] = np.where(u[:, j] < p, 1, -1)
    np.testing.assert_array_equal(layer.sample(u), codes)


def test_agrees_with_tfp_on_probability():
    layer = make_layer()
    codes = all_codes(6)
    expected = layer.distribution().log_prob(codes / 2 + 0.5)
    np.testing.assert_allclose(layer.log_prob(codes), expected, rtol=1e-4)
    drawn = layer.distribution().sample(7, seed=0).numpy()
    assert drawn.shape == (7, 6) and set(np.unique(drawn)) <= {0, 1}


def test_masks_agree_with_tfp():
    import tensorflow_probability as tfp

    theirs = tfp.bijectors.AutoregressiveNetwork(params=1, event_shape=[5], hidden_units=[4, 4])
    theirs.build([5])
    kernels = [v.numpy() for v in theirs.trainable_variables if len(v.shape) == 2]
    for mask, kernel in zip(MADE(5, (4, 4)).masks(), kernels, strict=True):
        np.testing.assert_array_equal(mask, kernel != 0)


def test_learns_a_markov_chain():
    rng, dim = np.random.default_rng(0), 5
    codes = np.ones((4000, dim), "float32")
    codes[:, 0] = rng.choice([-1, 1], 4000)
    for j in range(1, dim):
        codes[:, j] = codes[:, j - 1] * np.where(rng.random(4000) < 0.9, 1, -1)
    layer, adam = make_layer(dim, (16,)), keras.optimizers.Adam(0.02)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(layer.log_prob(codes))
        weights = layer.trainable_weights
        adam.apply(tape.gradient(loss, [w.value for w in weights]), weights)
        return loss

    adam.build(layer.trainable_weights)
    for _ in range(300):
        loss = step()
    bits = lambda p: -p * np.log2(p) - (1 - p) * np.log2(1 - p)  # noqa: E731
    assert abs(float(loss) / np.log(2) - (1 + 4 * bits(0.9))) < 0.06


@pytest.mark.parametrize("settings", [{"dim": 1}, {"dim": 3, "hidden": ()}])
def test_refuses(settings):
    with pytest.raises(ValueError, match="must be"):
        MADE(**settings)
