"""The GAN: architectures, losses by hand, its step, its average, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import load_module, slow
from tfzoo.afv import EnergyGAN, make_discriminator, make_generator, objectives, pooled_blocks
from tfzoo.afv.model import make_adam
from tfzoo.afv.pixels import to_network, to_pixels

small = load_module("afv/small.py")


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(("width", "count"), [(128, 1_483_137), (256, 5_915_393)])
def test_the_papers_parameter_counts(width, count):
    assert trainable(make_discriminator(32, 3, width)) == count


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_sizes(size):
    d, g = make_discriminator(size, 3, 2), make_generator(size, 3, 2, 5)
    images = g(np.zeros((2, 5), "float32"))
    assert images.shape == (2, size, size, 3) and np.abs(images).max() <= 1
    assert d(images).shape == (2, 1)
    side = 4 if size == 16 else 8
    assert d.get_layer("last_map").output.shape == (None, side, side, 2)
    assert pooled_blocks(d)(images).shape == (2, 8)


def test_the_initialisation_is_pytorchs():
    layer = make_discriminator(16, 3, 32).get_layer("block_2_conv_1")
    bound = 1 / np.sqrt(32 * 9)
    for w in (layer.kernel, layer.bias):
        assert 0.8 * bound < np.abs(w).max() <= bound
    first = make_generator(16, 3, 32, 200).get_layer("g_first")
    assert np.abs(first.kernel).max() <= 1 / np.sqrt(32 * 16)


def test_losses_by_hand():
    real, fake = np.array([[0.9], [0.4]]), np.array([[0.3], [0.2]])

    def d(*arguments):
        return float(objectives.discriminator_loss(*arguments))

    def g(*arguments):
        return float(objectives.generator_loss(*arguments))

    assert d("lsgan", real, fake) == pytest.approx((0.01 + 0.36) / 2 + (0.09 + 0.04) / 2)
    assert g("lsgan", fake) == pytest.approx((0.49 + 0.64) / 2)
    assert d("hinge", 3 * real, fake) == pytest.approx(0 + 1.25)
    assert g("hinge", fake) == pytest.approx(-0.25)
    p = np.array([[0.5, 0.9], [0.5, 0.1]])
    h = lambda q: -q * np.log(q) - (1 - q) * np.log(1 - q)  # noqa: E731
    energy, marginal = h(0.5) + h(0.9), 2 * h(0.5)
    assert g("vgan", p) == pytest.approx(energy - marginal, rel=1e-5)
    assert d("vgan", p, p) == pytest.approx(-marginal, rel=1e-5)


def test_the_mcmc_term_vanishes_where_it_should():
    x = small.images(3)
    assert float(objectives.mcmc_term(x, x, 0.0)) == 0
    assert float(objectives.mcmc_term(x + 0.5, x, 0.0)) == pytest.approx(0.25, rel=1e-5)
    noise = np.full(x.shape, 2.0, "float32")
    assert float(objectives.mcmc_term(x, x, noise)) == pytest.approx(4.0)


@pytest.fixture
def shallow():
    with small.with_blocks(1):
        yield


def gan(**options):
    keras.utils.set_random_seed(0)
    model = EnergyGAN(16, 1, 4, latent=8, seed=0, **options)
    model.compile()
    return model


@pytest.mark.parametrize(
    ("objective", "head"),
    [slow(("lsgan", "sigmoid")), ("lsgan", "logit"), ("hinge", None), ("vgan", None)],
)
def test_a_step_moves_both_networks_and_the_average_follows(objective, head, shallow):
    model = gan(objective=objective, head=head, mcmc_weight=0.5, mcmc_noise=0.1)
    before = [w.numpy() for w in model.average.weights]
    moved = [w.numpy() for w in model.discriminator.trainable_weights]
    model.fit(small.images(32), batch_size=32, verbose=0)
    pairs = zip(model.average.weights, model.generator.weights, before, strict=True)
    for mine, theirs, old in pairs:
        expected = 0.9 * old + 0.1 * theirs.numpy() if theirs.trainable else theirs.numpy()
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-6)
    now = model.discriminator.trainable_weights
    still = [b.path for a, b in zip(moved, now, strict=True) if np.abs(a - b).max() == 0]
    # inside both margins, the hinge's gradients on the last bias cancel
    assert still == (["head/bias"] if objective == "hinge" else [])
    losses = model.evaluate(small.images(8), verbose=0, return_dict=True)
    assert set(losses) == {"loss", "d_loss", "g_loss", "d_real", "d_fake"}
    assert losses["loss"] == pytest.approx(losses["d_loss"] + losses["g_loss"], rel=1e-4)


def test_d_learns_what_is_real(shallow):
    model = gan(objective="hinge")
    rng = np.random.default_rng(0)
    x = np.sign(np.linspace(-1, 1, 16))[None, :, None, None] + 0.1 * rng.normal(
        size=(256, 16, 16, 1)
    )
    model.compile(make_adam(4e-3), make_adam(1e-5))
    logs = model.fit(x, batch_size=32, epochs=3, verbose=0).history
    assert logs["d_real"][-1] > logs["d_fake"][-1] + 0.5


def test_compile_state_and_average_survive_saving(tmp_path, shallow):
    model, x = gan(ema=0.8), small.images(64)
    model.compile(make_adam(1e-3, [1, 5]), make_adam(2e-3), jit_compile=False)
    model.fit(x, batch_size=32, verbose=0)
    model.calibrate(4, 16)
    model.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    z = model.latents(4, 1)
    np.testing.assert_array_equal(z, again.latents(4, 1))
    np.testing.assert_allclose(model.generate(z), again.generate(z), atol=1e-6)
    assert float(again.optimizer._learning_rate(1)) == pytest.approx(5e-4)
    assert int(again.g_optimizer.iterations) == 2
    for a, b in zip(model.optimizer_variables, again.optimizer_variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    again.seed_generator.state.assign(model.seed_generator.state)  # Keras's files have none
    logs = [m.fit(x, batch_size=32, shuffle=False, verbose=0).history for m in (model, again)]
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)


def test_calibration_measures_the_average_generators_statistics():
    model = gan()
    model.calibrate(8, 64)
    norm = model.average.get_layer("g_block_1_norm_1")
    inside = keras.Model(model.average.inputs[0], norm.input)
    values = inside(model.latents(512, 0)).numpy().reshape(-1, 4)
    np.testing.assert_allclose(norm.moving_mean, values.mean(0), rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(norm.moving_variance, values.var(0), rtol=0.05)
    assert not model.average.trainable_weights and norm.momentum == 0.9


@pytest.mark.parametrize(("policy", "jit"), [slow(("mixed_float16", False)), ("float32", True)])
def test_training_under_xla_and_mixed_precision(policy, jit, shallow):
    model = EnergyGAN(16, 1, 2, latent=3, seed=0, dtype=policy)
    model.compile(jit_compile=jit)
    logs = model.fit(small.images(32), batch_size=16, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert model.discriminator.compute_dtype == model.compute_dtype


def test_pixels():
    x = np.arange(28 * 28, dtype="float32").reshape(1, 28, 28, 1)
    pixels = to_network(x, 16, 0.0, 1000.0).numpy()
    padded = np.pad(x[0, :, :, 0], 2).reshape(16, 2, 16, 2).mean((1, 3)) / 1000
    np.testing.assert_allclose(pixels[0, :, :, 0], padded, rtol=1e-5)
    np.testing.assert_allclose(to_network(x, 32, 0.0, 1e3)[0, 2:30, 2:30], x[0] / 1e3, rtol=1e-6)
    eight = np.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_allclose(to_network(eight, 16, 32, 32)[0, ::2, 1::2], eight[0] / 32 - 1)
    half = to_network(np.full((1, 64, 64, 3), 255, "uint8"), 32)
    np.testing.assert_allclose(to_pixels(half), 255.0)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("image_size=20", lambda: make_discriminator(20)),
        ("image_size=8", lambda: make_generator(8)),
        ("width=0", lambda: make_discriminator(16, 3, 0)),
        ("head='tanh'", lambda: make_discriminator(16, head="tanh")),
        ("objective='wgan'", lambda: EnergyGAN(16, 1, 2, objective="wgan")),
        ("head='sigmoid': must be one of logit", lambda: gan(objective="hinge", head="sigmoid")),
        ("mcmc_weight=-1", lambda: gan(mcmc_weight=-1)),
        ("ema=1", lambda: gan(ema=1)),
        ("pixel_std=0", lambda: gan(pixel_std=0)),
        ("images", lambda: gan()(tf.zeros((1, 16, 12, 1)))),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()
