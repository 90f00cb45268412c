"""TensorFlow Serving's status and metadata messages, used by gRPC and, as JSON, by REST."""

from __future__ import annotations

from collections.abc import Mapping

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tfzoo.serving.errors import CODES
from tfzoo.serving.manager import State
from tfzoo.serving.servable import Servable


def status(states: Mapping[int, State]) -> get_model_status_pb2.GetModelStatusResponse:
    """The status message of a model's versions; newest first, as in TensorFlow Serving."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state in sorted(states.items(), reverse=True):
        entry = response.model_version_status.add(version=version)
        entry.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.name)
        entry.status.error_code = CODES.index(state.code)
        entry.status.error_message = state.message
    return response


def metadata(servable: Servable) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The metadata message of a version: its signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    table = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signature_defs.items():
        table.signature_def[name].CopyFrom(signature)
    response.metadata["signature_def"].Pack(table)
    return response
