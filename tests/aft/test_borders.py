"""Edge cases of tokens, prompts, temperatures and sizes: correct, or refused in one line."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import slow
from tfzoo.aft import (
    AFTConv1D,
    AFTConv2D,
    AFTFull,
    AFTImageModel,
    AFTLanguageModel,
    AFTLocal,
    AFTSimple,
    BitsPerSymbol,
)
from tfzoo.aft.generation import fitted
from tfzoo.aft.ops import aft_conv, aft_local
from tfzoo.aft.signatures import language_model
from tfzoo.errors import InputError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    small = AFTLanguageModel(10, 4, 1, vocabulary=11, variant="simple")
    for weight in small.trainable_weights:
        weight.assign_add(0.3 * RNG.normal(size=weight.shape))
    return small


def one_line(call, words, kind=InputError):
    with pytest.raises(kind, match=words):  # Keras adds further lines
        call()


def test_rows_of_different_lengths_are_scored_together(model):
    score = language_model(model)["score"]
    rows = [[3, 1, 4, 1, 5, 9], [2, 7, 1], [8, 2]]
    padded = np.array([row + [-1] * (6 - len(row)) for row in rows])
    scores = score(tokens=padded)
    for i, row in enumerate(rows):
        alone = score(tokens=[row])
        assert scores["bits_per_byte"][i] == pytest.approx(alone["bits_per_byte"][0], rel=1e-5)
        np.testing.assert_allclose(scores["logits"][i, : len(row)], alone["logits"][0], atol=1e-5)
    generated = model.generate(padded[:, :2], [3, 2, 4], [0.0] * 3, [0] * 3).numpy()
    assert np.isfinite(score(tokens=generated)["bits_per_byte"]).all()


@pytest.mark.parametrize("token", [11, -2])
def test_what_is_no_token_is_named_with_its_row(model, token):
    tokens = np.array([[3, 1, 4], [1, token, 5], [9, 2, 6]])
    words = f"{token} in row 1: must be from 0 to 10, or -1 after the last"
    score = language_model(model)["score"].function
    one_line(lambda: model(tokens), f"tokens: {words}")
    one_line(lambda: model(tokens.astype("float32") + 0.5), r"tokens: .*in row 0: must be from 0")
    one_line(lambda: score(tf.constant(tokens)), f"tokens: {words}")
    one_line(lambda: model.generate(tokens, [1] * 3, [0.0] * 3, [0] * 3), f"prompt: {words}")


@pytest.mark.slow
def test_a_graph_names_what_is_no_token(model):
    tokens = np.array([[3, 1, 4], [1, 11, 5], [9, 2, 6]])
    score = language_model(model)["score"].function
    spec = [tf.TensorSpec([None, None], tf.int32)]
    in_graph = r"tokens: *\] \[11\] \[ in row *\] \[1\] \[: must be from 0 to 10, or -1"
    graph = tf.function(score, input_signature=spec, autograph=False)
    one_line(lambda: graph(tokens), in_graph, tf.errors.InvalidArgumentError)


@pytest.mark.slow
def test_xla_raises_nothing_and_marks_the_row(model):
    tokens = np.array([[3, 1, 4], [1, 11, 5], [9, 2, 6]])
    score = language_model(model)["score"].function
    spec = [tf.TensorSpec([None, None], tf.int32)]
    scores = tf.function(score, input_signature=spec, jit_compile=True, autograph=False)(tokens)
    good = [0, 2]
    expected = score(tf.constant(tokens[good]))
    for key, value in scores.items():
        assert np.isnan(value[1]).all()
        np.testing.assert_allclose(value.numpy()[good], expected[key], atol=1e-5)
    answer = tf.function(model.generate, jit_compile=True, autograph=False)(
        tf.constant(tokens, tf.int32), tf.fill([3], 2), tf.zeros([3]), tf.zeros([3], tf.int32)
    )
    assert (answer[1] == -1).numpy().all() and (answer.numpy()[good, :2] >= 0).all()


def test_bytes_are_tokens_in_every_dtype():
    model = AFTLanguageModel(4, 4, 1, variant="simple")
    tokens = np.array([[255, 0, 254]])
    expected = model(tokens)
    for dtype in ("uint8", "int16", "float32"):
        np.testing.assert_array_equal(model(tokens.astype(dtype)), expected)
    one_line(lambda: model(np.array([[300, 0]])), "tokens: 300 in row 0: must be from 0 to 255")


def test_a_score_needs_a_token_after_the_first(model):
    score = language_model(model)["score"]
    words = "tokens: 1 in row 1: must be at least 2"
    one_line(lambda: score(tokens=[[3, 1], [2, -1]]), words)
    one_line(lambda: score(tokens=np.zeros((1, 0), "int32")), "tokens: 0 in row 0")
    with pytest.raises(ValueError, match="tokens: 0 in a row: must be from 1 to max_length=10"):
        model(np.zeros((2, 0), "int32"))
    with pytest.raises(ValueError, match="must have at least one position"):
        AFTConv1D(2, 3)(np.zeros((2, 0, 4), "float32"))
    assert model(np.zeros((0, 3), "int32")).shape == (0, 3, 11)


def test_pixels_that_are_none_are_named():
    model = AFTImageModel((2, 2, 1), 3, 4, 1, window=2, bias_dim=2)
    one_line(lambda: model(np.full((2, 2, 2, 1), 3)), "images: 3 in row 0: must be from 0 to 2")


def test_padding_has_no_bits():
    metric = BitsPerSymbol()
    logits = RNG.normal(size=(2, 3, 5)).astype("float32")
    metric.update_state(np.array([[1, 2, -1], [4, -1, -1]]), logits)
    log = np.asarray(keras.ops.log_softmax(logits)) / np.log(2)
    expected = -(log[0, 0, 1] + log[0, 1, 2] + log[1, 0, 4]) / 3
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.update_state(np.array([[5, 0, 0]]), logits[:1])
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize(
    ("given", "length", "kept"),
    [
        (4, 6, 4),
        (4, 100, 4),
        (9, 1, 9),
        (9, 4, 6),
        (9, 100, 5),
        (30, 1, 9),
        (30, 3, 7),
        (30, 99, 5),
    ],
)
def test_a_prompt_gives_way_down_to_half(given, length, kept):
    prompt = np.array([[*range(1, given + 1), -1, 7], [3, *[-1] * (given + 1)]])
    tokens, lengths = fitted(tf.constant(prompt), tf.constant([length, length]), 10)
    assert tokens[0].numpy().tolist() == [*range(given - kept + 1, given + 1), *[-1] * (10 - kept)]
    assert tokens[1].numpy().tolist() == [3, *[-1] * 9] and lengths.numpy().tolist() == [kept, 1]


@pytest.mark.slow
def test_of_a_long_prompt_the_end_counts(model):
    """Greedy, so that the output identifies its prompt."""
    generate = tf.function(model.generate, autograph=False)

    def answer(prompt, length):
        padded = tf.constant([prompt + [-1] * (30 - len(prompt))])
        generated = generate(padded, tf.constant([length]), tf.zeros([1]), tf.zeros([1], tf.int32))
        return [n for n in generated.numpy()[0].tolist() if n >= 0]

    long = RNG.integers(0, 11, 30).tolist()
    assert answer(long, 3) == answer(long[-7:], 3)
    assert answer(long, 1) == answer(long[-9:], 1)
    assert answer(long, 100) == answer(long[-5:], 5)
    assert answer(long[:9], 4) == answer(long[3:9], 4)
    assert answer(long[:4], 100) == answer(long[:4], 6)
    both = model.generate(np.array([long[:6], [*long[:4], -1, -1]]), [6, 6], [0.0] * 2, [0] * 2)
    assert both.numpy()[0, :5].tolist() == answer(long[1:6], 5)
    assert both.numpy()[1, :6].tolist() == answer(long[:4], 6)


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_temperatures_and_lengths_are_checked(model, value):
    words = rf"temperature: {value} in row 1: must be a finite number of at least 0"
    prompt = np.array([[1, 2], [3, 4]])
    one_line(lambda: model.generate(prompt, [1, 1], [1.0, value], [0, 0]), words)
    one_line(lambda: model.generate(prompt, [-1, 1], [1.0, 1.0], [0, 0]), "length: -1 in row 0")


CAUSAL = {
    "full": lambda **o: AFTFull(40, bias_dim=2, causal=True, **o),
    "local": lambda **o: AFTLocal(40, window=3, bias_dim=2, causal=True, **o),
    "conv": lambda **o: AFTConv1D(2, 5, causal=True, **o),
    "simple": lambda **o: AFTSimple(causal=True, **o),
}


@pytest.mark.parametrize("name", ["local", slow("full"), slow("conv"), slow("simple")])
def test_bfloat16_sees_neither_the_future_nor_other_rows(name):
    """Up to float32 rounding, which changes hardly any bfloat16 number."""
    layer = CAUSAL[name](dtype="mixed_bfloat16")
    x = RNG.normal(size=(2, 40, 8)).astype("float32")
    first = np.asarray(layer(x).numpy(), "float32")
    later = x.copy()
    later[:, 30:] *= [[[3.0]], [[1000.0]]]  # the second row's exact form takes over
    moved = np.asarray(layer(later).numpy(), "float32")
    assert np.mean(first[:, :30] != moved[:, :30]) < 0.01
    np.testing.assert_array_equal(moved[0], np.asarray(layer(later[:1]).numpy(), "float32")[0])


def test_bfloat16_is_still_to_be_had_in_causal_use():
    x = RNG.normal(size=(2, 40, 8)).astype("float32")
    exact = CAUSAL["local"](dtype="mixed_bfloat16")
    exact(x)
    loose = CAUSAL["local"](dtype="mixed_bfloat16", exact=False)
    loose(x)
    loose.set_weights(exact.get_weights())
    apart = np.abs(np.asarray(exact(x) - loose(x), "float32"))
    assert 0 < apart.max() < 0.05


def test_sizes_beyond_the_data_cost_nothing():
    x = RNG.normal(size=(1, 4, 4)).astype("float32")
    bias = RNG.normal(size=(4, 4)).astype("float32")
    for causal in (False, True):
        wide = aft_local(x, x, x, bias, 100_000, causal)  # its blocks would take 120 GB
        np.testing.assert_allclose(wide, aft_local(x, x, x, bias, 4, causal), atol=1e-6)
        kernel = np.zeros((2, 200_001), "float32")
        kernel[:, 99_997:100_004] = RNG.normal(size=(2, 7))
        keys = x[..., :2]
        cut = aft_conv(x, keys, x, kernel, causal)
        expected = aft_conv(x, keys, x, kernel[:, 99_997:100_004], causal)
        np.testing.assert_allclose(cut, expected, atol=1e-6)
    layer = AFTLocal(8, window=100_000, bias_dim=2)
    assert layer(x).shape == x.shape
    wide = AFTLanguageModel(6, 4, 1, variant="conv", num_heads=2, kernel_size=100_001)
    assert wide.initial_state(1)[0]["keys"].shape == (1, 6, 2, 1)
    narrow = AFTConv1D(2, 3, causal=True)
    narrow(x)
    assert narrow.initial_state(1)["keys"].shape[1] == 2


def test_a_kernel_larger_than_the_image():
    x = RNG.normal(size=(1, 2, 3, 4)).astype("float32")
    layer = AFTConv2D(2, 11)
    layer(x)
    layer.gamma.assign([1.0, 2.0])
    padded = np.pad(x, [[0, 0], [4, 4], [4, 3], [0, 0]])
    mask = np.pad(np.ones((1, 2, 3), bool), [[0, 0], [4, 4], [4, 3]])
    inside = layer(padded, mask=mask)[:, 4:6, 4:7]
    np.testing.assert_allclose(layer(x), inside, atol=1e-5)
