"""TensorFlow Serving's gRPC API over `Core`, with the official stubs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tfzoo.errors import InputError
from tfzoo.serving import examples, memory, protocol, tensors
from tfzoo.serving.config_files import models_of
from tfzoo.serving.core import Core
from tfzoo.serving.deadline import Deadline
from tfzoo.serving.errors import CODES, RequestFailed

SPARE_THREADS = 8
"""Threads in addition to those that run models: status, health, and refusals under full load."""


class _Front:
    """Common to both services: turns a failure into a status."""

    def __init__(self, core: Core):
        self._core = core

    def _answer(self, handle, request, context: grpc.ServicerContext):
        try:
            return handle(request, Deadline(context.time_remaining(), context.is_active))
        except RequestFailed as error:
            context.abort(grpc.StatusCode[error.code], error.message)

    def _counted(self, api: str, handle, request, context: grpc.ServicerContext):
        def counted(request, deadline: Deadline):
            memory.note(request.ByteSize())
            spec = request.tasks[0].model_spec if api == "MultiInference" else request.model_spec
            with self._core.call(spec.name, api, "GRPC"):
                deadline.check()
                return handle(request, deadline)

        return self._answer(counted, request, context)


class PredictionService(_Front, prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def Predict(self, request, context):  # noqa: N802
        """Runs a signature on the tensors of the request."""
        return self._counted("Predict", self.predict, request, context)

    def Classify(self, request, context):  # noqa: N802
        """Labels and scores of examples."""
        return self._counted("Classify", self.classify, request, context)

    def Regress(self, request, context):  # noqa: N802
        """A number for each example."""
        return self._counted("Regress", self.regress, request, context)

    def MultiInference(self, request, context):  # noqa: N802
        """Several classifications and regressions of the same examples."""
        if not request.tasks:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Inference request has no tasks")
        return self._counted("MultiInference", self.multi_inference, request, context)

    def GetModelMetadata(self, request, context):  # noqa: N802
        """The signatures of a model."""
        return self._answer(self.metadata, request, context)

    def predict(
        self, request: predict_pb2.PredictRequest, deadline: Deadline
    ) -> predict_pb2.PredictResponse:
        """Answers Predict.

        Raises:
            RequestFailed: the request cannot be answered.
        """
        options = self._core.options
        with self._core.manager.use(*_wanted(request)) as servable:
            key = request.model_spec.signature_name or "serving_default"
            inputs = tensors.to_arrays(
                request.inputs, servable.inputs(key), options.max_bytes, options.max_rows
            )
            outputs = self._core.run(servable, key, inputs, request.output_filter, deadline)
            response = predict_pb2.PredictResponse()
            _name(response, servable, key)
        for name, value in outputs.items():
            proto = tensors.to_proto(value, options.enable_serialization_as_tensor_content)
            response.outputs[name].CopyFrom(proto)
        memory.note(response.ByteSize())
        return response

    def classify(
        self, request: classification_pb2.ClassificationRequest, deadline: Deadline
    ) -> classification_pb2.ClassificationResponse:
        """Answers Classify.

        Raises:
            RequestFailed: the request cannot be answered.
        """
        key = request.model_spec.signature_name or "serving_default"
        response = classification_pb2.ClassificationResponse()
        with self._core.manager.use(*_wanted(request)) as servable:
            result = examples.classify(servable, key, request.input, deadline)
            response.result.CopyFrom(result)
            _name(response, servable, key)
        return response

    def regress(
        self, request: regression_pb2.RegressionRequest, deadline: Deadline
    ) -> regression_pb2.RegressionResponse:
        """Answers Regress.

        Raises:
            RequestFailed: the request cannot be answered.
        """
        key = request.model_spec.signature_name or "serving_default"
        response = regression_pb2.RegressionResponse()
        with self._core.manager.use(*_wanted(request)) as servable:
            result = examples.regress(servable, key, request.input, deadline)
            response.result.CopyFrom(result)
            _name(response, servable, key)
        return response

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, deadline: Deadline
    ) -> inference_pb2.MultiInferenceResponse:
        """Answers MultiInference.

        Raises:
            RequestFailed: the request cannot be answered.
        """
        first, seen = request.tasks[0], set()
        response = inference_pb2.MultiInferenceResponse()
        with self._core.manager.use(*_wanted(first)) as servable:
            for task in request.tasks:
                key = task.model_spec.signature_name or "serving_default"
                if task.model_spec.name != first.model_spec.name:
                    raise RequestFailed(
                        "INVALID_ARGUMENT",
                        "All ModelSpecs in a MultiInferenceRequest must access the same model name",
                    )
                if key in seen:
                    raise RequestFailed(
                        "INVALID_ARGUMENT", f"Duplicate evaluation of signature: {key}"
                    )
                seen.add(key)
                result = examples.infer(servable, task, request.input, deadline)
                _name(result, servable, key)
                response.results.append(result)
        return response

    def metadata(self, request, deadline) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answers GetModelMetadata.

        Raises:
            RequestFailed: the request cannot be answered.
        """
        wanted = _wanted(request)
        if not request.metadata_field:
            raise RequestFailed(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise RequestFailed(
                    "INVALID_ARGUMENT",
                    f"Metadata field {field} is not supported; must be signature_def",
                )
        with self._core.manager.use(*wanted) as servable:
            return protocol.metadata(servable)


class ModelService(_Front, model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def GetModelStatus(self, request, context):  # noqa: N802
        """The versions of a model and their states."""
        return self._answer(self._status, request, context)

    def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        """Replaces the served models; responds once loading them has been attempted."""
        return self._answer(self._reload, request, context)

    def _status(self, request, deadline) -> get_model_status_pb2.GetModelStatusResponse:
        return protocol.status(self._core.manager.states(*_wanted(request)))

    def _reload(
        self, request: model_management_pb2.ReloadConfigRequest, deadline
    ) -> model_management_pb2.ReloadConfigResponse:
        response = model_management_pb2.ReloadConfigResponse()
        try:
            self._core.manager.configure(models_of(request.config))
            self._core.manager.wait()
        except InputError as error:
            response.status.error_code = CODES.index("INVALID_ARGUMENT")
            response.status.error_message = str(error)
        return response


def _wanted(request: Any) -> tuple[str, int | None, str | None]:
    """The model, version and label that a request names."""
    if not request.HasField("model_spec"):
        raise RequestFailed("INVALID_ARGUMENT", "Missing ModelSpec")
    spec = request.model_spec
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label or None


def _name(response: Any, servable: Any, key: str) -> None:
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    response.model_spec.signature_name = key


SERVICES = tuple(
    file.DESCRIPTOR.services_by_name[name].full_name
    for file, name in (
        (prediction_service_pb2, "PredictionService"),
        (model_service_pb2, "ModelService"),
    )
)


class GrpcServer:
    """The services, health and reflection on a port.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, core: Core, host: str, port: int):
        options = [
            ("grpc.max_receive_message_length", core.options.max_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # otherwise two servers could silently share a port
        ]
        threads = core.options.max_calls + SPARE_THREADS
        self._server = grpc.server(ThreadPoolExecutor(threads, "grpc"), options=options)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(core), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), self._server)
        self._health = health.HealthServicer()
        # TensorFlow Serving's service names have no package
        for name in (*SERVICES, *(name.rpartition(".")[2] for name in SERVICES)):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._bind(address, core.ssl)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        if self.port == 0:
            raise OSError(f"cannot bind {address}")
        self._server.start()

    def _bind(self, address: str, ssl: Any) -> int:
        if ssl is None:
            return self._server.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials(
            [(ssl.server_key.encode(), ssl.server_cert.encode())],
            ssl.custom_ca.encode() or None,
            ssl.client_verify,
        )
        return self._server.add_secure_port(address, credentials)

    def close(self, grace: float) -> None:
        """Accepts no more requests, and waits for those in progress."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
