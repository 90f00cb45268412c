"""Properties of every registered layer, model, loss, metric, optimizer and schedule.

A method's `tests/<method>/cases.py` defines in `CASES` how to create each of its objects; an object
without a case fails here, so a new method is covered as soon as it registers.
"""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfzoo  # noqa: F401  registers everything
from samples import CASES, LAYERS, NAMES, as_model, call, flat, inputs_of, is_a, perturbed
from support import TESTS, command, slow
from tfzoo import registry
from tfzoo.environment import LIMITS

shared_layer = functools.cache(perturbed)
"""The object for tests that only call it: creating one takes longer than most of them."""


@functools.cache
def shared_model(name):
    return as_model(name, shared_layer(name))


def test_every_object_has_a_case():
    assert sorted(set(NAMES) - set(CASES)) == []
    assert sorted(set(CASES) - set(NAMES)) == []


@pytest.mark.parametrize("name", NAMES)
def test_config_makes_an_equal_object(name):
    target = registry.objects[name]
    if not isinstance(target, type):
        assert keras.saving.get_registered_object(name) is target
        return
    built = CASES[name]["make"]()
    config = built.get_config()
    again = target.from_config(json.loads(json.dumps(keras.saving.serialize_keras_object(config))))
    assert keras.saving.serialize_keras_object(again.get_config()) == (
        keras.saving.serialize_keras_object(config)
    )


ONE_EACH = list({n.split(">")[0]: n for n in LAYERS if not is_a(n, keras.Model)}.values())
"""One layer of every package."""


def save(folder, names):
    """Their files, inputs and outputs."""
    for name in names:
        i, model = LAYERS.index(name), shared_model(name)
        model.save(folder / f"{i}.keras")
        inputs = {f"in{k}": x for k, x in enumerate(inputs_of(name))}
        np.savez(folder / f"{i}.npz", functional=not is_a(name, keras.Model), **inputs)
        np.savez(folder / f"{i}.expected.npz", *call(model, name))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Every layer's file, inputs and outputs."""
    folder = tmp_path_factory.mktemp("keras")
    save(folder, LAYERS)
    return folder


def reload(folder, backend):
    """Loads them all in one fresh process that only imports tfzoo."""
    program = TESTS / "conformance" / "reload.py"
    words = [sys.executable, program, folder, f".{backend}.npz"]
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # it only compiles
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def reloaded(saved):
    return reload(saved, "tensorflow")


@pytest.fixture(scope="module", params=["jax", "torch"])
def elsewhere(request, saved):
    """An installed backend, and its results for the files."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param, reload(saved, request.param)


def assert_reloaded(folder, name, backend, rtol, atol):
    index = LAYERS.index(name)
    expected = np.load(folder / f"{index}.expected.npz")
    outputs = np.load(folder / f"{index}.{backend}.npz")
    first = outputs["arr_0"]
    assert first.dtype.kind != "U", str(first)
    assert expected.files == outputs.files
    for key in expected.files:
        np.testing.assert_allclose(outputs[key], expected[key], rtol=rtol, atol=atol)


def test_a_keras_file_of_each_package_loads_in_a_fresh_process(tmp_path):
    save(tmp_path, ONE_EACH)
    reload(tmp_path, "tensorflow")
    for name in ONE_EACH:
        assert_reloaded(tmp_path, name, "tensorflow", 1e-5, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_keras_file_loads_in_a_fresh_process(name, reloaded):
    assert_reloaded(reloaded, name, "tensorflow", 1e-5, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_another_backend_gives_the_same_or_is_refused(name, elsewhere):
    backend, folder = elsewhere
    target = registry.objects[name]
    limit = LIMITS.get(f"{target.__module__}.{target.__qualname__}.__init__")
    if limit is None or backend in limit.backends:
        assert_reloaded(folder, name, backend, 1e-3, 1e-5)
    else:
        said = str(np.load(folder / f"{LAYERS.index(name)}.{backend}.npz")["arr_0"])
        assert said.startswith(f"InputError: KERAS_BACKEND='{backend}': must be tensorflow for ")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_fit_on_another_backend_trains_or_is_refused(backend):
    pytest.importorskip(backend)
    settings = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    settings["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # it only compiles
    program = TESTS / "conformance" / "fitting.py"
    status, out, err = command(program, env=settings, timeout=1200)
    assert status == 0, err[-3000:]
    said = json.loads(out.splitlines()[-1])
    refused = f"InputError: KERAS_BACKEND='{backend}': must be tensorflow"
    assert set(said) == set(LAYERS)
    assert {n: s for n, s in said.items() if s != "trained" and not s.startswith(refused)} == {}


@pytest.mark.parametrize("policy", [slow("mixed_bfloat16"), "mixed_float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_mixed_precision_is_near_float32(name, policy):
    exact, mixed = shared_layer(name), shared_layer(name, policy)
    for a, b in zip(exact.weights, mixed.weights, strict=True):
        b.assign(a)
    for a, b in zip(flat(exact(*inputs_of(name))), flat(mixed(*inputs_of(name))), strict=True):
        assert np.isfinite(b.astype("float32")).all()
        scale = np.abs(a).max() + 1e-6
        assert np.abs(a - b.astype("float32")).max() < 0.1 * scale


DEAR = (
    "tfzoo.afv>AFVClassifier",
    "tfzoo.afv>EnergyGAN",
    "tfzoo.afv>FisherVectorizer",
    "tfzoo.bottleneck>BottleneckNetwork",
    "tfzoo.uwac>ActorCritic",
)
"""To be created anew; for the slow tier."""


def kinds(layer):
    """Class and policy of every layer in it, except those whose policy has no effect."""
    idle = ("Functional", "InputLayer", "Sequential")
    told = [(type(part).__name__, part.dtype_policy.name) for part in layer._flatten_layers()]
    return [(kind, policy) for kind, policy in told if kind not in idle]


def under(policy, function, *arguments):
    """A function's result under a global policy."""
    keras.config.set_dtype_policy(policy)
    try:
        return function(*arguments)
    finally:
        keras.config.set_dtype_policy("float32")


def rebuilt(layer, inputs):
    """The layer from its config alone, with its weights."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer.get_config())))
    again = type(layer).from_config(config)
    again(*inputs)
    again.set_weights(layer.get_weights())
    return again


@pytest.mark.parametrize(
    ("policy", "other"),
    [
        ("mixed_float16", "mixed_bfloat16"),
        slow(("mixed_bfloat16", "float32")),
        slow(("float32", "mixed_bfloat16")),
    ],
)
@pytest.mark.parametrize("name", [slow(n) if n in DEAR else n for n in LAYERS])
def test_every_part_keeps_its_policy_under_another_global_one(name, policy, other):
    layer, inputs = shared_layer(name, policy), inputs_of(name)
    again = under(other, rebuilt, layer, inputs)
    assert kinds(again) == kinds(layer)
    for a, b in zip(flat(layer(*inputs)), flat(under(other, again, *inputs)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(*(x.astype("float32") for x in (b, a)), rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "other"), [("mixed_bfloat16", "float32"), ("float32", "mixed_bfloat16")]
)
@pytest.mark.parametrize("name", LAYERS)
def test_a_file_keeps_its_policies_under_another_global_one(name, policy, other, tmp_path):
    model = under(policy, as_model, name, shared_layer(name, policy))
    model.save(tmp_path / "model.keras")
    again = under(other, keras.models.load_model, tmp_path / "model.keras")
    assert kinds(again) == kinds(model)
    for a, b in zip(call(model, name), under(other, call, again, name), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(*(x.astype("float32") for x in (b, a)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_claim_masks_are_tried_with_one(name):
    layer = shared_layer(name)
    graph = any(kind.__name__ == "Functional" for kind in type(layer).__mro__)
    assert ("mask" in CASES[name]) == (layer.supports_masking and not graph)


@pytest.mark.parametrize("name", LAYERS)
def test_batch_axis_is_free_and_rows_do_not_mix(name):
    model = shared_model(name)
    one, rest, whole = (call(model, name, s) for s in (slice(1), slice(1, None), slice(None)))
    for a, b, c in zip(one, rest, whole, strict=True):
        np.testing.assert_allclose(np.concatenate([a, b]), c, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit", [slow(False, id="graph"), pytest.param(True, id="xla")])
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_outputs_are_equal_and_gradients_reach_every_weight(name, jit):
    layer = shared_layer(name)
    inputs = [tf.constant(x) for x in inputs_of(name)]
    weights = [w.value for w in layer.trainable_weights]

    def step(*inputs):
        with tf.GradientTape() as tape:
            outputs = keras.tree.flatten(layer(*inputs))
            parts = [keras.ops.cast(o, "float32") for o in outputs if o.dtype.is_floating]
            loss = sum(tf.reduce_sum(p * tf.cos(_ramp(p))) for p in parts)
        return outputs, tape.gradient(loss, weights)

    outputs, gradients = tf.function(step, jit_compile=jit, autograph=False)(*inputs)
    for a, b in zip(flat(layer(*inputs)), flat(outputs), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
    silent = CASES[name].get("no_gradient", ())
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        quiet = any(weight.path.endswith(s) or weight.path.startswith(s) for s in silent)
        if gradient is None and quiet:  # belongs to a part that the call does not use
            continue
        assert gradient is not None, weight.path
        value = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(value).all(), weight.path
        if not quiet:
            assert np.abs(value).max() > 1e-7, weight.path


def _ramp(x):
    return tf.reshape(tf.cast(tf.range(tf.size(x)), "float32"), tf.shape(x))


@pytest.mark.parametrize("name", [slow(n) if is_a(n, keras.Model) else n for n in LAYERS])
def test_saved_model_equals_keras(name, tmp_path):
    model = shared_model(name)
    archive = keras.export.ExportArchive()
    archive.track(model)
    functional = not is_a(name, keras.Model)
    specs = [tf.TensorSpec([None, *x.shape[1:]], x.dtype) for x in inputs_of(name)]
    archive.add_endpoint(
        "serve",
        lambda *x: keras.tree.flatten(model(list(x)) if functional and len(x) > 1 else model(*x)),
        input_signature=specs,
    )
    archive.write_out(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))
    answer = loaded.serve(*[tf.constant(x) for x in inputs_of(name)])
    for a, b in zip(call(model, name), flat(answer), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)
