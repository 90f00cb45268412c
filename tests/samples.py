"""The examples of every registered object, as layers, models and arrays."""

import keras
import numpy as np

import tfzoo  # noqa: F401  registers everything
from support import load_cases
from tfzoo import registry

CASES = load_cases()
NAMES = [name for name in sorted(registry.objects) if not name.startswith("tfzoo.toy")]


def is_a(name, kind):
    target = registry.objects[name]
    return isinstance(target, type) and issubclass(target, kind)


LAYERS = [n for n in NAMES if is_a(n, keras.layers.Layer)]  # keras.Model is one


def inputs_of(name):
    values = CASES[name]["inputs"]()
    return values if isinstance(values, tuple) else (values,)


def flat(outputs):
    return [keras.ops.convert_to_numpy(o) for o in keras.tree.flatten(outputs)]


def perturbed(name, policy="float32"):
    """A new object called on its example input, with weights moved off special initial values."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(policy)
    try:
        layer = CASES[name]["make"]()
        layer(*inputs_of(name))
    finally:
        keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        value = keras.ops.convert_to_numpy(weight)
        weight.assign(value + 0.1 * rng.normal(size=value.shape))
    return layer


def as_model(name, layer=None):
    """The object, by default a new one, as a `keras.Model` with a free batch axis."""
    layer = layer or perturbed(name)
    if isinstance(layer, keras.Model):
        return layer
    inputs = [keras.Input(x.shape[1:], dtype=x.dtype) for x in inputs_of(name)]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], layer(*inputs))


def call(model, name, rows=slice(None)):
    inputs = [x[rows] for x in inputs_of(name)]
    functional = not is_a(name, keras.Model)
    return flat(model(inputs) if functional and len(inputs) > 1 else model(*inputs))
