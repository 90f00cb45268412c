"""Exports for LiteRT and ONNX, run in those runtimes."""

import importlib.util
import json
import re

import numpy as np
import pytest
import tensorflow as tf

from support import TESTS, load_module, slow
from tfzoo import runner, zoo
from tfzoo.errors import InputError
from tfzoo.serving import ExportError, Signature, portable, write_portable

conftest = load_module("serving/conftest.py")
ONNX = importlib.util.find_spec("tf2onnx") and importlib.util.find_spec("onnxruntime")
X = np.array([[1.0, 2.0, 3.0], [0.5, -1.0, 0.0]], "float32")


def some(*names):
    model = conftest.dense()
    signatures = conftest.signatures(model)
    return model, {name: signatures[name] for name in names}


def run(path, **arrays):
    """A file's outputs in its own runtime, by name."""
    if path.suffix == ".tflite":
        interpreter = tf.lite.Interpreter(str(path))
        return interpreter.get_signature_runner(path.stem)(**arrays)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, arrays), strict=True))


@pytest.fixture(params=["litert", "onnx"])
def format(request):
    if request.param == "onnx" and not ONNX:
        pytest.skip("needs the extra onnx")
    return request.param


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_what_can_be_converted_answers_and_the_rest_has_a_reason(format, tmp_path):
    model, signatures = some("logits", "mix", "strings")
    labels = ["ash", "birch", "cedar", "dogwood"]
    reasons = write_portable(model, signatures, tmp_path / "out", format, labels=labels)
    table = json.loads((tmp_path / "out" / "signatures.json").read_text())
    assert reasons == {name: table[name]["reason"] for name in ("mix", "strings")}
    assert "StatelessRandom" in reasons["mix"] and "text" in reasons["strings"]
    answers = run(tmp_path / "out" / table["logits"][format], x=X)
    np.testing.assert_allclose(answers["logits"], X @ conftest.WEIGHTS, rtol=1e-5)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {table["logits"][format], "signatures.json", "labels.txt"}
    assert (tmp_path / "out" / "labels.txt").read_text().split() == labels


def test_wrong_arguments_are_one_line_and_leave_nothing(tmp_path, monkeypatch):
    model, signatures = some("strings")
    target = tmp_path / "out"
    with pytest.raises(ExportError, match="no signature can be converted: strings: .*text"):
        write_portable(model, signatures, target, "litert")
    with pytest.raises(InputError, match="format='coreml': must be one of litert, onnx"):
        write_portable(model, signatures, target, "coreml")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"format='onnx': needs tf2onnx: pip install 'tfzoo\[onnx"):
        write_portable(model, signatures, target, "onnx")
    assert not any(tmp_path.iterdir())
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match="must be a new or empty folder for litert"):
        write_portable(model, signatures, tmp_path, "litert")


def test_a_wrong_answer_is_refused(tmp_path, monkeypatch):
    model, signatures = some("logits")

    def two_faced(x):
        return {"logits": model(x) + (0.0 if tf.inside_function() else 1.0)}

    wrong = {"logits": Signature(two_faced, signatures["logits"].inputs, {"x": X[[0, 1, 0, 1]]})}
    with pytest.raises(ExportError, match="'logits' differs from the Keras model's"):
        write_portable(model, wrong, tmp_path / "out", "litert")
    assert not any(tmp_path.iterdir())


def told():
    """What export/README.md says to be converted: (weight, format, names of signatures)."""
    text = (TESTS.parent / "export" / "README.md").read_text(encoding="utf-8")
    table = text.split("| weight | LiteRT | ONNX |")[1].split("\n\n")[0]
    for row in table.splitlines()[2:]:
        weight, *cells = row.split("|")[1:-1]
        for name, cell in zip(("litert", "onnx"), cells, strict=True):
            weight, converted = weight.strip(" `"), re.findall(r"`(\w+)`", cell)
            yield slow((weight, name, converted), id=f"{weight}-{name}")


def test_the_readme_tells_of_every_weight():
    models = {case.values[0] for case in told()}
    assert models == zoo.index().keys() - {"ala/controller"}  # which has no signature


@pytest.mark.parametrize(("weight", "format", "converted"), list(told()), indirect=["format"])
def test_weights_convert_as_the_readme_says(weight, format, converted, tmp_path):
    model, resolved = runner.open_trained(weight)
    target, signatures = tmp_path / "out", resolved.recipe.signatures(model, resolved.info)
    if not converted:
        with pytest.raises(ExportError, match="no signature can be converted"):
            runner.write_portable(model, resolved, target, format)
        return
    reasons = runner.write_portable(model, resolved, target, format)
    assert reasons.keys() == signatures.keys() - set(converted)
    suffix = {"litert": ".tflite", "onnx": ".onnx"}[format]
    assert sorted(path.stem for path in target.glob(f"*{suffix}")) == sorted(converted)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "x\n'tf.Roll' op is neither a custom op nor a flex op",
            "the converter to LiteRT does not translate Roll",
        ),
        (
            "<unknown>:0: error: loc(a): 'tf.Map' op requires b\nmore",
            "LiteRT refuses it: Map requires b",
        ),
        ("too large\nmore", "LiteRT refuses it: too large"),
    ],
)
def test_a_reason_is_one_line(message, reason):
    assert portable._reason("litert", ValueError(message)) == reason
