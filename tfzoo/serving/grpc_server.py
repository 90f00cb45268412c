"""TensorFlow Serving's gRPC API over `Models`, by the official stubs."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tfzoo.errors import InputError
from tfzoo.serving import protocol
from tfzoo.serving.errors import RequestFailed
from tfzoo.serving.servables import Models, Servable
from tfzoo.serving.signature import check_dtype, check_names, check_shape


class _Front:
    """What both services do: find the version, and turn a failure into a status."""

    def __init__(self, models: Models, max_bytes: int):
        self._models = models
        self._max_bytes = max_bytes

    def _servable(self, request) -> Servable:
        return self._models.get(*_name_and_version(request))

    def _answer(self, handle, request, context: grpc.ServicerContext):
        try:
            return handle(request)
        except RequestFailed as error:
            context.abort(grpc.StatusCode[error.code], error.message)


class PredictionService(_Front, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other calls answer UNIMPLEMENTED."""

    def Predict(self, request, context):  # noqa: N802
        """Runs a signature on the tensors of the request."""
        return self._answer(self._predict, request, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        """The signatures of a model."""
        return self._answer(self._metadata, request, context)

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        servable = self._servable(request)
        key = request.model_spec.signature_name or "serving_default"
        inputs = self._arrays(request.inputs, servable.inputs(key))
        outputs = servable.run(key, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.model_spec.signature_name = key
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response

    def _arrays(self, protos, specs) -> dict[str, np.ndarray]:
        """Checks before it unpacks: a few bytes may claim a tensor of any size."""
        try:
            check_names(specs, protos)
            arrays = {}
            for name, spec in specs.items():
                proto = protos[name]
                shape = tuple(dim.size for dim in proto.tensor_shape.dim)
                check_dtype(spec, tf.as_dtype(proto.dtype))
                if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
                    raise InputError(f"input {name!r}: the tensor's shape must be known")
                check_shape(spec, shape)
                if math.prod(shape) * max(spec.dtype.size or 1, 1) > self._max_bytes:
                    raise RequestFailed(
                        "RESOURCE_EXHAUSTED",
                        f"input {name!r} of shape {list(shape)} is larger than "
                        f"{self._max_bytes} bytes",
                    )
                arrays[name] = tf.make_ndarray(proto)
            return arrays
        except (InputError, TypeError, ValueError) as error:
            raise RequestFailed("INVALID_ARGUMENT", str(error)) from None

    def _metadata(self, request) -> get_model_metadata_pb2.GetModelMetadataResponse:
        wrong = [field for field in request.metadata_field if field != "signature_def"]
        if wrong or not request.metadata_field:
            named = wrong[0] if wrong else ""
            raise RequestFailed(
                "INVALID_ARGUMENT",
                f"metadata_field={named!r} is not supported; must be 'signature_def'",
            )
        return protocol.metadata(self._servable(request))


class ModelService(_Front, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; HandleReloadConfigRequest answers UNIMPLEMENTED."""

    def GetModelStatus(self, request, context):  # noqa: N802
        """The versions of a model and whether they are available."""
        return self._answer(self._status, request, context)

    def _status(self, request) -> get_model_status_pb2.GetModelStatusResponse:
        return protocol.status(self._models.states(*_name_and_version(request)))


def _name_and_version(request) -> tuple[str, int | None]:
    if not request.HasField("model_spec"):
        raise RequestFailed("INVALID_ARGUMENT", "Missing ModelSpec")
    spec = request.model_spec
    if spec.version_label:
        label = spec.version_label
        raise RequestFailed("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
    return spec.name, spec.version.value if spec.HasField("version") else None


class GrpcServer:
    """Both services on a port.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, models: Models, host: str, port: int, max_bytes: int, threads: int = 8):
        options = [
            ("grpc.max_receive_message_length", max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # else two servers share a port without a word
        ]
        self._server = grpc.server(ThreadPoolExecutor(threads), options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(models, max_bytes), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(models, max_bytes), self._server
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        if self.port == 0:
            raise OSError(f"cannot bind {address}")
        self._server.start()

    def close(self, grace: float) -> None:
        """Takes no more requests, and waits for those being answered."""
        self._server.stop(grace).wait()
