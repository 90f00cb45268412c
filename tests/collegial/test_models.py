"""Networks: the papers' parameter counts, published shapes, members, predictive distribution."""

import keras
import numpy as np
import pytest

from tfzoo.collegial import CollegialMLP, CollegialResNeXt, predictive, search
from tfzoo.collegial import mlp as mlps
from tfzoo.collegial.resnext import count_kernels, stage_blocks


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


CIFAR = {(1, 128): 13_775_178, (3, 64): 13_346_378, (37, 10): 13_743_646, (10, 10): 4_223_986}
IMAGENET = {(1, 64): 25_557_032, (32, 4): 25_028_904, (12, 10): 25_758_040, (4, 16): 17_069_096}
KERNELS = {(1, 128): 13_749_962, (3, 64): 13_315_786, (37, 10): 13_698_102, (10, 10): 4_201_122}


@pytest.mark.parametrize("shape", CIFAR)
def test_parameters_of_the_cifar_networks(shape):
    assert trainable(CollegialResNeXt(10, *shape)) == CIFAR[shape]
    assert count_kernels(*shape) == KERNELS[shape]


@pytest.mark.parametrize("shape", IMAGENET)
def test_parameters_of_the_imagenet_networks(shape):
    assert trainable(CollegialResNeXt(1000, *shape, 50, "imagenet")) == IMAGENET[shape]


def test_depths_are_those_of_the_official_code():
    assert stage_blocks("cifar", 38, 4) == (3, 3, 3, 3)  # its ImageNet-64 network, "depth 29"
    assert stage_blocks("imagenet", 152, 3) == (3, 8, 36, 3)
    with pytest.raises(ValueError, match="depth=29.*depth=38, stages=4"):
        stage_blocks("cifar", 29, 4)


def imagenet(members, width):
    return count_kernels(members, width, "imagenet", 50, 1000)


@pytest.mark.parametrize("alpha", [2.0, 3.0, 3.95])
def test_published_cifar_shape(alpha):
    shape = search.maximize_trainability(count_kernels(1, 128), count_kernels, alpha=alpha)
    assert str(shape) == "37x10d"


@pytest.mark.parametrize("alpha", [2.2, 3.0, 4.5])
def test_published_imagenet_shape_exceeds_the_budget_by_less_than_a_percent(alpha):
    budget = imagenet(1, 64)
    shape = search.maximize_trainability(budget, imagenet, alpha=alpha, tolerance=0.01)
    assert str(shape) == "12x10d"
    assert budget < shape.parameters < 1.01 * budget


def small(**keywords):
    return CollegialResNeXt(3, 2, 4, depth=11, channels=1, **keywords)


def test_resnext_answers_any_size_and_trains():
    model = small()
    x = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 1)).astype("uint8")
    assert model(x).shape == (2, 3)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [w.numpy() for w in model.trainable_weights]
    model.fit(x, np.array([0, 2]), verbose=0)
    after = [w.numpy() for w in model.trainable_weights]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_resnext_normalises_raw_pixels():
    plain, scaled = small(pixel_mean=0.0, pixel_std=1.0), small(pixel_mean=10.0, pixel_std=4.0)
    scaled.set_weights(plain.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(plain(x), scaled(x * 4 + 10), rtol=1e-4, atol=1e-5)


def mlp(**keywords):
    return CollegialMLP((5,), 3, members=4, width=6, depth=2, **keywords)


def data():
    return np.random.default_rng(0).normal(size=(7, 5)).astype("float32")


def test_mlp_is_its_members():
    model, x = mlp(use_bias=True), data()
    expected = sum(np.asarray(model.member(j)(x)) for j in range(4)) / 2
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.mean(model.member_logits(x), 1), model(x), rtol=1e-4, atol=1e-6)


def test_a_member_of_the_mlp_goes_out_and_in():
    model, x = mlp(), data()
    other = CollegialMLP((5,), 3, 1, 6, 2)
    model.set_member(2, other)
    np.testing.assert_allclose(model.member_outputs(x)[:, 2], other(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.member(2)(x), other(x), rtol=1e-6)
    with pytest.raises(IndexError, match="index=4"):
        model.member(4)
    with pytest.raises(ValueError, match="network"):
        model.set_member(0, CollegialMLP((5,), 3, 1, 5, 2))


def test_mlp_parameters():
    assert mlp().count_params() == mlps.parameters(5, 3, 4, 6, 2)


def test_disagreement_is_zero_for_equal_members_and_log_m_for_opposite_ones():
    same = np.tile(data()[:, None, :3], (1, 4, 1))
    np.testing.assert_allclose(predictive.disagreement(same), 0, atol=1e-6)
    opposite = 100 * np.eye(3, dtype="float32")[None]
    np.testing.assert_allclose(predictive.disagreement(opposite), np.log(3), rtol=1e-5)


def test_predictive_distribution_is_the_mean_of_the_members():
    logits = np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")
    distribution = predictive.predictive(logits)
    mean = np.asarray(predictive.member_probabilities(logits)).mean(1)
    classes = np.arange(3)[:, None] * np.ones((1, 2), int)
    np.testing.assert_allclose(np.exp(distribution.log_prob(classes)).T, mean, rtol=1e-5)
    entropy = -(mean * np.log(mean)).sum(-1)
    members = np.asarray(predictive.member_probabilities(logits))
    within = -(members * np.log(members)).sum(-1).mean(1)
    np.testing.assert_allclose(predictive.disagreement(logits), entropy - within, rtol=1e-4)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("depth=30", lambda: CollegialResNeXt(10, 2, 4, depth=30)),
        ("depth=29.*50", lambda: CollegialResNeXt(10, 2, 4, family="imagenet")),
        ("family='mnist'", lambda: CollegialResNeXt(10, 2, 4, family="mnist")),
        ("cardinality=0", lambda: CollegialResNeXt(10, 0, 4)),
        ("base_width=0", lambda: CollegialResNeXt(10, 2, 0)),
        ("width=0", lambda: CollegialMLP((5,), 3, 1, 0, 1)),
        ("members=0", lambda: CollegialMLP((5,), 3, 0, 1, 1)),
        (r"input \(7, 5\)", lambda: CollegialMLP((4,), 3, 1, 2, 1)(data())),
    ],
)
def test_wrong_input(match, call):
    with pytest.raises(ValueError, match=match):
        call()
