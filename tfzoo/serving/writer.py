"""Writes SavedModels for TensorFlow Serving, complete or not at all."""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfzoo.environment import only_on, versions_of
from tfzoo.errors import InputError
from tfzoo.files import aside, expanded, sync
from tfzoo.serving.errors import ExportError, first_line
from tfzoo.serving.loading import load
from tfzoo.serving.signature import Signature
from tfzoo.serving.verifier import COARSE, TOLERANCE, check
from tfzoo.serving.warmup import write_warmup


@only_on("tensorflow", why="which writes SavedModels", name="an export")
def write(
    model: Any,
    signatures: Mapping[str, Signature],
    directory: str | Path,
    *,
    version: int | None = None,
    config_yaml: str = "",
    labels: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Writes a new version of a model: a SavedModel that needs neither tfzoo nor Keras.

    It is built in a temporary folder, reloaded and compared with the functions on their examples
    (see `verify`), completed by `assets.extra/` (warm-up requests, `config.yaml`,
    `signatures.json`, `metadata.json`), flushed to disk and renamed. If any step fails, nothing is
    left behind.

    Args:
        model: the built Keras layer or model behind the signatures, or a list of them.
        signatures: by name; `serving_default` must be one.
        directory: the model's folder; its name is the model's name in TensorFlow Serving.
        version: a number not in use yet; default: one more than the highest, from 1.
        config_yaml: the resolved config of the model.
        labels: names of the classes in order of class index, for `assets.extra/labels.txt`.
        metadata: any JSON-serialisable value.

    Returns:
        `<directory>/<version>`.

    Raises:
        InputError: the version exists already, or is not a positive integer.
        ExportError: a signature fails verification, or the disk is full.
    """
    directory = Path(expanded(directory))
    if "serving_default" not in signatures:
        raise ExportError(f"signatures {list(signatures)}: 'serving_default' must be one of them")
    if version is not None:
        _check_free(directory, version)
    try:
        # not a number, so TensorFlow Serving ignores it
        with aside(directory / "export") as folder:
            folder.mkdir()  # not mkdtemp, whose mode 0700 would lock out the server's user
            save(model, signatures, folder)
            loaded = load(folder)
            check(loaded, signatures, tolerance=tolerance_of(model))
            extra = folder / "assets.extra"
            _write_extra(extra, loaded, signatures, config_yaml, metadata or {})
            if labels:
                (extra / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
            _write_warmup(extra, directory.resolve().name, signatures)
            _sync_all(folder)
            return _publish(folder, directory, version)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(f"{directory}: not written: {first_line(error)}") from error


def versions(directory: str | Path) -> dict[int, Path]:
    """The versions in a model's folder, in order, as TensorFlow Serving sees them."""
    folder = Path(expanded(directory))
    folders = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbered = {int(p.name): p for p in folders if p.name.isascii() and p.name.isdigit()}
    return dict(sorted(numbered.items()))


def _check_free(directory: Path, version: int) -> None:
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(f"version={version!r}: must be an integer, at least 1")
    if version in versions(directory) or (directory / str(version)).exists():
        raise InputError(
            f"version={version}: already exists in {str(directory)!r} and is never overwritten; "
            "must be an unused number"
        )


def save(model: Any, signatures: Mapping[str, Signature], folder: Path) -> None:
    """Writes only the SavedModel, without verifying it."""
    archive = keras.export.ExportArchive()
    for part in keras.tree.flatten(model):
        archive.track(part)
    for name, signature in signatures.items():
        # positional arguments take their names from the specs
        archive.add_endpoint(name, _by_position(signature), list(signature.inputs.values()))
    no_gradients = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    archive.write_out(str(folder), options=no_gradients, verbose=False)


def _by_position(signature: Signature):
    def call(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = signature.function(**dict(zip(signature.inputs, values, strict=True)))
        if not isinstance(outputs, Mapping):
            raise ExportError(f"a signature must return a dict of tensors, not {type(outputs)}")
        return {name: tf.convert_to_tensor(value) for name, value in outputs.items()}

    return call


def tolerance_of(model: Any) -> float:
    """The verifier's tolerance: coarse if any layer computes in 16 bits."""
    layers = [layer for part in keras.tree.flatten(model) for layer in _layers(part)]
    coarse = any(layer.compute_dtype in ("bfloat16", "float16") for layer in layers)
    return COARSE if coarse else TOLERANCE


def _layers(part: Any) -> list[keras.layers.Layer]:
    if not isinstance(part, keras.layers.Layer):
        return []
    return [part, *part._flatten_layers(include_self=False)]


def _write_extra(
    extra: Path,
    loaded: Any,
    signatures: Mapping[str, Signature],
    config_yaml: str,
    metadata: Mapping[str, Any],
) -> None:
    extra.mkdir()
    (extra / "config.yaml").write_text(config_yaml, encoding="utf-8")
    table = {key: describe(sig, loaded.signatures[key]) for key, sig in signatures.items()}
    made_by = versions_of("tfzoo", "tensorflow", "keras")
    for file, content in (
        ("signatures.json", table),
        ("metadata.json", {"versions": made_by, **metadata}),
    ):
        (extra / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_warmup(extra: Path, name: str, signatures: Mapping[str, Signature]) -> None:
    try:
        write_warmup(extra, name, signatures)
    except ImportError:
        warnings.warn(
            "no warm-up requests: pip install 'tfzoo[serve]' brings tensorflow-serving-api",
            stacklevel=3,
        )


def describe(signature: Signature, served: Any) -> dict[str, Any]:
    """A signature's entry in `signatures.json`."""

    def table(specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
        return {
            name: {
                "dtype": spec.dtype.name,
                "shape": spec.shape.as_list() if spec.shape.rank is not None else None,
            }
            for name, spec in sorted(specs.items())
        }

    return {
        "description": signature.description,
        "inputs": table(signature.inputs),
        "outputs": table(served.structured_outputs),
        "batched": signature.batched,
        "xla": signature.xla,
        "ranges": {name: list(limits) for name, limits in signature.ranges.items()},
    }


def _sync_all(folder: Path) -> None:
    for root, _, files in os.walk(folder, topdown=False):
        for file in files:
            sync(Path(root, file))
        sync(root)


def _publish(folder: Path, directory: Path, version: int | None) -> Path:
    """Renames to the version's final path; two concurrent writers get different numbers."""
    while True:
        target = directory / str(version or max(versions(directory), default=0) + 1)
        try:
            os.rename(folder, target)  # fails if the target folder is not empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if version is not None:
                _check_free(directory, version)
            continue
        sync(directory)
        return target
