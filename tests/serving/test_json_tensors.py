"""JSON forms compared with TensorFlow Serving's REST documentation (api_rest.md)."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tfzoo.serving.json_tensors import parse, read_inputs, to_array, write_outputs

DOC = {  # the documentation's example with three named inputs
    "tag": tf.TensorSpec([None], tf.string),
    "signal": tf.TensorSpec([None, 5], tf.int32),
    "sensor": tf.TensorSpec([None, 2, 2], tf.float32),
}
ONE = {"x": tf.TensorSpec(None, tf.float32)}


def check_doc(arrays):
    assert arrays["tag"].tolist() == [b"foo", b"bar"] and arrays["tag"].dtype == object
    np.testing.assert_array_equal(arrays["signal"], [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]])
    np.testing.assert_array_equal(arrays["sensor"], [[[1, 2], [3, 4]], [[4, 5], [6, 8]]])
    assert arrays["signal"].dtype == np.int32 and arrays["sensor"].dtype == np.float32


def test_row_form_of_the_documentation():
    arrays, form = read_inputs(
        {
            "instances": [
                {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
                {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
            ]
        },
        DOC,
    )
    check_doc(arrays)
    assert form == "instances"


def test_column_form_of_the_documentation():
    arrays, form = read_inputs(
        {
            "inputs": {
                "tag": ["foo", "bar"],
                "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
                "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
            }
        },
        DOC,
    )
    check_doc(arrays)
    assert form == "inputs"


def test_a_single_input_needs_no_name():
    for body, shape in (
        ({"instances": [[[1, 2]], [[3, 4]]]}, (2, 1, 2)),
        ({"instances": [1.5, 2.5, 3]}, (3,)),
        ({"instances": [{"x": [1, 2]}]}, (1, 2)),
        ({"inputs": 3}, ()),
        ({"inputs": [[1, 2]]}, (1, 2)),
        ({"inputs": {"x": [1]}}, (1,)),
        ({"inputs": []}, (0,)),
    ):
        assert read_inputs(body, ONE)[0]["x"].shape == shape


def test_binary_strings():
    text = {"t": tf.TensorSpec([None], tf.string)}
    for body in (
        {"instances": [{"b64": "/wD+"}, "é"]},
        {"inputs": [{"b64": "/wD+"}, "é"]},
        {"inputs": {"t": [{"b64": "/wD+"}, "é"]}},
        {"instances": [{"t": {"b64": "/wD+"}}, {"t": "é"}]},
    ):
        assert read_inputs(body, text)[0]["t"].tolist() == [b"\xff\x00\xfe", "é".encode()]


def test_nan_and_infinity_are_tokens():
    body = parse(b'{"inputs": [1.0, NaN, Infinity, -Infinity]}')
    np.testing.assert_array_equal(
        read_inputs(body, ONE)[0]["x"], np.array([1, np.nan, np.inf, -np.inf], "float32")
    )
    outputs = {"y": np.array([np.nan, np.inf, -np.inf, 0.2], "float32")}
    assert write_outputs(outputs, "inputs") == b'{"outputs": [NaN, Infinity, -Infinity, 0.2]}'
    two = {"y": np.array([[np.nan, 0.2]], "float32"), "z": np.array([0.1])}
    assert write_outputs(two, "instances") == b'{"predictions": [{"y": [NaN, 0.2], "z": 0.1}]}'


def test_bodies_are_parsed_as_by_json():
    for text in ("[1, 2.5, 1e400, -0.0]", '"\\ud800"', "[18446744073709551615, true, null]"):
        assert parse(text.encode()) == json.loads(text)
    for wrong in (b"", b"{", b"[1,]", b"\xff", b"{'a': 1}"):
        with pytest.raises(ValueError):
            parse(wrong)
    deep = parse(b"[" * 990 + b"]" * 990)
    assert isinstance(deep[0][0], list)
    with pytest.raises(ValueError, match="whole number"):
        to_array(parse(b"[18446744073709551616]"), tf.uint64)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "one of the keys"),
        ({"inputs": [1], "instances": [1]}, "one of the keys"),
        ({"instances": 3}, "list of at least one"),
        ({"instances": []}, "list of at least one"),
        ({"instances": [[1, 2], [3]]}, "differ in length"),
        ({"instances": [[1, 2], 3]}, "differ in length"),
        ({"instances": [3, [1, 2]]}, "mixed"),
        ({"instances": [{"x": 1}, 2]}, "must be an object"),
        ({"instances": [{"x": 1}, {}]}, "others have"),
        ({"inputs": {"y": [1]}}, "unexpected input 'y'"),
        ({"inputs": ["a"]}, "must be a number"),
        ({"inputs": [True]}, "must be a number"),
        ({"inputs": [None]}, "JSON Null must be a number"),
        ({"inputs": [{"b64": "YQ=="}]}, "must be a number"),
        ({"inputs": [10**400]}, "too large"),
    ],
)
def test_what_is_wrong_is_said(body, words):
    with pytest.raises(ValueError, match=words):
        read_inputs(body, ONE)


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_several_inputs_must_be_named(form):
    with pytest.raises(ValueError, match="tag, signal, sensor"):
        read_inputs({form: [[1]]}, DOC)


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        ("int32", [1.0], "whole number"),
        ("int32", [True], "whole number"),
        ("int32", [2**31], "from -2147483648"),
        ("uint8", [256], "from 0 to 255"),
        ("int64", [2**63], "from"),
        ("bool", [1], "true or false"),
        ("string", [1], "must be a string"),
        ("string", [{"b65": "a"}], "b64"),
        ("string", [{"b64": "!"}], "base64"),
        ("bfloat16", [1.0], "gRPC"),
    ],
)
def test_values_of_another_kind_are_refused(dtype, value, words):
    with pytest.raises(ValueError, match=words):
        to_array(value, tf.as_dtype(dtype))


def test_integers_are_exact():
    assert to_array([2**63 - 1, -(2**63)], tf.int64).tolist() == [2**63 - 1, -(2**63)]
    assert to_array([2**64 - 1], tf.uint64).tolist() == [2**64 - 1]


def test_outputs_of_the_documentation():
    one = {"y": np.array([3.5, 4.0, 5.5], "float32")}
    two = {"a": np.array([[1], [2]]), "b_bytes": np.array([b"image bytes", b"b"], object)}
    binary = [{"b64": "aW1hZ2UgYnl0ZXM="}, {"b64": "Yg=="}]
    assert json.loads(write_outputs(one, "instances")) == {"predictions": [3.5, 4.0, 5.5]}
    assert json.loads(write_outputs(one, "inputs")) == {"outputs": [3.5, 4.0, 5.5]}
    assert json.loads(write_outputs(two, "instances")) == {
        "predictions": [{"a": [1], "b_bytes": binary[0]}, {"a": [2], "b_bytes": binary[1]}]
    }
    assert json.loads(write_outputs(two, "inputs")) == {
        "outputs": {"a": [[1], [2]], "b_bytes": binary}
    }
    assert write_outputs({"y": np.array([0.2, 1e-7], "float32")}, "inputs") == (
        b'{"outputs":[0.2,1e-7]}'
    )
    assert write_outputs({"y": np.array([True])}, "inputs") == b'{"outputs":[true]}'
    assert write_outputs({"y": np.array(["é".encode()], object)}, "inputs") == (
        '{"outputs":["é"]}'.encode()
    )
    for dtype in ("float32", "float64", "uint8", "int64", "bool"):
        one = np.array(1, dtype)
        assert json.loads(write_outputs({"y": one}, "inputs")) == {"outputs": 1}
    turned = np.arange(6, dtype="float32").reshape(2, 3).T
    assert json.loads(write_outputs({"y": turned}, "instances"))["predictions"] == turned.tolist()
    assert write_outputs({"y": np.zeros((2, 0))}, "instances") == b'{"predictions":[[],[]]}'


def test_outputs_that_json_cannot_hold():
    with pytest.raises(ValueError, match="common batch"):
        write_outputs({"a": np.ones(2), "b": np.ones(3)}, "instances")
    with pytest.raises(ValueError, match="common batch"):
        write_outputs({"a": np.array(1.0)}, "instances")
    with pytest.raises(ValueError, match="float16"):
        write_outputs({"a": np.ones(2, "float16")}, "inputs")
    with pytest.raises(ValueError, match="UTF-8"):
        write_outputs({"a": np.array([b"\xff"], object)}, "inputs")


def test_floats_survive_the_way_there_and_back():
    """As the shortest decimals that round-trip, whether or not all are finite."""
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype="uint64").astype("uint32")
    values = bits.view("float32")
    values = values[np.isfinite(values)]
    outputs = json.loads(write_outputs({"y": values}, "inputs"))["outputs"]
    np.testing.assert_array_equal(outputs, values.astype(str).astype("float64"))
    np.testing.assert_array_equal(np.array(outputs, "float32"), values)
    other = json.loads(write_outputs({"y": np.append(values, np.float32("nan"))}, "inputs"))
    np.testing.assert_array_equal(other["outputs"][:-1], outputs)
