"""Actor, behaviour model and critic: densities, dropout moments, spectral norm, limits."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfzoo.uwac import ActorCritic, BehaviorVAE, DropoutCritic, GaussianActor
from tfzoo.uwac import critic as critic_module

SPACE = {"observation_dim": 3, "action_dim": 2, "action_low": [-2.0, 0.0], "action_high": [2.0, 1]}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype("float32")
ACTIONS = RNG.uniform([-2, 0], [2, 1], (5, 2)).astype("float32")


def spread(model, scale=0.4):
    """Weights away from their tiny initial values."""
    rng = np.random.default_rng(3)
    for w in model.trainable_weights:
        w.assign(w + scale * rng.normal(size=w.shape))
    return model


def test_actor_is_a_squashed_gaussian_on_the_limits():
    actor = spread(GaussianActor([8], **SPACE))
    actions, pre = actor.sample(X, 200, keras.random.SeedGenerator(0))
    assert actions.shape == pre.shape == (5, 200, 2)
    assert (np.min(actions, (0, 1)) >= [-2, 0]).all() and (np.max(actions, (0, 1)) <= [2, 1]).all()
    mean, log_std = actor(X)
    np.testing.assert_allclose(np.mean(pre, 1), mean, atol=0.5)
    density = actor.log_prob(X, pre[:, 0])
    expected = actor.distribution(X).log_prob(actions[:, 0])
    np.testing.assert_allclose(density, expected, rtol=1e-3, atol=1e-3)


def test_actor_clips_its_deviation():
    actor = GaussianActor([4], **SPACE)
    actor.log_std.bias.assign([100.0, -100.0])
    np.testing.assert_allclose(actor(X)[1], np.tile([2.0, -5.0], (5, 1)))


def test_observations_are_normalised_inside():
    plain = GaussianActor([4], observation_dim=3, action_dim=2)
    shifted = GaussianActor([4], observation_dim=3, action_dim=2, observation_mean=1.0)
    shifted.set_weights(plain.get_weights())
    np.testing.assert_allclose(plain(X - 1)[0], shifted(X)[0], rtol=1e-5)


def test_vae_parts():
    vae = spread(BehaviorVAE(8, **SPACE))
    drawn = vae.generate(X, 6, keras.random.SeedGenerator(0))
    assert drawn.shape == (5, 6, 2)
    rebuilt, mean, log_std = vae.reconstruct(X, ACTIONS, keras.random.SeedGenerator(0))
    noise = keras.random.normal(mean.shape, seed=keras.random.SeedGenerator(0))
    expected = np.tanh(vae.decode(X, mean + np.exp(log_std) * noise))
    np.testing.assert_allclose(rebuilt, expected, rtol=1e-5)
    latent = vae.latent(X, ACTIONS)
    assert isinstance(latent, tfp.distributions.Distribution)
    np.testing.assert_allclose(latent.stddev(), np.exp(log_std), rtol=1e-5)
    low = (ACTIONS - [-2, 0]) / [4, 1] * 2 - 1
    np.testing.assert_allclose(vae.space.inner(ACTIONS), low, rtol=1e-5, atol=1e-6)


def slow_q(critic, x, masks):
    """Q by numpy, a mask for each hidden layer."""
    h = x
    for layer, mask in zip(critic.body, masks, strict=True):
        h = np.maximum(h @ layer.kernel.numpy() + layer.bias.numpy(), 0) * mask
    return (h @ critic.value.kernel.numpy())[:, 0] + critic.value.bias.numpy()


def all_masks(width, p):
    for bits in range(2**width):
        kept = np.array([bits >> i & 1 for i in range(width)])
        yield kept / (1 - p), np.prod(np.where(kept, 1 - p, p))


@pytest.mark.parametrize("hidden", [[3], [3, 2], [2, 2, 2]])
@pytest.mark.parametrize("estimator", ["monte_carlo", "conditional"])
def test_moments_are_those_over_all_masks(hidden, estimator):
    """Every mask of a tiny network is enumerated, so mean and variance are exact."""
    p = 0.3
    critic = spread(DropoutCritic(hidden, p, False, observation_dim=3, action_dim=2), 0.7)
    pair = np.concatenate([X, ACTIONS], 1)
    values, chances = [], []

    def enumerate_masks(masks, chance, rest):
        if not rest:
            values.append(slow_q(critic, pair, masks))
            chances.append(chance)
            return
        for mask, c in all_masks(rest[0], p):
            enumerate_masks([*masks, mask], chance * c, rest[1:])

    enumerate_masks([], 1.0, hidden)
    values, chances = np.array(values), np.array(chances)[:, None]
    mean = (values * chances).sum(0)
    variance = ((values - mean) ** 2 * chances).sum(0)
    seeds = keras.random.SeedGenerator(0)
    estimated_mean, estimated = critic.moments(X, ACTIONS, 20_000, seeds, estimator)
    tolerance = 0.02 * np.sqrt(variance) + 1e-4
    assert (np.abs(estimated_mean - mean) < 3 * tolerance).all()
    np.testing.assert_allclose(estimated, variance, rtol=0.08, atol=1e-4)
    if len(hidden) == 1 and estimator == "conditional":
        np.testing.assert_allclose(estimated, variance, rtol=1e-4)


def test_conditional_is_unbiased_and_more_exact():
    critic = spread(DropoutCritic([16, 16], 0.2, False, observation_dim=3, action_dim=2), 0.2)
    seeds = keras.random.SeedGenerator(1)

    @tf.function(autograph=False)
    def draw(name, samples):
        return critic.moments(X, ACTIONS, samples, seeds, name)

    few = np.array([draw("conditional", 2) for _ in range(400)])  # [400, 2, B]
    many = np.array([draw("monte_carlo", 2) for _ in range(400)])
    error = few.std(0) / 400**0.5
    exact = np.array(draw("monte_carlo", 50_000))
    assert (np.abs(few.mean(0) - exact) < 5 * error + 0.02 * np.abs(exact)).all()
    assert (few.std(0) < 0.7 * many.std(0)).all()


def test_without_dropout_nothing_varies():
    critic = spread(DropoutCritic([6, 6], 0.0, False, observation_dim=3, action_dim=2))
    mean, variance = critic.moments(X, ACTIONS, 5)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_allclose(mean, critic(np.concatenate([X, ACTIONS], 1)), rtol=1e-6)
    np.testing.assert_allclose(mean, critic.sample(X, ACTIONS), rtol=1e-6)


def test_scaling_q_scales_the_variance_by_the_square():
    critic = spread(DropoutCritic([6, 6], 0.2, False, observation_dim=3, action_dim=2))
    _, before = critic.moments(X, ACTIONS, 20, 7)
    critic.value.kernel.assign(3.0 * critic.value.kernel)
    np.testing.assert_allclose(critic.moments(X, ACTIONS, 20, 7)[1], 9 * before, rtol=1e-4)


def test_shared_masks_make_rows_independent_of_each_other():
    critic = spread(DropoutCritic([6, 6], 0.2, False, observation_dim=3, action_dim=2))
    whole = critic.moments(X, ACTIONS, 8, 3, shared_masks=True)
    part = critic.moments(X[2:3], ACTIONS[2:3], 8, 3, shared_masks=True)
    np.testing.assert_allclose(whole[1][2:3], part[1], rtol=1e-4)


def test_spectral_norm_bounds_the_slope():
    critic = spread(
        DropoutCritic([6, 6], 0.1, True, 1.5, observation_dim=3, action_dim=2), scale=2.0
    )
    for _ in range(60):
        critic.settle()
    for kernel in critic.kernels():
        top = np.linalg.svd(kernel, compute_uv=False)[0]
        np.testing.assert_allclose(top, 1.5, rtol=1e-3)
    x = tf.constant(np.concatenate([X, ACTIONS], 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        q = critic(x)
    assert np.linalg.norm(tape.gradient(q, x), axis=1).max() <= 1.5**3 * 1.001


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"action_low": [1.0, 0.0], "action_high": 1.0}, "action_low"),
        ({"observation_std": 0.0}, "observation_std"),
        ({"observation_dim": 0}, "observation_dim=0"),
        ({"action_high": [1.0, 2.0, 3.0]}, "action_high"),
        ({"hidden": []}, "hidden"),
    ],
)
def test_refuses(keywords, says):
    with pytest.raises(ValueError, match=says):
        GaussianActor(**{"observation_dim": 3, "action_dim": 2, **keywords})
    for name, value in (("dropout_rate", 1.0), ("sn_coeff", 0.0)):
        with pytest.raises(ValueError, match=name):
            DropoutCritic(observation_dim=3, action_dim=2, **{name: value})
    with pytest.raises(ValueError, match="algorithm='td3'"):
        ActorCritic(algorithm="td3", observation_dim=3, action_dim=2)


@pytest.mark.parametrize(
    ("estimator", "hidden"), [("conditional", (64, 6)), ("monte_carlo", (64,))]
)
def test_a_product_shared_by_masks_changes_nothing(estimator, hidden, monkeypatch):
    """Dropped terms are subtracted from the product without masks: equal up to rounding."""
    hidden = (*hidden, 5)
    critic = DropoutCritic(hidden, 0.1, False, observation_dim=3, action_dim=2)
    rng = np.random.default_rng(0)
    x, a = rng.normal(size=(7, 3)).astype("f4"), rng.uniform(-1, 1, (7, 2)).astype("f4")

    def gradient(kernel):
        with tf.GradientTape() as tape:
            mean, variance = critic.moments(x, a, 6, 3, estimator, True)
            total = tf.reduce_sum(mean) + tf.reduce_sum(variance)
        return [np.asarray(v) for v in (mean, variance, tape.gradient(total, kernel.value))]

    shared = gradient(critic.body[0].kernel)
    calls = []
    monkeypatch.setattr(critic_module, "most_dropped", lambda rate, n: calls.append(n) or n)
    for one, other in zip(shared, gradient(critic.body[0].kernel), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert calls and shared[1].min() > 0  # the other path was used the second time


def test_hardly_ever_more_units_drop():
    from scipy.stats import binom

    for rate, units in ((0.1, 64), (0.1, 256), (0.3, 40)):
        k = critic_module.most_dropped(rate, units)
        assert binom.sf(k, units, rate) <= 1e-12 < binom.sf(k - 1, units, rate)
