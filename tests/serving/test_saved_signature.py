"""A signature of a SavedModel as a function of named inputs."""

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.serving import load_signature

ROWS = {"first": np.ones((2, 3)), "second": [5, 7], "flag": [True, False], "seed": [1, 2]}
MIXED = [[6.0] * 3, [-8.0] * 3]


@pytest.fixture(scope="module")
def mix(exported):
    return load_signature(exported / "dense" / "1", "mix")


def test_several_inputs_by_name(mix):
    assert set(mix.inputs) == set(ROWS) and set(mix.outputs) == {"mixed", "noise"}
    np.testing.assert_array_equal(mix(**ROWS)["mixed"], MIXED)


def test_in_a_function_and_in_a_dataset(mix):
    tensors = {name: tf.constant(value, mix.inputs[name].dtype) for name, value in ROWS.items()}
    traced = tf.function(lambda **x: mix(**x)["mixed"])
    np.testing.assert_array_equal(traced(**tensors), MIXED)
    rows = tf.data.Dataset.from_tensor_slices(tensors).batch(2).map(lambda x: mix(**x)["mixed"])
    np.testing.assert_array_equal(next(iter(rows)), MIXED)


def test_a_models_folder_is_its_largest_version(exported):
    one, two = (load_signature(exported / "dense" / v, "logits") for v in ("1", ""))
    x = np.eye(3)
    np.testing.assert_allclose(two(x=x)["logits"], 2 * one(x=x)["logits"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": None}, "missing seed"),
        ({"third": [1]}, "unexpected third"),
        ({"second": [0.5, 1.0]}, "input 'second': dtype float64 must be int64"),
        ({"second": lambda: tf.constant([5, 7])}, "input 'second': dtype int32 must be int64"),
        ({"first": np.ones(3)}, "input 'first': shape"),
    ],
)
def test_wrong_inputs_are_named(mix, change, words):
    given = {k: v() if callable(v) else v for k, v in (ROWS | change).items() if v is not None}
    with pytest.raises(InputError, match=words):
        mix(**given)


def test_what_is_not_there_is_named(exported, tmp_path):
    with pytest.raises(InputError, match="name='nonsense': must be one of .*serving_default"):
        load_signature(exported / "dense", "nonsense")
    with pytest.raises(InputError, match="must be a SavedModel"):
        load_signature(tmp_path)
