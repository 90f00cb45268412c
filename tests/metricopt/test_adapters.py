"""Adapters: the identity at first, only they train, and folding gives equal outputs."""

import keras
import numpy as np
import pytest

from support import load_module
from tfzoo.errors import InputError
from tfzoo.metricopt import AdaptedModel, FiLM, LowRankFiLM, attach_adapters, hooks

cases = load_module("metricopt/cases.py")


@keras.saving.register_keras_serializable("tests.metricopt")
class Subclassed(keras.Model):
    """A subclassed model with dropout and a block inside."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.block = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dropout(0.9)])
        self.norm = keras.layers.BatchNormalization()
        self.out = keras.layers.Dense(2)

    def call(self, x):
        return self.out(self.norm(self.block(x)))


def subclassed():
    model, x = Subclassed(), cases.floats(5, 3)
    model(x)
    return model, x


def moved(adapted, seed=0):
    rng = np.random.default_rng(seed)
    adapted.set_vector(0.3 * rng.normal(size=adapted.get_vector().shape))
    return adapted


@pytest.mark.parametrize("kind", ["film", "scale", "shift", "low_rank"])
def test_identity_at_attachment_is_exact_and_parameters_count(kind):
    model, x = cases.network(), cases.floats(4, 6, 6, 2)
    adapted = attach_adapters(model, ["conv", "logits"], kind=kind, rank=2)
    np.testing.assert_array_equal(adapted(x), model(x))
    size = {"film": 14, "scale": 7, "shift": 7, "low_rank": 4}[kind]
    assert adapted.get_vector().shape == (size,)
    assert np.abs(moved(adapted)(x) - model(x)).max() > 1e-3


def test_film_is_its_equation_and_acts_before_the_activation():
    x = cases.floats(4, 6, 6, 2)
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 2, activation="relu", name="c")(inputs))
    adapted = moved(attach_adapters(model))
    gamma, delta = np.split(adapted.get_vector(), 2)
    kernel, bias = model.layers[-1].kernel, model.layers[-1].bias
    linear = keras.ops.conv(x, kernel, padding="valid") + bias
    expected = np.maximum((1 + gamma) * linear + delta, 0)
    np.testing.assert_allclose(adapted(x), expected, rtol=1e-5, atol=1e-5)


def test_low_rank_is_a_fixed_subspace():
    layer = LowRankFiLM(3, seed=4)
    layer.build((None, 5))
    basis = np.array(layer.basis)
    np.testing.assert_allclose(basis.T @ basis, 10 / 3 * np.eye(3), atol=1e-5)
    layer.z.assign([1.0, -2.0, 0.5])
    gamma, delta = np.split(basis @ [1.0, -2.0, 0.5], 2)
    x = cases.floats(2, 5)
    np.testing.assert_allclose(layer(x), (1 + gamma) * x + delta, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inplace", [False, True])
def test_folding_gives_equal_outputs(inplace):
    model, x = cases.network(), cases.floats(4, 6, 6, 2)
    model.layers[2].moving_mean.assign(cases.floats(4))
    model.layers[2].moving_variance.assign(0.5 + cases.floats(4) ** 2)
    before = np.array(model(x))
    adapted = moved(attach_adapters(model, ["conv", "norm", "logits"]))
    expected = np.array(adapted(x))
    assert np.abs(expected - before).max() > 1e-2
    folded = adapted.fold(inplace)
    np.testing.assert_allclose(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert type(folded) is type(model) and (folded is model) == inplace
    if inplace:
        np.testing.assert_allclose(adapted(x), expected, rtol=1e-4, atol=1e-5)
        assert not adapted.get_vector().any()
    else:
        np.testing.assert_array_equal(model(x), before)
        assert adapted.detach() is model


def test_a_model_that_is_no_graph_is_adapted_saved_and_folded(tmp_path):
    model, x = subclassed()
    with pytest.raises(InputError, match="example=None: must be a batch of inputs"):
        attach_adapters(model, "dense*")
    adapted = moved(attach_adapters(model, ["dense*", "batch*"], example=x))
    assert len(adapted.layer_paths) == 3 and "/" in adapted.layer_paths[0]
    adapted.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), adapted(x))
    np.testing.assert_allclose(adapted.fold()(x), adapted(x), rtol=1e-5, atol=1e-5)


def test_only_adapters_train_and_the_base_infers():
    model, x = subclassed()
    adapted = attach_adapters(model, "dense*", example=x)
    assert [id(w) for w in adapted.trainable_weights] == [
        id(w) for a in adapted.adapters for w in (a.gamma, a.delta)
    ]
    count = len(adapted.trainable_variables) + len(adapted.non_trainable_variables)
    assert count == len(adapted.variables)
    before = [np.array(w) for w in model.weights]  # moving statistics too
    adapted.compile(keras.optimizers.SGD(0.1), "mse")
    adapted.fit(x, np.ones((5, 2)), epochs=2, verbose=0)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(adapted.get_vector()).max() > 1e-3
    # inference also inside `fit`: dropout of 0.9 would change this
    np.testing.assert_array_equal(adapted(x, training=True), adapted(x))
    assert model.trainable and all(layer.trainable for layer in hooks.paths(model).values())


def test_hooks_leave_nothing_behind():
    model, x = cases.network(), cases.floats(2, 6, 6, 2)
    adapted = moved(attach_adapters(model, "*"))
    before = np.array(model(x))
    own = [set(vars(layer)) for layer in model.layers]
    adapted(x)
    assert own == [set(vars(layer)) for layer in model.layers]
    np.testing.assert_array_equal(model(x), before)
    with pytest.raises(Exception, match="shape|Shape|incompatible"):
        adapted(np.ones((2, 3)))
    np.testing.assert_array_equal(model(x), before)


def test_patterns_mean_layers_that_take_an_adapter_in_and_names_any():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="dense")])
    model.add(keras.layers.Dropout(0.1, name="dropout"))
    model.add(keras.layers.Dense(2, name="dense_2"))
    assert attach_adapters(model, "d*").layer_paths == ["dense", "dense_2"]
    assert attach_adapters(model, "dropout").layer_paths == ["dropout"]
    with pytest.raises(InputError, match="these can: dense, dense_2"):
        attach_adapters(model, "drop*")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: attach_adapters(cases.network(), "dense"), "layers='dense': matches no layer"),
        (lambda: attach_adapters(cases.network(), []), "at least one layer"),
        (lambda: attach_adapters(cases.network(), kind="lora"), "kind='lora': must be one of film"),
        (
            lambda: AdaptedModel(keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])),
            "has no dense or convolution layer",
        ),
        (lambda: FiLM(scale=False, shift=False), "one of them must be True"),
        (lambda: LowRankFiLM(0), "rank=0"),
        (
            lambda: attach_adapters(cases.network(), kind="low_rank", rank=7),
            "rank=7: must be at most 6",
        ),
        (lambda: attach_adapters(cases.network()).set_vector(np.ones(3)), r"must be \[6\]"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_cannot_be_folded_says_why_and_changes_nothing():
    model = cases.network()
    adapted = moved(attach_adapters(model, ["logits", "pool"]))
    before = [np.array(w) for w in model.weights]
    with pytest.raises(InputError, match="layer 'pool': a GlobalAveragePooling2D cannot"):
        adapted.fold(inplace=True)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    inputs = keras.Input((3,))
    bare = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, name="d")(inputs))
    with pytest.raises(InputError, match="layer 'd': has no bias .* kind='scale'"):
        moved(attach_adapters(bare)).fold()
    scaled, x = moved(attach_adapters(bare, kind="scale")), cases.floats(2, 3)
    np.testing.assert_allclose(scaled.fold()(x), scaled(x), rtol=1e-5, atol=1e-6)
