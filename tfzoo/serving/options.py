"""Options of the embedded server, named as in `tensorflow_model_server` where it has them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tfzoo.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Settings of the embedded server.

    Attributes:
        file_system_poll_wait_seconds: between polls of the models' folders; 0 polls once.
        model_config_file_poll_wait_seconds: between polls of that file; 0 reads it once.
        max_num_load_retries: retries for a version that fails to load and does not change.
        load_retry_interval_micros: wait before the first retry; it doubles each time.
        allow_version_labels_for_unavailable_models: a label may point to a version that is not
            ready.
        enable_model_warmup: runs a version's warm-up requests before it is available.
        enable_batching: joins concurrent requests for one signature.
        batching_parameters_file: BatchingParameters in text form, for `enable_batching`.
        monitoring_config_file: MonitoringConfig in text form; without it there are no metrics.
        ssl_config_file: SSLConfig in text form: TLS for gRPC. REST has none, as in TF Serving.
        enable_serialization_as_tensor_content: responses carry `tensor_content`, not typed fields.
        rest_api_enable_cors_support: responses carry CORS headers.
        rest_api_timeout_in_ms: a REST call that takes longer is aborted between batches.
        max_bytes: size limit of a request's body, both compressed and not, and of an input tensor.
        max_rows: limit on rows of a request's inputs.
        max_elements: limit on commas and brackets in a JSON body, that is, on numbers and lists.
        max_calls: calls answered at the same time; further calls are refused (UNAVAILABLE, 503).
        max_connections: limit on open HTTP connections.
        request_seconds: time allowed from the first byte of an HTTP request to its last.

    Raises:
        InputError: a value is out of range.
    """

    file_system_poll_wait_seconds: float = 1.0
    model_config_file_poll_wait_seconds: float = 0.0
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 2_000_000
    allow_version_labels_for_unavailable_models: bool = False
    enable_model_warmup: bool = True
    enable_batching: bool = False
    batching_parameters_file: str = ""
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    enable_serialization_as_tensor_content: bool = False
    rest_api_enable_cors_support: bool = False
    rest_api_timeout_in_ms: int = 30_000
    max_bytes: int = 64 << 20
    max_rows: int = 16_384
    max_elements: int = 4 << 20
    max_calls: int = 64
    max_connections: int = 1_000
    request_seconds: float = 60.0

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (bool, str)):
                continue
            lowest = 1 if field.name.startswith("max_") else 0
            if field.name == "max_num_load_retries":
                lowest = 0
            if not lowest <= value < float("inf"):
                raise InputError(f"{field.name}={value}: must be at least {lowest}")
        if self.batching_parameters_file and not self.enable_batching:
            raise InputError(
                f"batching_parameters_file={self.batching_parameters_file!r}: "
                "must come with enable_batching"
            )

    def model_server_flags(self) -> list[str]:
        """The options that differ from their defaults, as flags of `tensorflow_model_server`.

        Raises:
            InputError: `tensorflow_model_server` has no such flag.
        """
        flags = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            if field.name in _OURS:
                raise InputError(f"{field.name}={value}: tensorflow_model_server has no such flag")
            text = str(value).lower() if isinstance(value, bool) else f"{value}"
            if isinstance(value, float):
                text = f"{value:.0f}"
            flags.append(f"--{field.name}={text}")
        return flags


_OURS = (
    "max_bytes",
    "max_rows",
    "max_elements",
    "max_calls",
    "max_connections",
    "request_seconds",
)
