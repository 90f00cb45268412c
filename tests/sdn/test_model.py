"""The whole network: its two steps, its methods, its files."""

import keras
import numpy as np
import pytest

from support import slow
from tfzoo.errors import InputError
from tfzoo.sdn import SetDistributionNetwork
from tfzoo.sdn.model import make_adam

SETTINGS = {
    "image_size": 4,
    "code_dim": 4,
    "noise_dim": 3,
    "width": 8,
    "bottleneck": 2,
    "prior_hidden": (6,),
    "pixel_mean": 0.5,
    "pixel_std": 0.5,
    "seed": 0,
}

OURS = {"rebuilding": 1.0, "adversarial": 0.0, "balanced": True}


def model(**settings):
    keras.utils.set_random_seed(0)
    return SetDistributionNetwork(**{**SETTINGS, **settings})


def sets(b=6, n=3, seed=0):
    return np.random.default_rng(seed).random((b, n, 4, 4, 1)).astype("float32")


def trained(steps=2, **settings):
    network = model(**settings)
    network.compile()
    network.fit(sets(), batch_size=3, epochs=steps // 2 or 1, verbose=0, shuffle=False)
    return network


def weights(variables):
    return [v.numpy().copy() for v in variables]


def moved(before, after):
    return [np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True)]


def test_a_step_moves_all_parts_and_the_average_follows():
    network = model(ema=0.5)
    parts = (network.encoder, network.energy, network.prior, network.generator)
    before = [weights(p.trainable_variables) for p in parts]
    average = weights(network.average.weights)
    network.compile()
    logs = network.train_on_batch(sets(), return_dict=True)
    for part, old in zip(parts, before, strict=True):
        assert any(moved(old, weights(part.trainable_variables))), part.name
    for mine, old, g in zip(
        network.average.weights, average, network.generator.weights, strict=True
    ):
        expected = 0.5 * old + 0.5 * g.numpy() if g.trainable else g.numpy()
        np.testing.assert_allclose(mine.numpy(), expected, atol=1e-6)
    assert np.isfinite(list(logs.values())).all()


def test_each_optimizer_moves_its_own():
    for frozen, parts in (("optimizer", "judge"), ("g_optimizer", "generator")):
        network = model()
        still = keras.optimizers.SGD(0.0)
        network.compile(**{frozen: still})
        mine = getattr(network, f"{parts}_variables")()
        before = weights(mine)
        network.train_on_batch(sets())
        assert not any(moved(before, weights(mine)))


def test_the_prior_reaches_the_encoder_only_where_it_is_told():
    # with a margin never reached and energies blind to the code, only the prior's term is left
    for weight, moves in ((0.0, False), (1.0, True)):
        network = model(prior_to_encoder=weight, use_code=False, margin=1e-9)
        network.compile()
        before = weights(network.encoder.trainable_variables)
        network.train_on_batch(sets())
        assert any(moved(before, weights(network.encoder.trainable_variables))) == moves


def test_a_made_set_beyond_the_margin_does_not_move_the_energy():
    network = model(margin=1e-9)
    network.compile(optimizer=keras.optimizers.SGD(1.0), g_optimizer=keras.optimizers.SGD(0.0))
    x = sets()
    network.train_on_batch(x)
    once = weights(network.energy.trainable_variables)
    other = model(margin=1e-9)
    other.seed_generator = keras.random.SeedGenerator(99)  # other generated sets
    other.compile(optimizer=keras.optimizers.SGD(1.0), g_optimizer=keras.optimizers.SGD(0.0))
    other.train_on_batch(x)
    for a, b in zip(once, weights(other.energy.trainable_variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_rebuilding_moves_all_but_what_only_the_energy_would():
    network = model(**OURS)
    parts = (network.encoder, network.energy, network.prior, network.generator, network.posterior)
    before = [weights(p.trainable_variables) for p in parts]
    network.compile()
    logs = network.train_on_batch(sets(), return_dict=True)
    for part, old in zip(parts, before, strict=True):
        assert any(moved(old, weights(part.trainable_variables))), part.name
    assert logs["e_fake"] == logs["g_loss"] == 0
    # a generator that knows the images has no error left, only the noise's cost
    x = network.prepare(sets())
    network.generator = lambda z, noise, training: x
    network.posterior = lambda images, training: np.zeros((18, 6), "float32")
    assert float(network._rebuilt(x, network.encode(sets()), None)) == 0


@pytest.mark.slow
def test_rebuilding_with_scaled_losses_takes_the_steps_of_float32():
    steps = []
    for dtype in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(dtype)
        network = model(**OURS)
        network.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        before = weights(network.generator_variables())
        network.train_on_batch(sets())
        pairs = zip(before, weights(network.generator_variables()), strict=True)
        steps.append(np.concatenate([(b - a).ravel() for a, b in pairs]))
    assert np.linalg.norm(steps[1] - steps[0]) < 0.1 * np.linalg.norm(steps[0])


def test_turning_turns_the_images_of_a_set_alike():
    network, x = model(turned=True), np.tile(sets(1, 1), (40, 3, 1, 1, 1))
    turned = np.asarray(network._turned(x))
    np.testing.assert_array_equal(turned, np.tile(turned[:, :1], (1, 3, 1, 1, 1)))
    one = x[0, 0]
    expected = {np.rot90(m, k).tobytes() for m in (one, one[::-1]) for k in range(4)}
    assert {np.ascontiguousarray(t[0]).tobytes() for t in turned} == expected


@pytest.mark.slow
def test_masked_images_do_not_matter_to_training():
    trained_weights = []
    for junk in (0.0, 0.9):
        network, x = model(), sets()
        mask = np.ones((6, 3), bool)
        mask[:, 2] = False
        x[:, 2] = junk
        network.compile()
        network.train_on_batch({"images": x, "mask": mask})
        trained_weights.append(weights(network.judge_variables()))
    for a, b in zip(*trained_weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_faces_have_their_shapes_and_repeat_by_seed():
    network = model()
    codes = network.encode(sets())
    assert codes.shape == (6, 4) and set(np.unique(codes)) <= {-1, 1}
    ragged = network.encode([sets(1)[0], sets(1)[0][:1]])
    np.testing.assert_array_equal(ragged[0], network.encode(sets(1))[0])
    np.testing.assert_array_equal(ragged[1], network.encode(sets(1)[:, :1])[0])
    again = network.reconstruct(sets(), 5, seed=3)
    assert again.shape == (6, 5, 4, 4, 1) and again.min() >= 0 and again.max() <= 1
    np.testing.assert_array_equal(again, network.decode(codes, 5, seed=3))
    assert network.generate(3, 2, seed=1).shape == (3, 2, 4, 4, 1)
    np.testing.assert_array_equal(network.generate(3, 2, seed=1), network.generate(3, 2, seed=1))
    assert network.log_prob(codes).shape == (6,) and (network.log_prob(codes) < 0).all()


def test_code_statistics_tell_a_collapse():
    stats = model().code_stats(sets(40, seed=5))
    assert 1 < stats["unique_codes"] <= 16 and stats["marginal_entropy"] <= 4
    collapsed = model()
    collapsed.encoder.features.layers[-1].kernel.assign(
        0 * collapsed.encoder.features.layers[-1].kernel
    )
    statistics = collapsed.code_stats(sets(40, seed=5))
    assert statistics["unique_codes"] == 1 and statistics["marginal_entropy"] < 1e-6
    assert statistics["bit_marginal"] == 1 and statistics["cycle_error"] == 0


@pytest.mark.parametrize(
    ("jit", "policy"),
    [
        (False, "mixed_bfloat16"),
        (True, "float32"),
        slow((False, "float32")),
        slow((True, "mixed_bfloat16")),
    ],
)
def test_trains_compiled_and_in_mixed_precision(jit, policy):
    keras.config.set_dtype_policy(policy)
    network = model()
    network.compile(jit_compile=jit)
    logs = network.fit(sets(), batch_size=3, epochs=1, verbose=0).history
    assert np.isfinite([v[-1] for v in logs.values()]).all()
    assert network.energy(network.prepare(sets()), network.encode(sets())).dtype == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, OURS])
def test_a_file_goes_on_as_the_model_would(tmp_path, settings):
    network = trained(margin=0.2, **settings)
    path = tmp_path / "model.keras"
    network.save(path)
    again = keras.models.load_model(path)
    assert again.margin == 0.2 and again.g_optimizer.iterations == network.g_optimizer.iterations
    again.seed_generator.state.assign(network.seed_generator.state)
    for net in (network, again):
        net.train_on_batch(sets(seed=4))
    for a, b in zip(network.weights, again.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, OURS])
def test_codes_become_a_name_for_each_of_four_identities(settings):
    """Four constant images with noise: after training, their codes differ, and the prior knows."""
    rng = np.random.default_rng(0)
    base = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "float32")
    base = np.repeat(np.repeat(base.reshape(4, 2, 2), 2, 1), 2, 2)[..., None]
    who = rng.integers(0, 4, 400)
    x = base[who][:, None] + 0.05 * rng.normal(size=(400, 3, 4, 4, 1))
    network = model(width=32, code_dim=4, prior_hidden=(16,), **settings)
    network.compile(make_adam(2e-3), make_adam(2e-3))
    network.fit(x.astype("float32"), batch_size=40, epochs=40, verbose=0)
    codes = network.encode(x.astype("float32"))
    names = {k: {tuple(c) for c in codes[who == k]} for k in range(4)}
    assert all(len(codes_of) == 1 for codes_of in names.values())
    assert len(set.union(*names.values())) == 4
    firsts = np.array([next(iter(names[k])) for k in range(4)], "float32")
    np.testing.assert_allclose(np.exp(network.log_prob(firsts)), 0.25, atol=0.1)
    errors = np.abs(network.decode(firsts, 1)[:, 0] - base).mean((1, 2, 3))
    others = np.abs(network.decode(firsts, 1)[:, 0] - base[[1, 2, 3, 0]]).mean((1, 2, 3))
    assert (errors < others).all()


@pytest.mark.parametrize(
    ("give", "says"),
    [
        ([], "at least one set"),
        (np.zeros((2, 3, 5, 5, 1)), r"must be \[B, n, 4, 4, 1\]"),
        (np.zeros((2, 0, 4, 4, 1)), "at least one image"),
        ([np.zeros((0, 4, 4, 1))], "set 0 is empty"),
        ([np.zeros((1, 4, 4, 1)), np.zeros((1, 5, 5, 1))], "must be equal"),
        (np.full((1, 1, 4, 4, 1), np.nan), "finite"),
        (np.array([[["a"]]]), "must be"),
    ],
)
def test_refuses_sets(give, says):
    with pytest.raises(InputError, match=says):
        model().encode(give)


def test_refuses_masks_and_codes():
    network = model()
    with pytest.raises(InputError, match="set 1 has no image"):
        network.encode(sets(2), np.array([[1, 1, 1], [0, 0, 0]]))
    with pytest.raises(InputError, match=r"must be \[2, 3\]"):
        network.encode(sets(2), np.ones((2, 4)))
    with pytest.raises(InputError, match=r"hold 0.5, must be -1 or \+1"):
        network.decode(np.full((1, 4), 0.5), 2)
    with pytest.raises(InputError, match=r"must be \[B, 4\]"):
        network.log_prob(np.ones((2, 5)))
    with pytest.raises(InputError, match="n=0"):
        network.decode(np.ones((1, 4)), 0)


@pytest.mark.parametrize(
    "wrong",
    [{"rebuilding": -1}, {"margin": 0}, {"prior_to_encoder": -1}, {"ema": 1}, {"pixel_std": 0}],
)
def test_refuses_settings(wrong):
    with pytest.raises(ValueError, match="must be"):
        model(**wrong)
