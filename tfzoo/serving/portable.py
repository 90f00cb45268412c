"""Signatures in the formats of other runtimes: LiteRT and ONNX.

A file holds one signature and its weights. Before it gets its final name, its outputs on the
signature's examples are compared with the Keras model's, in the runtime itself.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfzoo.environment import only_on
from tfzoo.errors import InputError
from tfzoo.files import aside, expanded
from tfzoo.serving.errors import ExportError, first_line
from tfzoo.serving.loading import load
from tfzoo.serving.signature import Signature
from tfzoo.serving.verifier import check_runtime
from tfzoo.serving.writer import describe, save, tolerance_of

Arrays = dict[str, np.ndarray]
SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
NAMES = {"litert": "LiteRT", "onnx": "ONNX"}


@only_on("tensorflow", why="whose graphs are converted", name="an export")
def write_portable(
    model: Any,
    signatures: Mapping[str, Signature],
    directory: str | Path,
    format: str,
    *,
    labels: Sequence[str] = (),
) -> dict[str, str]:
    """Writes the signatures that a runtime can express, one file each.

    Also writes `signatures.json`, which describes every signature and names its file or the reason
    why it has none, and `labels.txt` if there are classes. Signatures that take text or draw random
    numbers cannot be converted.

    Args:
        model: the built Keras layer or model behind the signatures, or a list of them.
        signatures: by name.
        directory: a new folder, or an empty one.
        format: `litert` (`NAME.tflite`) or `onnx` (`NAME.onnx`, needs the extra `onnx`).
        labels: names of the classes, in order of class index.

    Returns:
        For each signature that was left out, the reason, by name.

    Raises:
        InputError: the folder is not empty, the format is unknown, or its packages are missing.
        ExportError: no signature can be converted, or outputs differ from the Keras model's.
    """
    folder = check_target(directory, format)
    convert = {"litert": _litert, "onnx": _onnx}[format]
    reasons: dict[str, str] = {}
    table: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as saved, aside(folder) as hidden:
        hidden.mkdir()
        save(model, signatures, Path(saved))
        loaded = load(saved)
        for name, signature in signatures.items():
            table[name] = describe(signature, loaded.signatures[name]) | {format: None}
            try:
                content, call = convert(saved, loaded, name, signature)
            except _CannotError as error:
                reasons[name] = table[name]["reason"] = str(error)
                continue
            check_runtime(name, signature, call, tolerance_of(model))
            table[name][format] = name + SUFFIXES[format]
            (hidden / table[name][format]).write_bytes(content)
        if len(reasons) == len(signatures):
            said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise ExportError(f"format={format!r}: no signature can be converted: {said}")
        (hidden / "signatures.json").write_text(json.dumps(table, indent=2) + "\n")
        if labels:
            (hidden / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        if folder.is_dir():
            folder.rmdir()
        os.rename(hidden, folder)
    return reasons


def check_target(directory: str | Path, format: str) -> Path:
    """Checks what can be checked before a model is loaded.

    Raises:
        InputError: the folder is not empty, the format is unknown, or its packages are missing.
    """
    if format not in SUFFIXES:
        raise InputError(f"format={format!r}: must be one of {', '.join(SUFFIXES)}")
    folder = Path(expanded(directory))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(directory)!r}: must be a new or empty folder for {format}")
    if format == "onnx":
        for package in ("tf2onnx", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                raise InputError(f"format='onnx': needs {package}: pip install 'tfzoo[onnx]'")
    return folder


class _CannotError(Exception):
    """A format cannot express a signature."""


def _litert(
    saved: str, loaded: Any, name: str, signature: Signature
) -> tuple[bytes, Callable[[Arrays], Arrays]]:
    _refuse_text(signature, loaded.signatures[name].structured_outputs)
    converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[name])
    try:
        with _without_native_errors():
            content = converter.convert()
    except Exception as error:  # MLIR's errors are plain `Exception`s in several releases
        raise _CannotError(_reason("litert", error)) from None
    try:
        with warnings.catch_warnings():
            # the package that it recommends has the same class
            warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated")
            interpreter = tf.lite.Interpreter(
                model_content=content,
                experimental_op_resolver_type=(
                    tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                ),
            )
        runner = interpreter.get_signature_runner(name)
        runner(**signature.examples)
    except (RuntimeError, ValueError) as error:
        raise _CannotError(_reason("litert", error)) from None
    return content, lambda arrays: runner(**arrays)


def _onnx(
    saved: str, loaded: Any, name: str, signature: Signature
) -> tuple[bytes, Callable[[Arrays], Arrays]]:
    tf2onnx, onnxruntime = map(importlib.import_module, ("tf2onnx", "onnxruntime"))
    served = loaded.signatures[name]
    _refuse_text(signature, served.structured_outputs)
    specs = list(signature.inputs.values())
    function = tf.function(
        lambda *values: served(**dict(zip(signature.inputs, values, strict=True))),
        input_signature=specs,
        autograph=False,
    )
    try:
        with _without_native_errors():
            model, _ = tf2onnx.convert.from_function(function, input_signature=specs)
            # captured tensors are constants by now, but still listed
            for entry in [e for e in model.graph.input if e.name not in signature.inputs]:
                model.graph.input.remove(entry)
            content = model.SerializeToString()
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            names = [output.name for output in session.get_outputs()]
            session.run(names, signature.examples)
    except Exception as error:  # protobuf's, NumPy's and the runtime's errors share no base
        raise _CannotError(_reason("onnx", error)) from None
    return content, lambda arrays: dict(zip(names, session.run(names, arrays), strict=True))


def _refuse_text(signature: Signature, outputs: Mapping[str, Any]) -> None:
    named = {**signature.inputs, **outputs}
    text = [name for name, spec in named.items() if spec.dtype == tf.string]
    if text:
        raise _CannotError(f"{', '.join(text)}: text is not converted")


def _reason(format: str, error: Exception) -> str:
    """Why a format cannot express a signature, from the message of its converter or runtime."""
    message, name = str(error), NAMES[format]
    pairs = re.findall(r"'tf\.(\w+)' op is neither|No Op registered for (\w+)", message)
    lacking = sorted({one or other for one, other in pairs})
    if lacking:
        return f"the converter to {name} does not translate {', '.join(lacking)}"
    refused = re.search(r"'tf\.(\w+)' op (.+)", message)  # after its place in the graph
    said = " ".join(refused.groups()) if refused else first_line(error)
    return f"{name} refuses it: {said}"


@contextlib.contextmanager
def _without_native_errors() -> Iterator[None]:
    """Keeps converters' output, from C++ and `logging`, out of standard error."""
    level = logging.root.manager.disable
    held = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        logging.disable(logging.ERROR)
        try:
            yield
        finally:
            logging.disable(level)
            os.dup2(held, 2)
            os.close(held)
