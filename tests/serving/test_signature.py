"""Signatures check themselves when created, and their inputs when called."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.serving import Signature

FLOATS = tf.TensorSpec([None, 3], tf.float32)


def make(inputs=None, examples=None, **keywords):
    inputs = {"x": FLOATS} if inputs is None else inputs
    examples = {"x": np.ones((4, 3))} if examples is None else examples
    return Signature(
        lambda **given: {"y": next(iter(given.values()))}, inputs, examples, **keywords
    )


def test_specs_get_their_names_and_examples_their_dtypes():
    spec = keras.InputSpec(shape=(None, 3), dtype="int32")
    signature = make({"x": spec}, {"x": np.ones((4, 3), int)})
    assert signature.inputs["x"] == tf.TensorSpec([None, 3], tf.int32, "x")
    assert signature.examples["x"].dtype == np.int32


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"examples": {"y": np.ones((4, 3))}}, "missing x and unexpected y"),
        ({"examples": {"x": np.ones((4, 2))}}, r"shape \[4, 2\] must be \[any, 3\]"),
        ({"examples": {"x": np.ones((3, 3))}}, "at least 4"),
        ({"examples": {"x": np.full((4, 3), "a")}}, "must be float32"),
        ({"inputs": {"x": tf.TensorSpec([4, 3], tf.float32)}}, "begin with None"),
        ({"inputs": {"x": tf.TensorSpec([], tf.float32)}, "examples": {"x": 1.0}}, "begin with"),
        ({"inputs": {}, "examples": {}}, "at least one input"),
        ({"inputs": {"a b": FLOATS}, "examples": {"a b": np.ones((4, 3))}}, "identifier"),
        (
            {"inputs": {"x": tf.TensorSpec([None], tf.string)}, "examples": {"x": ["a"] * 4}},
            "xla=True: must be False",
        ),
    ],
)
def test_what_does_not_fit_is_refused(keywords, words):
    with pytest.raises(ValueError, match=words):
        make(**keywords)


def test_unbatched_takes_scalars():
    signature = make({"x": tf.TensorSpec([], tf.float32)}, {"x": 1.5}, batched=False)
    assert signature(x=2)["y"] == 2.0


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("uint8", [300], "from 0 to 255"),
        ("uint8", [-1], "from 0 to 255"),
        ("int32", [1.5], "must be int32"),
        ("float32", [True], "must be float32"),
        ("bool", [1], "must be bool"),
        ("string", [1], "must be string"),
    ],
)
def test_call_refuses_values_that_would_change(dtype, value, words):
    examples = {"x": np.zeros(4, bool if dtype == "bool" else int)}
    if dtype == "string":
        examples = {"x": np.array(["a"] * 4)}
    signature = make({"x": tf.TensorSpec([None], dtype)}, examples, xla=False)
    with pytest.raises(InputError, match=words):
        signature(x=np.array(value))


def test_call_takes_what_json_files_hold():
    signature = make({"x": tf.TensorSpec([None], tf.uint8)}, {"x": np.arange(4)})
    np.testing.assert_array_equal(signature(x=[1, 255])["y"], np.array([1, 255], "uint8"))
    words = make({"x": tf.TensorSpec([None], tf.string)}, {"x": ["a"] * 4}, xla=False)
    assert words(x=np.array(["é", "b"]))["y"].tolist() == ["é".encode(), b"b"]
