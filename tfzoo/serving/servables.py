"""Models in folders, loaded and asked: what the gRPC and the REST front share."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfzoo.errors import InputError
from tfzoo.files import expanded
from tfzoo.serving.errors import RequestFailed, first_line
from tfzoo.serving.loading import load
from tfzoo.serving.signature import check_dtype, check_names, check_shape
from tfzoo.serving.writer import versions

CODES = {
    tf.errors.INVALID_ARGUMENT: "INVALID_ARGUMENT",
    tf.errors.OUT_OF_RANGE: "OUT_OF_RANGE",
    tf.errors.FAILED_PRECONDITION: "FAILED_PRECONDITION",
    tf.errors.UNIMPLEMENTED: "UNIMPLEMENTED",
    tf.errors.RESOURCE_EXHAUSTED: "RESOURCE_EXHAUSTED",
}
"""What TensorFlow says of a run, as a status for the caller; anything else is INTERNAL."""


class Servable:
    """One loaded version of a model. Safe to use from several threads.

    Attributes:
        name, version: what it is.
        signature_defs: as stored in the SavedModel, by signature.
    """

    def __init__(self, name: str, version: int, folder: Path):
        self.name = name
        self.version = version
        proto = saved_model_pb2.SavedModel()
        proto.ParseFromString((folder / "saved_model.pb").read_bytes())
        self.signature_defs: Mapping[str, meta_graph_pb2.SignatureDef] = dict(
            proto.meta_graphs[0].signature_def
        )
        self._loaded = load(folder)  # kept: its variables live with it

    def inputs(self, signature_name: str) -> dict[str, tf.TensorSpec]:
        """Inputs of a signature, by name.

        Raises:
            RequestFailed: no such signature.
        """
        return self._function(signature_name).structured_input_signature[1]

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Collection[str] = (),
    ) -> dict[str, np.ndarray]:
        """Checks the inputs against the signature and runs it.

        Raises:
            RequestFailed: the request does not fit the signature, or the model fails on it.
        """
        function = self._function(signature_name)
        specs = function.structured_input_signature[1]
        names = list(output_filter) or sorted(function.structured_outputs)
        unknown = [name for name in names if name not in function.structured_outputs]
        if unknown:
            raise RequestFailed(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {unknown[0]}; "
                f"must be one of {', '.join(sorted(function.structured_outputs))}",
            )
        try:
            check_names(specs, inputs)
            for name, spec in specs.items():
                check_dtype(spec, tf.as_dtype(inputs[name].dtype))
                check_shape(spec, inputs[name].shape)
        except InputError as error:
            raise RequestFailed("INVALID_ARGUMENT", str(error)) from None
        try:
            outputs = function(
                **{name: tf.constant(inputs[name], spec.dtype) for name, spec in specs.items()}
            )
            return {name: outputs[name].numpy() for name in names}
        except tf.errors.OpError as error:
            code = CODES.get(error.error_code, "INTERNAL")
            raise RequestFailed(code, first_line(error)) from error

    def _function(self, signature_name: str):
        if signature_name not in self._loaded.signatures:
            raise RequestFailed(
                "FAILED_PRECONDITION",
                f'Serving signature key "{signature_name}" not found; '
                f"must be one of {', '.join(sorted(self._loaded.signatures))}",
            )
        return self._loaded.signatures[signature_name]


class Model:
    """The versions of a model in its folder, as they are now: one that appears is served.

    The newest version that loads is the default; the others are loaded when asked for.
    """

    def __init__(self, name: str, folder: Path):
        self.name = name
        self._folder = folder
        self._lock = threading.Lock()
        self._loaded: dict[int, Servable] = {}
        self._failed: dict[int, str] = {}

    def states(self) -> dict[int, str | None]:
        """Version -> None where available, else why it is not."""
        return {version: self._failed.get(version) for version in versions(self._folder)}

    def get(self, version: int | None) -> Servable:
        """A version, or the newest that loads.

        Raises:
            RequestFailed: there is none.
        """
        found = versions(self._folder)
        asked = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
        with self._lock:
            for gone in self._loaded.keys() - found.keys():
                del self._loaded[gone]
            for number in sorted(found, reverse=True) if version is None else [version]:
                if number in found and (servable := self._load(number, found[number])):
                    return servable
        raise RequestFailed("NOT_FOUND", f"Servable not found for request: {asked}")

    def _load(self, version: int, folder: Path) -> Servable | None:
        if version not in self._loaded and version not in self._failed:
            try:
                self._loaded[version] = Servable(self.name, version, folder)
            except Exception as error:  # a broken version must not take the others down
                self._failed[version] = first_line(error)
        return self._loaded.get(version)


class Models:
    """The models of a server, by name."""

    def __init__(self, folders: Mapping[str, Path]):
        self._models = {name: Model(name, folder) for name, folder in folders.items()}
        for model in self._models.values():
            try:
                model.get(None)
            except RequestFailed:
                reasons = "; ".join(f"{v}: {why}" for v, why in model.states().items())
                raise InputError(f"model {model.name!r}: no version loads: {reasons}") from None

    def get(self, name: str, version: int | None = None) -> Servable:
        """The version of a model; default: the newest.

        Raises:
            RequestFailed: no such model or version.
        """
        if name not in self._models:
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RequestFailed("NOT_FOUND", f"Servable not found for request: {which}")
        return self._models[name].get(version)

    def states(self, name: str, version: int | None = None) -> dict[int, str | None]:
        """Versions of a model -> None where available, else why it is not.

        Raises:
            RequestFailed: no such model or version.
        """
        found = self._models[name].states() if name in self._models else {}
        if version is not None:
            if version not in found:
                raise RequestFailed(
                    "NOT_FOUND", f"Could not find version {version} of model {name}"
                )
            return {version: found[version]}
        if not found:
            raise RequestFailed("NOT_FOUND", f"Could not find any versions of model {name}")
        return found


def find_models(directory: str | Path, model_name: str | None = None) -> dict[str, Path]:
    """Models by name in a model's folder (numbered versions) or a folder of such.

    Raises:
        InputError: there are none.
    """
    folder = Path(expanded(directory)).resolve()
    if not folder.is_dir():
        raise InputError(f"directory={str(directory)!r}: no such folder")
    if (folder / "saved_model.pb").is_file():
        raise InputError(
            f"directory={str(directory)!r}: is one version; must be the model's folder above it"
        )
    if _has_versions(folder):
        return {model_name or folder.name: folder}
    found = {path.name: path for path in sorted(folder.iterdir()) if _has_versions(path)}
    if not found:
        raise InputError(
            f"directory={str(directory)!r}: no models in it; must be a folder of versions "
            "(<version>/saved_model.pb) or a folder of such folders"
        )
    if model_name is not None:
        raise InputError(f"model_name={model_name!r}: {str(directory)!r} holds {', '.join(found)}")
    return found


def _has_versions(folder: Path) -> bool:
    return any((path / "saved_model.pb").is_file() for path in versions(folder).values())
