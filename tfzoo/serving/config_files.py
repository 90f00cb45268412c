"""TensorFlow Serving's configuration files, in protobuf text form."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from tfzoo.errors import InputError
from tfzoo.files import expanded

# messages that tensorflow-serving-api lacks, from session_bundle_config.proto,
# monitoring_config.proto and ssl_config.proto
_MESSAGES = {
    "BatchingParameters": {
        "max_batch_size": "Int64Value",
        "batch_timeout_micros": "Int64Value",
        "max_enqueued_batches": "Int64Value",
        "num_batch_threads": "Int64Value",
        "thread_pool_name": "StringValue",
        "allowed_batch_sizes": "repeated int64",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "BoolValue",
        "max_execution_batch_size": "Int64Value",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "SSLConfig": {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
}


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="tfzoo/serving.proto", package="tfzoo.serving", syntax="proto3"
    )
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, members in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (member, described) in enumerate(members.items(), 1):
            repeated, type_name = described.startswith("repeated"), described.split()[-1]
            entry = message.field.add(name=member, number=number)
            entry.label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            if type_name[0].islower():
                entry.type = getattr(kind, f"TYPE_{type_name.upper()}")
            else:
                entry.type = kind.TYPE_MESSAGE
                package = "tfzoo.serving" if type_name in _MESSAGES else "google.protobuf"
                entry.type_name = f".{package}.{type_name}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool


def _read(path: str, key: str, message: Any) -> Any:
    """Reads a protobuf message from a file.

    Raises:
        InputError: the file does not exist or does not hold such a message.
    """
    if isinstance(message, str):
        kind = _pool().FindMessageTypeByName(f"tfzoo.serving.{message}")
        message = message_factory.GetMessageClass(kind)()
    try:
        return text_format.Parse(Path(expanded(path)).read_text(encoding="utf-8"), message)
    except OSError as error:
        raise InputError(f"{key}={path!r}: {error.strerror}") from None
    except (UnicodeDecodeError, text_format.ParseError) as error:
        name = message.DESCRIPTOR.name
        reason = " ".join(str(error).split())
        raise InputError(f"{key}={path!r}: must be {name} in text form: {reason}") from None


@dataclass(frozen=True)
class Batching:
    """How requests for a signature are batched; see session_bundle_config.proto."""

    max_batch_size: int = 32
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 100
    num_batch_threads: int = 4
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False


def read_batching(path: str) -> Batching:
    """Reads `--batching_parameters_file`; "" gives the defaults.

    Raises:
        InputError: the file cannot be read, or a value in it is out of range or not supported.
    """
    if not path:
        return Batching()
    message = _read(path, "batching_parameters_file", "BatchingParameters")

    def wrong(name: str, value: object, allowed: str) -> InputError:
        return InputError(f"batching_parameters_file={path!r}: {name}={value}: must be {allowed}")

    values: dict[str, Any] = {}
    for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
        if message.HasField(name):
            values[name] = getattr(message, name).value
            if not 1 <= values[name] < 2**31:
                raise wrong(name, values[name], "from 1 to 2147483647")
    if message.HasField("batch_timeout_micros"):
        timeout = values["batch_timeout_micros"] = message.batch_timeout_micros.value
        if not 0 <= timeout < 2**31:
            raise wrong("batch_timeout_micros", timeout, "from 0 to 2147483647")
    if message.HasField("enable_large_batch_splitting"):
        values["enable_large_batch_splitting"] = message.enable_large_batch_splitting.value
    if message.pad_variable_length_inputs:
        raise wrong("pad_variable_length_inputs", "true", "false here")
    sizes = tuple(message.allowed_batch_sizes)
    most = values.get("max_batch_size", Batching.max_batch_size)
    if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != most):
        raise wrong("allowed_batch_sizes", list(sizes), f"increasing and end in {most}")
    return Batching(**values, allowed_batch_sizes=sizes)


METRICS_PATH = "/monitoring/prometheus/metrics"


def read_monitoring(path: str) -> str | None:
    """Reads `--monitoring_config_file`: the path of the metrics, or None if they are off.

    Raises:
        InputError: the file cannot be read.
    """
    if not path:
        return None
    config = _read(path, "monitoring_config_file", "MonitoringConfig").prometheus_config
    return (config.path or METRICS_PATH) if config.enable else None


def read_ssl(path: str) -> Any:
    """Reads `--ssl_config_file`: an SSLConfig, or None if no file is given.

    Raises:
        InputError: the file cannot be read, or lacks the key or the certificate.
    """
    if not path:
        return None
    config = _read(path, "ssl_config_file", "SSLConfig")
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(config, name):
            raise InputError(f"ssl_config_file={path!r}: {name}: must hold the text of a PEM file")
    if config.client_verify and "-----BEGIN" not in config.custom_ca:
        raise InputError(f"ssl_config_file={path!r}: client_verify: must come with custom_ca")
    return config


@dataclass(frozen=True)
class ModelConfig:
    """A model that is served.

    Attributes:
        name: the name that callers use.
        folder: holds the numbered versions.
        latest: how many of the newest versions are served; 0: all, or those in `specific`.
        specific: only these versions.
        labels: version numbers by label.
    """

    name: str
    folder: Path
    latest: int = 0
    specific: frozenset[int] = frozenset()
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: dict[int, Path]) -> dict[int, Path]:
        """The versions in the folder that are to be served, newest first."""
        numbers = sorted(versions, reverse=True)
        if self.latest:
            numbers = numbers[: self.latest]
        if self.specific:
            numbers = [number for number in numbers if number in self.specific]
        return {number: versions[number] for number in numbers}


def read_models(path: str) -> list[ModelConfig]:
    """Reads `--model_config_file`.

    Raises:
        InputError: the file cannot be read or names no models that can be served.
    """
    message = _read(path, "model_config_file", model_server_config_pb2.ModelServerConfig())
    try:
        return models_of(message)
    except InputError as error:
        raise InputError(f"model_config_file={path!r}: {error}") from None


def models_of(message: model_server_config_pb2.ModelServerConfig) -> list[ModelConfig]:
    """The models of a ModelServerConfig.

    Raises:
        InputError: it has no models, two models with the same name, or something unsupported.
    """
    if message.WhichOneof("config") != "model_config_list":
        raise InputError("must have a model_config_list")
    models: dict[str, ModelConfig] = {}
    for entry in message.model_config_list.config:
        if not entry.name or not entry.base_path:
            raise InputError(f"config {entry.name!r}: must have a name and a base_path")
        if entry.name in models:
            raise InputError(f"config {entry.name!r}: is listed twice")
        if entry.model_platform not in ("", "tensorflow"):
            raise InputError(
                f"config {entry.name!r}: model_platform={entry.model_platform!r}: "
                "must be 'tensorflow'"
            )
        policy = entry.model_version_policy
        choice = policy.WhichOneof("policy_choice")
        latest = max(policy.latest.num_versions, 1) if choice in (None, "latest") else 0
        specific = frozenset(policy.specific.versions)
        if choice == "specific" and not specific:
            raise InputError(f"config {entry.name!r}: specific: must name versions")
        models[entry.name] = ModelConfig(
            entry.name,
            Path(expanded(entry.base_path)),
            latest,
            specific,
            dict(entry.version_labels),
        )
    return list(models.values())
