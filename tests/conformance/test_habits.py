"""Common uses of Keras models, tried on every registered one."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo
from samples import CASES, LAYERS, call, flat, inputs_of, is_a
from support import slow
from tfzoo.bottleneck.full_batch import WholeSetModel
from tfzoo.training.zoo_model import ZooModel

MODELS = [name for name in LAYERS if is_a(name, keras.Model)]
TRAINED = [name for name in MODELS if "fit" in CASES[name]]
LIGHT = {
    "tfzoo.aft>AFTLanguageModel",
    "tfzoo.bottleneck>BottleneckNetwork",
    "tfzoo.bottleneck>InfiniteNetwork",
    "tfzoo.collegial>CollegialMLP",
    "tfzoo.metricopt>AdaptedModel",
    "tfzoo.sdn>SetDistributionNetwork",
}
"""One model per way to train, for the quick tier."""


@pytest.fixture
def float64():
    """Keras's float64, as set by `keras.config.set_floatx` in a new process."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def training(name, **options):
    """A compiled model and its training data: inputs and, if it has any, targets."""
    model = CASES[name]["make"]()
    case = CASES[name]["fit"]()
    model.compile(**case.get("compile", {}), **options)
    x = inputs_of(name)
    x = case.get("x", x[0] if len(x) == 1 else x)
    return model, x, case.get("y")


class Batches(keras.utils.PyDataset):
    """The examples in two batches."""

    def __init__(self, examples):
        super().__init__()
        self.examples = examples

    def __len__(self):
        return 2

    def __getitem__(self, index):
        half = slice(2) if index == 0 else slice(2, None)
        return keras.tree.map_structure(lambda a: a[half], self.examples)


@pytest.mark.parametrize("name", [n if n in LIGHT else slow(n) for n in TRAINED])
def test_fit_takes_every_form_of_data_under_float64(name, float64):
    model, x, y = training(name, run_eagerly=True)
    given = (x,) if y is None else (x, y)
    endless = (batch for batch in itertools.repeat(given))
    generator = iter([given]) if is_a(name, WholeSetModel) else endless
    for forms in (given, (tf.data.Dataset.from_tensors(given),), (Batches(given),), (generator,)):
        history = model.fit(*forms, steps_per_epoch=1, shuffle=False, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_graph_of_several_steps_trains_under_float64(name, float64):
    model, x, y = training(name, steps_per_execution=2)
    history = model.fit(x, y, batch_size=len(keras.tree.flatten(x)[0]), verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())


@pytest.mark.parametrize("name", TRAINED)
def test_how_to_run_is_given_to_compile_and_kept(name, tmp_path):
    model, _, _ = training(name, run_eagerly=True, steps_per_execution=2)
    assert model.run_eagerly and model.steps_per_execution == 2
    config = model.get_compile_config()
    model.compile_from_config(json.loads(json.dumps(config)))
    assert model.compiled and model.run_eagerly and model.steps_per_execution == 2


CONDITIONAL = [f"tfzoo.aft>AFT{kind}" for kind in ("Full", "Local", "Conv1D")]
FORWARD = [n if n in CONDITIONAL else slow(n) for n in LAYERS]


@pytest.mark.parametrize("name", FORWARD)
def test_graph_has_one_dtype_a_tensor_under_float64(name, float64):
    layer = CASES[name]["make"]()
    layer(*inputs_of(name))
    outputs = tf.function(layer)(*map(tf.constant, inputs_of(name)))  # both branches of a `cond`
    assert all(np.isfinite(o).all() for o in flat(outputs))


@pytest.mark.parametrize("name", MODELS)
def test_inputs_are_said_and_legacy_files_refused_in_one_line(name, tmp_path):
    model = CASES[name]["make"]()
    with pytest.raises(ValueError, match="must end in .keras") as caught:
        model.save(tmp_path / "model.h5")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    specs = model.input_specs() if isinstance(model, ZooModel) else None
    if specs is None:  # Keras tracks them
        return
    assert len(specs) == len(inputs_of(name))
    for spec, value in zip(specs, inputs_of(name), strict=True):
        assert np.dtype(spec.dtype) == value.dtype
        assert len(spec.shape) == value.ndim and spec.shape[0] is None
        assert all(a in (None, b) for a, b in zip(spec.shape, value.shape, strict=True))


@pytest.mark.parametrize("name", [n if n.endswith("LanguageModel") else slow(n) for n in MODELS])
def test_loaded_model_exports(name, tmp_path):
    instance = CASES[name]["make"]()
    instance(*inputs_of(name))
    instance.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    model.export(tmp_path / "export", verbose=False)
    served = tf.saved_model.load(tmp_path / "export")
    answer = served.serve(*map(tf.constant, inputs_of(name)))
    for a, b in zip(call(instance, name), flat(answer), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_quantized_model_is_near_and_loads_or_says_that_it_does_not(name, tmp_path):
    model = CASES[name]["make"]()
    exact = call(model, name)
    if is_a(name, WholeSetModel):
        with pytest.raises(ValueError, match="has no layers to quantize"):
            model.quantize("int8")
        return
    model.quantize("int8")
    for a, b in zip(exact, call(model, name), strict=True):
        assert np.abs(a - b).max() < 0.2 * (np.abs(a).max() + 1e-3)
    model.save(tmp_path / "model.keras")
    try:
        again = keras.models.load_model(tmp_path / "model.keras")
    except ValueError as error:  # as with Keras's own MultiHeadAttention
        assert "could not be loaded" in str(error)
    else:
        for a, b in zip(call(model, name), call(again, name), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_keras_own_attention_does_not_survive_quantization(tmp_path):
    """If this fails, Keras has been fixed: README's text on `quantize` is out of date."""
    inputs = keras.Input((4, 8))
    model = keras.Model(inputs, keras.layers.MultiHeadAttention(2, 4)(inputs, inputs))
    model.quantize("int8")
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.models.load_model(tmp_path / "model.keras")


def test_a_model_without_a_keras_loss_says_so():
    model = CASES["tfzoo.uwac>ActorCritic"]["make"]()
    for method in (model.compile, model.fit, model.evaluate):
        with pytest.raises(ValueError, match="ActorCritic.*has no Keras loss"):
            method()


@pytest.mark.parametrize(
    "name", ["afv>EnergyGAN", "sdn>SetDistributionNetwork", "skipclip>SkipClip"]
)
def test_losses_of_the_model_s_own_are_not_given(name):
    model, x, y = training(f"tfzoo.{name}", run_eagerly=True)
    with pytest.raises(ValueError, match=f"loss='mse': must be None.*{name.split('>')[1]}"):
        model.compile(loss="mse")
    with pytest.raises(ValueError, match="sample_weight, class_weight: must be None"):
        model.fit(
            x, np.zeros(len(x)) if y is None else y, sample_weight=np.zeros(len(x)), verbose=0
        )


@pytest.mark.parametrize("name", ["recon3d>OccupancyReconstructor", "skipclip>ActionRecognizer"])
def test_zero_weights_move_running_statistics_alone(name):
    model, x, y = training(f"tfzoo.{name}", run_eagerly=True)
    before = [keras.ops.convert_to_numpy(w) for w in model.weights]
    model.fit(x, y, sample_weight=np.zeros(len(y)), verbose=0)
    moved = {
        weight.path.split("/")[-1]
        for weight, old in zip(model.weights, before, strict=True)
        if not np.array_equal(keras.ops.convert_to_numpy(weight), old)
    }
    assert moved == {"moving_mean", "moving_variance"}


@pytest.mark.slow
def test_a_float32_weight_predicts_under_float64(float64):
    model = tfzoo.load("aft/digits")
    assert model.predict(np.zeros((2, 8, 8, 1), "float32"), verbose=0).shape == (2, 10)
