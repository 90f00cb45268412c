"""Clients for TensorFlow Serving's REST and gRPC protocols; they work with either server."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

from tfzoo.errors import InputError
from tfzoo.serving.signature import cast

Metadata = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""signature -> "inputs" or "outputs" -> name -> {"dtype": "float32", "shape": [None, 3]}."""


class RequestError(InputError):
    """The server refused a request, or could not be reached.

    Attributes:
        code: HTTP status (REST) or name of the status code (gRPC); `"UNAVAILABLE"` if there is no
            server.
        message: the server's message.
    """

    def __init__(self, target: str, code: int | str, message: str):
        self.code = code
        self.message = " ".join(message.split())
        super().__init__(f"{target}: {code}: {self.message}")


class RestClient:
    """Sends requests over REST.

    Args:
        url: e.g. `http://127.0.0.1:8501`.
        timeout: seconds to wait for a response.
    """

    def __init__(self, url: str, timeout: float = 60.0):
        if not url.startswith(("http://", "https://")):
            raise InputError(f"url={url!r}: must be http://HOST:PORT")
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._metadata: dict[tuple[str, int | None], Metadata] = {}

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature_name: str = "serving_default",
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            model: the model's name.
            inputs: arrays by input name; strings as `str` or `bytes`.
            signature_name: which function of the model.
            version: default: the newest.

        Returns:
            Arrays by output name, of the signature's dtypes; strings as `bytes` objects.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        body = _request(signature_name, {k: np.asarray(v) for k, v in inputs.items()})
        answer = self._ask(f"{_path(model, version)}:predict", body)["outputs"]
        try:
            return self._read(model, version, signature_name, answer)
        except (KeyError, TypeError, ValueError):  # a newer version took over
            self._metadata.clear()
            return self._read(model, version, signature_name, answer)

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        """The signatures of a model, with dtypes and shapes.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        answer = self._ask(f"{_path(model, version)}/metadata")
        return _tables_of_json(answer["metadata"]["signature_def"]["signature_def"])

    def status(self, model: str, version: int | None = None) -> dict[int, str]:
        """The versions of a model and their states, e.g. `{1: "AVAILABLE"}`.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        answer = self._ask(_path(model, version))["model_version_status"]
        return {int(entry["version"]): entry["state"] for entry in answer}

    def _read(self, model: str, version: int | None, signature: str, answer: Any):
        key = (model, version)
        if key not in self._metadata:
            self._metadata[key] = self.metadata(model, version)
        specs = self._metadata[key][signature]["outputs"]
        columns = answer if len(specs) > 1 else {next(iter(specs)): answer}
        return {name: _of_json(columns[name], spec["dtype"]) for name, spec in specs.items()}

    def _ask(self, path: str, data: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(self._url + path, data, headers)
        target = f"{self._url}{path}"
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                return _read_json(answer.read())
        except urllib.error.HTTPError as error:
            raise RequestError(target, error.code, _error_text(error)) from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # truncated, too
            reason = getattr(error, "reason", error)
            raise RequestError(target, "UNAVAILABLE", str(reason)) from None


class GrpcClient:
    """Sends requests over gRPC; a context manager that closes the channel.

    Args:
        address: e.g. `127.0.0.1:8500`.
        timeout: seconds to wait for a response.
    """

    def __init__(self, address: str, timeout: float = 60.0):
        try:
            import grpc
            from tensorflow_serving.apis import (
                model_service_pb2_grpc,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise InputError(f"gRPC needs pip install 'tfzoo[serve]': {error}") from None
        self._address = address
        self._timeout = timeout
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Any],
        signature_name: str = "serving_default",
        version: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Runs a signature; see `RestClient.predict`.

        gRPC accepts only the signature's own dtypes. If the server refuses an input's dtype, the
        input is cast (as REST's JSON is) and sent again, provided that nothing but precision is
        lost.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        try:
            return self._predict(model, arrays, signature_name, version)
        except RequestError as error:
            if error.code != "INVALID_ARGUMENT":
                raise
            specs = self.metadata(model, version)[signature_name]["inputs"]
            same_dtypes, arrays = _cast(specs, arrays)
            if same_dtypes:
                raise
        return self._predict(model, arrays, signature_name, version)

    def _predict(self, model, arrays, signature_name, version) -> dict[str, np.ndarray]:
        from tensorflow_serving.apis import predict_pb2

        request = _with_spec(predict_pb2.PredictRequest(), model, version)
        request.model_spec.signature_name = signature_name
        for name, value in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._ask(self._prediction.Predict, request)
        return {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}

    def metadata(self, model: str, version: int | None = None) -> Metadata:
        """The signatures of a model, with dtypes and shapes.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = _with_spec(get_model_metadata_pb2.GetModelMetadataRequest(), model, version)
        request.metadata_field.append("signature_def")
        answer = self._ask(self._prediction.GetModelMetadata, request)
        table = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(table)
        return _tables_of_protos(table.signature_def)

    def status(self, model: str, version: int | None = None) -> dict[int, str]:
        """The versions of a model and their states, e.g. `{1: "AVAILABLE"}`.

        Raises:
            RequestError: the server refused, or could not be reached.
        """
        from tensorflow_serving.apis import get_model_status_pb2

        request = _with_spec(get_model_status_pb2.GetModelStatusRequest(), model, version)
        answer = self._ask(self._models.GetModelStatus, request)
        names = get_model_status_pb2.ModelVersionStatus.State
        return {entry.version: names.Name(entry.state) for entry in answer.model_version_status}

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _ask(self, call, request):
        import grpc

        try:
            return call(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise RequestError(self._address, error.code().name, error.details() or "") from None


def spec_of(name: str, entry: Mapping[str, Any]) -> tf.TensorSpec:
    """An input or output of `Metadata`."""
    return tf.TensorSpec(entry["shape"], entry["dtype"], name)


def _path(model: str, version: int | None) -> str:
    name = urllib.parse.quote(model, safe="")
    return f"/v1/models/{name}" + ("" if version is None else f"/versions/{version}")


def _with_spec(request, model: str, version: int | None):
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    return request


def _cast(
    specs: Mapping[str, dict[str, Any]], arrays: Mapping[str, np.ndarray]
) -> tuple[bool, dict[str, np.ndarray]]:
    """Whether the dtypes already match, and the arrays cast to a signature's dtypes."""
    tensors = dict(arrays)
    for name in arrays.keys() & specs.keys():
        spec = spec_of(name, specs[name])
        if tf.as_dtype(arrays[name].dtype) != spec.dtype:
            with contextlib.suppress(InputError):  # let the server report what is wrong with it
                tensors[name] = cast(spec, arrays[name])
    return all(tensors[name] is arrays[name] for name in arrays), tensors


def _error_text(error: urllib.error.HTTPError) -> str:
    try:
        text = error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return str(error.reason)
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or str(error.reason)


def _read_json(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:  # NaN and Infinity, which the server writes
        return json.loads(data)


def _request(signature_name: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    finite = all(np.isfinite(x).all() for x in arrays.values() if x.dtype.kind == "f")
    columns = {name: _to_json(value, finite) for name, value in arrays.items()}
    body = {"signature_name": signature_name, "inputs": columns}
    if finite:
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(body).encode()  # orjson writes no NaN


def _to_json(value: np.ndarray, finite: bool) -> Any:
    if finite and value.dtype.char in "bBhHiIlLqQ?fd" and value.dtype.isnative:
        return np.asarray(value, order="C")[()]
    if value.dtype.kind not in "SUO":
        return value.tolist()
    encoded = np.empty(value.shape, object)
    for index in np.ndindex(value.shape):
        item = value[index]
        data = item if isinstance(item, bytes) else str(item).encode()
        encoded[index] = {"b64": base64.b64encode(data).decode()}
    return encoded.tolist()


def _of_json(value: Any, dtype: str) -> np.ndarray:
    if dtype != "string":
        return np.array(value, tf.as_dtype(dtype).as_numpy_dtype)
    array = np.array(value, object)
    for index in np.ndindex(array.shape):
        item: Any = array[index]
        array[index] = base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()
    return array


def _tables_of_protos(signatures) -> Metadata:
    def table(infos) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "dtype": tf.as_dtype(info.dtype).name,
                "shape": _shape([d.size for d in info.tensor_shape.dim], info.tensor_shape),
            }
            for name, info in sorted(infos.items())
        }

    def _shape(sizes: list[int], shape) -> list[int | None] | None:
        return None if shape.unknown_rank else [None if size < 0 else size for size in sizes]

    return {
        key: {"inputs": table(signature.inputs), "outputs": table(signature.outputs)}
        for key, signature in sorted(signatures.items())
        if signature.method_name == "tensorflow/serving/predict"
    }


def _tables_of_json(signatures: Mapping[str, Any]) -> Metadata:
    from google.protobuf.json_format import ParseDict
    from tensorflow.core.protobuf import meta_graph_pb2

    return _tables_of_protos(
        {key: ParseDict(value, meta_graph_pb2.SignatureDef()) for key, value in signatures.items()}
    )
