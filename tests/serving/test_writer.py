"""Exports appear complete and verified, or not at all."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfzoo import files, serving
from tfzoo.errors import InputError
from tfzoo.serving import ExportError, Signature, verifier, warmup, writer

HERE = Path(__file__).parent
FLOATS = {"x": tf.TensorSpec([None, 3], tf.float32)}
X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


def export(folder, function, inputs=None, examples=None, model=None, version=None, **keywords):
    signature = Signature(function, inputs or FLOATS, examples or {"x": X}, **keywords)
    model = model or keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    return serving.write(model, {"serving_default": signature}, folder, version=version)


def numbers(folder):
    """What TensorFlow Serving would consider versions."""
    return sorted(p.name for p in Path(folder).glob("*") if p.name.isdigit())


def leftovers(folder):
    return [p.name for p in Path(folder).iterdir() if not p.name.isdigit()]


def child(*words):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_names_and_values_survive(exported):
    loaded = tf.saved_model.load(str(exported / "dense" / "2"))
    mix = loaded.signatures["mix"]
    specs = mix.structured_input_signature[1]
    assert {n: (s.dtype.name, s.shape.as_list()) for n, s in specs.items()} == {
        "second": ("int64", [None]),
        "first": ("float32", [None, None]),
        "flag": ("bool", [None]),
        "seed": ("int32", [None]),
    }
    outputs = mix(
        first=tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        second=tf.constant([10, 20], tf.int64),
        flag=tf.constant([True, False]),
        seed=tf.constant([7, 8]),
    )
    np.testing.assert_array_equal(outputs["mixed"], [[11, 12], [-23, -24]])
    upper = loaded.signatures["strings"](text=tf.constant(["aé"]))["upper"]
    assert upper.numpy()[0] == "Aé".encode()


def test_loads_without_tfzoo_and_keras(exported, tmp_path):
    np.savez(tmp_path / "x.npz", **{"serving_default/x": X})
    process = child(
        HERE / "load_child.py", exported / "dense" / "1", tmp_path / "x.npz", tmp_path / "y.npz"
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-2000:]
    weights = np.arange(12).reshape(3, 4) / 10 - 0.5
    logits = np.load(tmp_path / "y.npz")["serving_default/logits"]
    np.testing.assert_allclose(logits, X @ weights, rtol=1e-5, atol=1e-6)


def test_versions_count_up_and_are_never_overwritten(tmp_path):
    folder = tmp_path / "a" / "model"
    for expected in ("1", "2"):
        assert export(folder, lambda x: {"y": x}).name == expected
    before = (folder / "2" / "saved_model.pb").read_bytes()
    assert export(folder, lambda x: {"y": x}, version=7).name == "7"
    assert export(folder, lambda x: {"y": x}).name == "8"
    with pytest.raises(InputError, match="version=2"):
        export(folder, lambda x: {"y": 2 * x}, version=2)
    assert (folder / "2" / "saved_model.pb").read_bytes() == before
    assert numbers(folder) == ["1", "2", "7", "8"] and leftovers(folder) == []
    for wrong in (0, -1, True, "3"):
        with pytest.raises(InputError, match="at least 1"):
            export(folder, lambda x: {"y": x}, version=wrong)


def test_two_writers_at_once_get_two_versions(tmp_path, monkeypatch):
    meet = threading.Barrier(2)
    plain = writer._sync_all

    def together(folder):
        plain(folder)
        meet.wait(60)

    monkeypatch.setattr(writer, "_sync_all", together)
    written = []

    def work():
        written.append(export(tmp_path / "m", lambda x: {"y": x}).name)

    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(written) == ["1", "2"] == numbers(tmp_path / "m")


def test_a_version_taken_in_the_meantime_is_kept(tmp_path, monkeypatch):
    folder = tmp_path / "m"

    def taken(path):
        (folder / "1").mkdir()
        (folder / "1" / "saved_model.pb").write_text("another's")

    monkeypatch.setattr(writer, "_sync_all", taken)
    with pytest.raises(InputError, match="version=1"):
        export(folder, lambda x: {"y": x}, version=1)
    assert (folder / "1" / "saved_model.pb").read_text() == "another's"
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    "step", ["save", "check", "_write_extra", "write_warmup", "_sync_all", "sync"]
)
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if step != "sync":
        monkeypatch.setattr(writer, step, full)
    else:
        monkeypatch.setattr(writer.os, "rename", full)
    with pytest.raises(ExportError, match="No space left"):
        export(tmp_path / "m", lambda x: {"y": x})
    assert list((tmp_path / "m").iterdir()) == []


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "m", lambda x: {"y": x})
    assert list((tmp_path / "m").iterdir()) == []


def test_a_file_that_cannot_grow_leaves_nothing(tmp_path):
    process = child(HERE / "export_child.py", tmp_path / "m", "full")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "ExportError" in err, err[-2000:]
    assert list((tmp_path / "m").iterdir()) == []


@pytest.mark.slow
def test_a_killed_writer_leaves_no_version(tmp_path):
    folder = tmp_path / "m"
    process = child(HERE / "export_child.py", folder, "kill")
    assert "nothing is renamed" in process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert numbers(folder) == []
    assert leftovers(folder) and all(name.startswith(".") for name in leftovers(folder))
    assert export(folder, lambda x: {"y": x}).name == "1"
    assert leftovers(folder) == []  # the next writer cleans up


def test_another_writers_folder_is_left_alone(tmp_path):
    folder = tmp_path / "m"
    with files.aside(folder / "export") as alive:
        alive.mkdir()
        export(folder, lambda x: {"y": x})
        assert alive.is_dir()


def test_rows_that_mix_are_refused_unless_unbatched(tmp_path):
    def centred(x):
        return {"y": x - tf.reduce_mean(x, axis=0, keepdims=True)}

    with pytest.raises(ExportError, match="'y' depends on the other rows"):
        export(tmp_path / "m", centred)
    assert list((tmp_path / "m").iterdir()) == []
    assert export(tmp_path / "m", centred, batched=False).name == "1"


def test_an_output_without_batch_axis_is_refused(tmp_path):
    with pytest.raises(ExportError, match="no free batch axis"):
        export(tmp_path / "m", lambda x: {"y": tf.reduce_sum(x)})
    with pytest.raises(ExportError, match="no free batch axis"):
        export(tmp_path / "m", lambda x: {"y": x, "z": tf.zeros([5, 2])})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_output_that_is_not_finite_is_refused(tmp_path, bad):
    with pytest.raises(ExportError, match="'y' is not finite"):
        export(tmp_path / "m", lambda x: {"y": tf.where(x > 1e9, x, bad)})


def test_a_wrong_claim_of_xla_is_refused(tmp_path):
    def texts(x):
        return {"y": tf.strings.to_number(tf.strings.as_string(x))}

    with pytest.raises(ExportError, match="xla=False"):
        export(tmp_path / "m", texts)
    assert export(tmp_path / "m", texts, xla=False).name == "1"


def test_values_under_xla_may_differ_where_drawn_or_in_few_rows(exported):
    loaded = tf.saved_model.load(str(exported / "dense" / "1")).signatures
    assert verifier._draws(loaded["mix"]) and not verifier._draws(loaded["logits"])
    signature = Signature(lambda x: {"y": x}, FLOATS, {"x": X[:4]})
    check = verifier._Check("name", signature, loaded["logits"], verifier.TOLERANCE)
    one_row = X[:4] + [[1], [0], [0], [0]]
    check._compare({"y": one_row}, {"y": one_row * 0 + X[:4]}, "differs", lenient=True)
    with pytest.raises(ExportError, match="differs"):
        check._compare({"y": one_row}, {"y": one_row * 0 + X[:4]}, "differs", lenient=False)
    with pytest.raises(ExportError, match="differs"):
        check._compare({"y": X[:4] + 1}, {"y": X[:4]}, "differs", lenient=True)


def test_a_difference_from_eager_is_refused(tmp_path):
    def two_faced(x):
        return {"y": x if tf.executing_eagerly() else 1.001 * x}

    with pytest.raises(ExportError, match="differs from the Keras model's"):
        export(tmp_path / "m", two_faced)


def test_verify_sees_changed_weights(exported, tmp_path):
    signature = Signature(lambda x: {"logits": x @ tf.ones([3, 4])}, FLOATS, {"x": X})
    with pytest.raises(ExportError, match="logits"):
        serving.verify(exported / "other" / "1", {"serving_default": signature})
    with pytest.raises(ExportError, match="not in the SavedModel"):
        serving.verify(exported / "other" / "1", {"nothing": signature})


def test_serving_default_and_dicts_are_needed(tmp_path):
    signature = Signature(lambda x: {"y": x}, FLOATS, {"x": X})
    with pytest.raises(ExportError, match="serving_default"):
        serving.write(keras.Sequential(), {"other": signature}, tmp_path / "m")
    with pytest.raises(ExportError, match="must return a dict"):
        export(tmp_path / "m", lambda x: x)


def test_half_precision_is_held_to_its_own_tolerance(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(4)])
    export(tmp_path / "m", lambda x: {"y": keras.ops.cast(model(x), "float32")}, model=model)
    assert numbers(tmp_path / "m") == ["1"]


def test_several_models_behind_one_export(tmp_path):
    models = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)]
    path = export(tmp_path / "m", lambda x: {"y": models[0](x) + models[1](x)}, model=models)
    y = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant(X))["y"]
    np.testing.assert_allclose(y, models[0](X) + models[1](X), rtol=1e-5, atol=1e-6)


def test_extra_says_what_it_is(tmp_path):
    def function(x):
        """Return twice the input."""
        return {"y": 2 * x}

    signature = Signature(function, FLOATS, {"x": X})
    path = serving.write(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]),
        {"serving_default": signature},
        tmp_path / "m",
        config_yaml="dim: 3\n",
        metadata={"recipe": "toy"},
    )
    extra = path / "assets.extra"
    assert (extra / "config.yaml").read_text() == "dim: 3\n"
    assert json.loads((extra / "signatures.json").read_text()) == {
        "serving_default": {
            "description": "Return twice the input.",
            "inputs": {"x": {"dtype": "float32", "shape": [None, 3]}},
            "outputs": {"y": {"dtype": "float32", "shape": [None, 3]}},
            "batched": True,
            "xla": True,
            "ranges": {},
        }
    }
    metadata = json.loads((extra / "metadata.json").read_text())
    assert metadata["recipe"] == "toy" and metadata["versions"]["tensorflow"] == tf.__version__
    assert path.stat().st_mode & 0o777 == 0o777 & ~writer_umask()


def writer_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_warmup_requests_are_real_requests(exported):
    from tensorflow_serving.apis import prediction_log_pb2

    path = exported / "dense" / "1"
    loaded = tf.saved_model.load(str(path))
    seen = []
    for record in tf.data.TFRecordDataset(str(path / "assets.extra" / warmup.FILE)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = log.predict_log.request
        assert request.model_spec.name == "dense"
        name = request.model_spec.signature_name
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        loaded.signatures[name](**inputs)
        seen.append((name, len(next(iter(inputs.values())))))
    assert {("mix", 1), ("mix", 4), ("strings", 1), ("total", 4)} <= set(seen)
    assert len(seen) == 2 * len(loaded.signatures) - 1  # the unbatched one has one record


def test_without_the_extra_the_export_has_no_warmup(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.warns(UserWarning, match=r"tfzoo\[serve\]"):
        path = export(tmp_path / "m", lambda x: {"y": x})
    assert not (path / "assets.extra" / warmup.FILE).exists()
    assert (path / "assets.extra" / "signatures.json").exists()
