"""Keras's implicit masks, in every form of call, for every layer that claims to support them.

Values at masked positions must not affect outputs elsewhere. `mask` in a method's
`cases.py` gives the mask of the first input.
"""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from samples import CASES, LAYERS, flat, inputs_of, perturbed
from support import slow

MASKED = [name for name in LAYERS if "mask" in CASES[name]]
QUICK = ("tfzoo.sdn>SetDiscriminator",)
MIXERS = [n for n in MASKED if "AFT" in n]


@keras.saving.register_keras_serializable("tests.masks")
class Marked(keras.layers.Layer):
    """Its input, with positions from 8 on masked; a mask has `rank` axes."""

    def __init__(self, rank, **keywords):
        super().__init__(**keywords)
        self.rank = rank

    def call(self, x):
        return x

    def compute_mask(self, x, mask=None):
        return ops.all(x < 8.0, axis=tuple(range(self.rank, len(x.shape))))

    def get_config(self):
        return super().get_config() | {"rank": self.rank}


def filled(name, value):
    """The inputs, with numbers around a value at the masked positions of the first."""
    keep = CASES[name]["mask"]()
    first, *rest = inputs_of(name)
    shape = keep.shape + (1,) * (first.ndim - keep.ndim)
    other = np.random.default_rng(int(value)).uniform(value - 1, value + 1, first.shape)
    return [np.where(keep.reshape(shape), first, other.astype("float32")), *rest]


def seen(name, outputs):
    """Outputs at unmasked positions, or all outputs if there are no positions."""
    keep = CASES[name]["mask"]()
    return [o[keep] if o.shape[: keep.ndim] == keep.shape else o for o in flat(outputs)]


def options_of(layer):
    """Batch statistics apply only to training."""
    norm = isinstance(layer, keras.layers.BatchNormalization)
    return {"training": True} if norm else {}


def functional(layer, name, mark):
    inputs = [keras.Input(x.shape[1:]) for x in inputs_of(name)]
    return keras.Model(inputs, layer(mark(inputs[0]), *inputs[1:], **options_of(layer)))


def forms(layer, name, mark, tmp_path):
    """Every way to call the layer, as functions of a list of inputs."""
    names = list(inspect.signature(layer.call).parameters)
    more = options_of(layer)
    model = functional(layer, name, mark)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    models = {
        "positional": lambda x: layer(mark(x[0]), *x[1:], **more),
        "by name": lambda x: layer(**dict(zip(names, [mark(x[0]), *x[1:]], strict=False)), **more),
        "explicit": lambda x: layer(*x, mask=mark.compute_mask(x[0]), **more),
        "functional": model,
        "reloaded": again,
        "graph": tf.function(model, autograph=False),
    }
    if len(inputs_of(name)) == 1 and not more:
        stack = keras.Sequential([mark, layer])
        models["sequential"] = lambda x: stack(x[0])
    if name in MIXERS:
        twice = lambda x: [mark(x[0])] * 2  # noqa: E731
        models |= {
            "query, value": lambda x: layer(*twice(x)),
            "query, value=": lambda x: layer(mark(x[0]), value=mark(x[0])),
            "query, key=": lambda x: layer(mark(x[0]), key=mark(x[0])),
            "query, value, key": lambda x: layer(*twice(x), mark(x[0])),
            "explicit of two": lambda x: layer(x[0], x[0], mask=mark.compute_mask(x[0])),
        }
    return models


@pytest.mark.parametrize("name", [n if n in QUICK else slow(n) for n in MASKED])
def test_masked_positions_are_left_out_in_every_form_of_call(name, tmp_path):
    layer = perturbed(name)
    low, high = (filled(name, value) for value in (10.0, 14.0))
    apart = [
        np.abs(a - b).max()
        for a, b in zip(
            *(seen(name, layer(*x, **options_of(layer))) for x in (low, high)), strict=True
        )
    ]
    assert max(apart) > 1e-3  # a mask makes a difference
    expected = None
    for form, call in forms(layer, name, Marked(CASES[name]["mask"]().ndim), tmp_path).items():
        one, other = [seen(name, call(list(map(tf.constant, x)))) for x in (low, high)]
        expected = expected or one
        for a, b, c in zip(one, other, expected, strict=True):
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-5, err_msg=form)
            np.testing.assert_allclose(a, c, rtol=0, atol=1e-5, err_msg=form)


def test_a_single_tensor_brings_its_mask():
    name = "tfzoo.aft>AFTLocal"
    layer, mark, x = perturbed(name), Marked(2), tf.constant(filled(name, 10.0)[0])
    explicit = layer(x, mask=mark.compute_mask(x))
    assert np.abs(explicit - layer(x)).max() > 1e-3
    np.testing.assert_array_equal(layer(mark(x)), explicit)
    np.testing.assert_array_equal(layer(query=mark(x)), explicit)


def test_a_set_s_images_carry_their_mask_into_a_dict():
    name = "tfzoo.sdn>SetDistributionNetwork"
    model, mark = perturbed(name), Marked(2)
    low, high = (model({"images": mark(tf.constant(filled(name, v)[0]))}) for v in (10.0, 14.0))
    np.testing.assert_array_equal(low, high)
    explicit = {"images": filled(name, 14.0)[0], "mask": CASES[name]["mask"]()}
    np.testing.assert_array_equal(model(explicit), high)


def test_a_second_block_has_the_first_one_s_mask():
    name = "tfzoo.aft>TransformerBlock"
    mark = Marked(2)
    stack = keras.Sequential([mark, perturbed(name), perturbed(name)])
    low, high = (seen(name, stack(filled(name, v)[0])) for v in (10.0, 14.0))
    np.testing.assert_allclose(low[0], high[0], rtol=0, atol=1e-5)
