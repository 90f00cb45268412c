"""The models: the paper's parameter counts, order, generation, sizes."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.aft import AFTClassifier, AFTImageModel, AFTLanguageModel, BitsPerSymbol
from tfzoo.optim import AdamW

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (6_322_600, {"dim": 192}),
        (22_655_848, {"dim": 384}),
        (5_356_072, {"dim": 192, "variant": "conv", "num_heads": 32}),
        (5_962_792, {"dim": 192, "variant": "conv", "num_heads": 192}),
        (20_298_088, {"dim": 384, "variant": "conv", "num_heads": 16}),
        (22_541_416, {"dim": 384, "variant": "conv", "num_heads": 384}),
        (23_020_648, {"dim": 384, "variant": "conv", "num_heads": 384, "kernel_size": 15}),
        (79_864_552, {"dim": 768, "variant": "conv", "num_heads": 32, "kernel_size": 25}),
    ],
)
def test_parameter_counts_of_tables_7_and_8(count, settings):
    assert AFTClassifier(224, 16, 1000, depth=12, **settings).count_params() == count


def moved(model, scale=0.3):
    for weight in model.trainable_weights:
        weight.assign_add(scale * RNG.normal(size=weight.shape))
    return model


VARIANTS = ["full", "simple", "local", "conv", "attention"]


def language_model(variant, depth=2):
    settings = {"variant": variant, "window": 3, "bias_dim": 2, "num_heads": 2, "kernel_size": 3}
    return moved(AFTLanguageModel(10, 4, depth, vocabulary=11, **settings))


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_depend_on_the_past_only(variant):
    model, tokens = language_model(variant), RNG.integers(0, 11, (2, 10))
    other = tokens.copy()
    other[:, 6:] = (other[:, 6:] + 1) % 11
    a, b = model(tokens).numpy(), model(other).numpy()
    np.testing.assert_allclose(a[:, :6], b[:, :6], rtol=0, atol=1e-5)
    assert np.abs(a[:, 6:] - b[:, 6:]).max() > 1e-2


@pytest.mark.parametrize("variant", ["full", "simple", "local", "conv"])
def test_greedy_generation_follows_the_parallel_logits(variant):
    model = language_model(variant)
    prompt = np.array([[3, 1, 4], [1, 5, -1]], np.int32)
    generated = model.generate(prompt, [5, 20], [0.0, 0.0], [0, 0]).numpy()
    assert generated.shape == (2, 10)
    for row, (start, added) in enumerate(([[3, 1, 4], 5], [[1, 5], 8])):  # 20 is truncated to fit
        tokens = list(start)
        for _ in range(added):
            tokens.append(int(model(np.array([tokens]))[0, -1].numpy().argmax()))
        assert generated[row].tolist() == tokens[len(start) :] + [-1] * (10 - added)


def test_each_row_is_drawn_from_its_own_seed():
    model = language_model("local")
    prompt = np.array([[3, 1], [3, 1], [3, 1], [7, -1]], np.int32)
    arguments = [prompt, [6, 6, 6, 4], [1.0, 1.0, 1.0, 2.0], [5, 6, 5, 9]]
    whole = model.generate(*arguments).numpy()
    assert (whole[0] == whole[2]).all() and (whole[0] != whole[1]).any()
    for row in range(4):
        one = model.generate(*(np.asarray(a)[row : row + 1] for a in arguments)).numpy()
        np.testing.assert_array_equal(one[0], whole[row])


def test_draws_have_the_model_distribution():
    model = language_model("simple")
    count = 4000
    prompt = np.tile([[3, 1]], (count, 1)).astype(np.int32)
    ones = tf.ones([count])
    drawn = tf.function(model.generate, autograph=False)(
        prompt, ones, ones, tf.range(count)
    ).numpy()[:, 0]
    expected = tf.nn.softmax(model(prompt[:1])[0, -1]).numpy()
    frequencies = np.bincount(drawn, minlength=11) / count
    assert np.abs(frequencies - expected).max() < 4 * math.sqrt(0.25 / count)


def test_an_empty_prompt_is_a_newline():
    model = AFTLanguageModel(12, 4, 1, window=2, bias_dim=2)
    empty = model.generate(np.full((1, 3), -1), [2], [0.0], [0]).numpy()
    newline = model.generate(np.array([[10]]), [2], [0.0], [0]).numpy()
    np.testing.assert_array_equal(empty, newline)
    nothing = model.generate(np.array([[1, 2]]), [0], [0.0], [0]).numpy()
    assert (nothing == -1).all()


def test_images_are_predicted_sub_pixel_by_sub_pixel():
    model = moved(AFTImageModel((2, 3, 2), 5, 4, 2, window=3, bias_dim=2))
    image = RNG.integers(0, 5, (1, 2, 3, 2))
    before = model(image).numpy().reshape(12, 5)
    for position in range(12):
        other = image.reshape(-1).copy()
        other[position] = (other[position] + 1) % 5
        after = model(other.reshape(image.shape)).numpy().reshape(12, 5)
        np.testing.assert_allclose(after[: position + 1], before[: position + 1], atol=1e-5)
        if position < 11:
            assert np.abs(after[position + 1] - before[position + 1]).max() > 1e-4


def test_samples_are_images_that_follow_from_their_seed():
    model = moved(AFTImageModel((2, 2, 1), 3, 4, 1, window=2, bias_dim=2))
    images = model.sample(tf.constant([1, 2, 1])).numpy()
    assert images.shape == (3, 2, 2, 1) and images.min() >= 0 and images.max() < 3
    np.testing.assert_array_equal(images[0], images[2])
    # the probability of a whole image, from its logits, is how often it is drawn
    count = 3000
    drawn = tf.function(model.sample, autograph=False)(tf.range(count)).numpy().reshape(count, -1)
    code = (drawn * [27, 9, 3, 1]).sum(1)
    images = np.array(list(np.ndindex(3, 3, 3, 3)), np.int32)
    log = tf.nn.log_softmax(model(images.reshape(81, 2, 2, 1))).numpy().reshape(81, 4, 3)
    chance = np.exp(np.take_along_axis(log, images[..., None], -1)[..., 0].sum(1))
    assert chance.sum() == pytest.approx(1, abs=1e-4)
    frequencies = np.bincount(code, minlength=81) / count
    assert np.abs(frequencies - chance).max() < 5 * math.sqrt(0.25 / count)


def test_bits_of_a_uniform_model_are_the_logarithm():
    model = AFTImageModel((2, 2, 1), 17, 4, 1, window=2, bias_dim=2)
    model.head.kernel.assign(0 * model.head.kernel)
    metric = BitsPerSymbol()
    images = RNG.integers(0, 17, (3, 2, 2, 1))
    metric.update_state(images, model(images))
    assert float(metric.result()) == pytest.approx(math.log2(17), abs=1e-5)


def test_conv_classifier_takes_other_sizes_and_others_do_not():
    conv = AFTClassifier(8, 2, 3, 4, 1, variant="conv", num_heads=2, kernel_size=3, channels=1)
    assert conv(np.ones((2, 12, 10, 1))).shape == (2, 3)
    with pytest.raises(ValueError, match="multiples of 2"):
        conv(np.ones((2, 9, 8, 1)))
    full = AFTClassifier(8, 2, 3, 4, 1, bias_dim=2, channels=1)
    with pytest.raises(ValueError, match="H and W 8"):
        full(np.ones((2, 12, 12, 1)))
    with pytest.raises(ValueError, match="patch_size=3"):
        AFTClassifier(8, 3, 3, 4, 1)
    with pytest.raises(ValueError, match="variant='none'"):
        AFTClassifier(8, 2, 3, 4, 1, variant="none")


def test_drop_path_leaves_whole_branches_out():
    model = AFTClassifier(4, 2, 3, 4, 2, bias_dim=2, channels=1, drop_path=0.9)
    images = np.ones((64, 4, 4, 1))
    assert np.ptp(model(images).numpy(), axis=0).max() < 1e-5
    outputs = np.round(model(images, training=True).numpy(), 5)
    assert 1 < len(np.unique(outputs, axis=0)) <= 4  # each example drops a branch or keeps it


def test_only_kernels_decay_and_a_loaded_optimizer_remembers(tmp_path):
    model = moved(AFTClassifier(4, 2, 3, 4, 1, bias_dim=2, channels=1))
    model.compile(AdamW(0.1, weight_decay=0.5), "mse")
    model.save(tmp_path / "model.keras")
    for trained in (model, keras.models.load_model(tmp_path / "model.keras")):
        before = [w.numpy() for w in trained.trainable_weights]
        weights = trained.trainable_weights
        trained.optimizer.apply([tf.zeros_like(w) for w in weights], weights)
        for weight, old in zip(trained.trainable_weights, before, strict=True):
            if weight.name == "kernel":
                np.testing.assert_allclose(weight, 0.95 * old, rtol=1e-5)
            else:
                np.testing.assert_array_equal(weight, old)


@pytest.mark.slow
def test_a_loaded_model_trains_on_as_the_saved_one_would(tmp_path):
    tokens = RNG.integers(0, 11, (4, 10))
    model = language_model("local", depth=1)
    model.compile(AdamW(0.01, 0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(tokens, tokens, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for trained in (model, loaded):
        trained.fit(tokens, tokens, verbose=0, shuffle=False)
    for a, b in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
