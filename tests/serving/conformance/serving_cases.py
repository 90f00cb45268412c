"""One case per line of TensorFlow Serving's documentation of its REST and gRPC interfaces.

A REST case is a request and its required response. `says` is the line of api_rest.md (or of the
named source file) that it tests.
"""

from dataclasses import dataclass
from typing import Any

ANY = object()
"""A value that is not checked."""


@dataclass(frozen=True)
class Rest:
    """A request over HTTP.

    Attributes:
        name: name of the case.
        says: the line of the documentation.
        path: path after the address.
        body: sent as JSON; a string is sent unchanged; None for GET.
        status: HTTP status of the response.
        answer: the JSON of the response, with `ANY` for values that are not checked.
        words: strings in the response's "error".
        method: default: GET without a body, POST with one.
        embedded: why the embedded server responds differently; "" if it does not.
    """

    name: str
    says: str
    path: str
    body: Any = None
    status: int = 200
    answer: Any = ANY
    words: str = ""
    method: str | None = None
    embedded: str = ""


MODEL = "/v1/models/half"
AVAILABLE = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
X = [1.0, 2.0, 5.0]


def examples(*values):
    return [{"x": value} for value in values]


def kinds(**values):
    return {"whole": [1], "flag": [True], "text": ["a"], "wide": [0.5]} | values


REST = [
    # Model status API
    Rest(
        "status of all versions",
        "GET /v1/models/${MODEL_NAME}: if omitted status for all versions is returned",
        MODEL,
        answer={"model_version_status": [{"version": v, **AVAILABLE} for v in ("2", "1")]},
    ),
    Rest(
        "status of a version",
        "/versions/${VERSION}",
        f"{MODEL}/versions/1",
        answer={"model_version_status": [{"version": "1", **AVAILABLE}]},
    ),
    Rest(
        "status by label",
        "/labels/${LABEL}",
        f"{MODEL}/labels/canary",
        answer={"model_version_status": [{"version": "2", **AVAILABLE}]},
    ),
    Rest(
        "status of an unknown model",
        'in case of error: {"error": <message>}; get_model_status_impl.cc: NOT_FOUND',
        "/v1/models/nobody",
        status=404,
        words="Could not find any versions of model nobody",
    ),
    Rest(
        "status of an unknown version",
        "get_model_status_impl.cc: NOT_FOUND",
        f"{MODEL}/versions/9",
        status=404,
        words="Could not find version 9 of model half",
    ),
    Rest(
        "status without a model",
        "http_rest_api_handler.cc: Missing model name in request.",
        "/v1/models",
        status=400,
        words="Missing model name in request",
    ),
    # Model metadata API
    Rest(
        "metadata",
        "GET /v1/models/${MODEL_NAME}/metadata: of the latest version",
        f"{MODEL}/metadata",
        answer={
            "model_spec": {"name": "half", "signature_name": "", "version": "2"},
            "metadata": {"signature_def": {"signature_def": ANY}},
        },
    ),
    Rest(
        "metadata of a version",
        "/versions/${VERSION}/metadata",
        f"{MODEL}/versions/1/metadata",
        answer={
            "model_spec": {"name": "half", "signature_name": "", "version": "1"},
            "metadata": ANY,
        },
    ),
    Rest(
        "metadata by label",
        "/labels/${LABEL}/metadata",
        f"{MODEL}/labels/stable/metadata",
        answer={
            "model_spec": {"name": "half", "signature_name": "", "version": "1"},
            "metadata": ANY,
        },
    ),
    Rest(
        "metadata of an unknown model",
        "basic_manager.cc: NOT_FOUND",
        "/v1/models/nobody/metadata",
        status=404,
        words="Servable not found for request: Latest(nobody)",
    ),
    # Predict API: row format
    Rest(
        "rows of one input",
        "when there is only one named input, the value of instances is its value",
        f"{MODEL}:predict",
        {"instances": X},
        answer={"predictions": [3.0, 4.0, 7.0]},
    ),
    Rest(
        "rows of named inputs",
        "each item is an object containing input name/tensor value pairs",
        f"{MODEL}:predict",
        {"instances": [{"x": 1.0}, {"x": 2.0}]},
        answer={"predictions": [3.0, 4.0]},
    ),
    Rest(
        "rows of several outputs",
        "if the model outputs multiple named tensors, we output a list of objects",
        f"{MODEL}:predict",
        {"signature_name": "pairs", "instances": [[1, 2], [3, 4]]},
        answer={"predictions": [{"sum": 3.0, "product": 2.0}, {"sum": 7.0, "product": 12.0}]},
    ),
    Rest(
        "a version",
        "optional /versions/${VERSION}",
        f"{MODEL}/versions/1:predict",
        {"instances": X},
        answer={"predictions": [2.5, 3.0, 4.5]},
    ),
    Rest(
        "a label",
        "optional /labels/${LABEL}",
        f"{MODEL}/labels/stable:predict",
        {"instances": X},
        answer={"predictions": [2.5, 3.0, 4.5]},
    ),
    Rest(
        "an unknown label",
        "server_core.cc: INVALID_ARGUMENT",
        f"{MODEL}/labels/none:predict",
        {"instances": X},
        status=400,
        words="Unrecognized servable version label: none",
    ),
    Rest(
        "an unknown version",
        "basic_manager.cc: NOT_FOUND",
        f"{MODEL}/versions/9:predict",
        {"instances": X},
        status=404,
        words="Servable not found for request: Specific(half, 9)",
    ),
    Rest(
        "names in any case",
        "http_rest_api_util.cc: (?i)",
        "/V1/Models/half:Predict",
        {"instances": [1.0]},
        answer={"predictions": [3.0]},
    ),
    # Predict API: column format
    Rest(
        "columns of one input",
        "the value for inputs can be a single input tensor",
        f"{MODEL}:predict",
        {"inputs": X},
        answer={"outputs": [3.0, 4.0, 7.0]},
    ),
    Rest(
        "columns of named inputs",
        "or a map of input name to tensors",
        f"{MODEL}:predict",
        {"inputs": {"x": X}},
        answer={"outputs": [3.0, 4.0, 7.0]},
    ),
    Rest(
        "columns of several outputs",
        "if the model outputs multiple named tensors, we output an object instead",
        f"{MODEL}:predict",
        {"signature_name": "pairs", "inputs": [[1, 2], [3, 4]]},
        answer={"outputs": {"sum": [3.0, 7.0], "product": [2.0, 12.0]}},
    ),
    Rest(
        "columns of an output without rows",
        "use the columnar format where the 0-th dimension is not the same",
        f"{MODEL}:predict",
        {"signature_name": "total", "inputs": [1, 2, 3]},
        answer={"outputs": 6},
    ),
    Rest(
        "rows of an output without rows",
        "json_tensor.cc: has no shape information",
        f"{MODEL}:predict",
        {"signature_name": "total", "instances": [1, 2, 3]},
        status=400,
    ),
    Rest(
        "both forms",
        "a request can have either of them but NOT both",
        f"{MODEL}:predict",
        {"inputs": X, "instances": X},
        status=400,
    ),
    Rest("no form", "Missing 'inputs' or 'instances' key", f"{MODEL}:predict", {}, status=400),
    Rest(
        "no rows",
        "json_tensor.cc: No values in 'instances' array",
        f"{MODEL}:predict",
        {"instances": []},
        status=400,
    ),
    Rest(
        "an unknown signature",
        "http_rest_api_handler.cc: INVALID_ARGUMENT",
        f"{MODEL}:predict",
        {"signature_name": "nothing", "instances": X},
        status=400,
        words="nothing",
    ),
    Rest(
        "a signature's name that is no string",
        "'signature_name' key must be a string value",
        f"{MODEL}:predict",
        {"signature_name": 3, "instances": X},
        status=400,
        words="signature_name",
    ),
    Rest(
        "no JSON", "JSON Parse error", f"{MODEL}:predict", "{", status=400, words="JSON Parse error"
    ),
    Rest(
        "nothing", "The document is empty", f"{MODEL}:predict", "", status=400, words="JSON Parse"
    ),
    Rest("no object", "json_tensor.cc: Is not object", f"{MODEL}:predict", [1], status=400),
    Rest(
        "text after the object",
        "json_tensor.cc: kParseStopWhenDoneFlag",
        f"{MODEL}:predict",
        '{"instances": [1.0]} and more',
        answer={"predictions": [3.0]},
        embedded="refuses the body with 400: half a request is more likely than a trailer",
    ),
    Rest(
        "a missing outer dimension",
        "instances is a list: of each item one row",
        f"{MODEL}:predict",
        {"signature_name": "pairs", "instances": [1, 2]},
        status=400,
    ),
    Rest(
        "ragged rows",
        "json_tensor.cc: Encountered list at unexpected size",
        f"{MODEL}:predict",
        {"signature_name": "pairs", "inputs": [[1, 2], [3]]},
        status=400,
    ),
    Rest(
        "mixed rows",
        "json_tensor.cc: found at incorrect level",
        f"{MODEL}:predict",
        {"signature_name": "pairs", "inputs": [[1, 2], 3]},
        status=400,
    ),
    Rest(
        "a missing input",
        "Missing named input: ... in 'inputs' object",
        f"{MODEL}:predict",
        {"signature_name": "kinds", "inputs": {"whole": [1]}},
        status=400,
    ),
    Rest(
        "an input too many, in rows",
        "keys must be equal to",
        f"{MODEL}:predict",
        {"instances": [{"x": 1.0, "z": 1.0}]},
        status=400,
    ),
    Rest(
        "an input too many, in columns",
        "json_tensor.cc looks up the signature's inputs alone",
        f"{MODEL}:predict",
        {"inputs": {"x": [1.0], "z": [1.0]}},
        answer={"outputs": [3.0]},
        embedded="refuses it with 400: most likely it is misspelt",
    ),
    # JSON mapping
    Rest(
        "every kind of value",
        "DT_BOOL true, false; DT_STRING string; DT_INT64 number; DT_DOUBLE number",
        f"{MODEL}:predict",
        {"signature_name": "kinds", "inputs": kinds()},
        answer={
            "outputs": {
                "whole": [1],
                "flag": [True],
                "text": ["a"],
                "raw_bytes": [{"b64": "YQ=="}],
                "wide": [0.5],
            }
        },
    ),
    Rest(
        "int64 beyond 2^53",
        "DT_INT64: a decimal number",
        f"{MODEL}:predict",
        {
            "signature_name": "kinds",
            "instances": [{"whole": 2**63 - 1, "flag": False, "text": "", "wide": 1e300}],
        },
        answer={
            "predictions": [
                {
                    "whole": 2**63 - 1,
                    "flag": False,
                    "text": "",
                    "raw_bytes": {"b64": ""},
                    "wide": 1e300,
                }
            ]
        },
    ),
    Rest(
        "int64 beyond 2^63",
        "json_tensor.cc: IsInt64",
        f"{MODEL}:predict",
        {"signature_name": "kinds", "inputs": kinds(whole=[2**63])},
        status=400,
    ),
    Rest(
        "a fraction for an integer",
        "json_tensor.cc: IsInt",
        f"{MODEL}:predict",
        {"signature_name": "total", "inputs": [1.5]},
        status=400,
    ),
    Rest(
        "a whole fraction for an integer",
        "json_tensor.cc: IsInt",
        f"{MODEL}:predict",
        {"signature_name": "total", "inputs": [1.0]},
        status=400,
    ),
    Rest(
        "a number for a string",
        "json_tensor.cc: is not of expected type",
        f"{MODEL}:predict",
        {"signature_name": "kinds", "inputs": kinds(text=[1])},
        status=400,
    ),
    Rest(
        "NaN and infinity",
        "NaN, Infinity, -Infinity tokens are recognized, in requests and answers",
        f"{MODEL}:predict",
        '{"inputs": [NaN, Infinity, -Infinity, 1.0]}',
        answer={"outputs": ["nan", "inf", "-inf", 3.0]},
    ),
    Rest(
        "binary strings",
        'encapsulate it in a JSON object having b64 as the key; "_bytes" as a suffix',
        f"{MODEL}:predict",
        {"signature_name": "kinds", "inputs": kinds(text=[{"b64": "aGk="}])},
        answer={
            "outputs": {
                "whole": [1],
                "flag": [True],
                "text": ["hi"],
                "raw_bytes": [{"b64": "aGk="}],
                "wide": [0.5],
            }
        },
    ),
    Rest(
        "floating point precision",
        "the value will be silently converted",
        f"{MODEL}:predict",
        {"inputs": [1435774380]},
        answer={"outputs": [1435774336.0]},
    ),
    # Classify and Regress API
    Rest(
        "classify",
        "list of class label/score pairs for each example",
        f"{MODEL}:classify",
        {"signature_name": "classify", "examples": examples(1.0, 2.0)},
        answer={
            "results": [
                [["negative", -3.0], ["positive", 3.0]],
                [["negative", -4.0], ["positive", 4.0]],
            ]
        },
    ),
    Rest(
        "classify, features as lists and a context",
        "common context shared by all examples",
        f"{MODEL}:classify",
        {"signature_name": "classify", "context": {"x": [1.0]}, "examples": [{}]},
        answer={"results": [[["negative", -3.0], ["positive", 3.0]]]},
    ),
    Rest(
        "regress",
        "one regression value for each example, in the same order",
        f"{MODEL}:regress",
        {"signature_name": "regress", "examples": examples(1.0, 2.0, 5.0)},
        answer={"results": [3.0, 4.0, 7.0]},
    ),
    Rest(
        "regress by label",
        "optional /labels/${LABEL}",
        f"{MODEL}/labels/stable:regress",
        {"signature_name": "regress", "examples": examples(1.0)},
        answer={"results": [2.5]},
    ),
    Rest(
        "classify without examples",
        "json_tensor.cc: key 'examples' is expected",
        f"{MODEL}:classify",
        {"signature_name": "classify"},
        status=400,
        words="examples",
    ),
    Rest(
        "classify with an empty list",
        "json_tensor.cc: 'examples' value is an empty array",
        f"{MODEL}:classify",
        {"signature_name": "classify", "examples": []},
        status=400,
    ),
    Rest(
        "classify by a predict signature",
        "classifier.cc: INVALID_ARGUMENT",
        f"{MODEL}:classify",
        {"examples": examples(1.0)},
        status=400,
    ),
    Rest(
        "examples of mixed values",
        "json_tensor.cc: Unexpected element type in feature",
        f"{MODEL}:regress",
        {"signature_name": "regress", "examples": [{"x": [1.0, "a"]}]},
        status=400,
    ),
    # paths
    Rest(
        "a wrong method",
        "http_rest_api_handler.cc: Malformed request",
        f"{MODEL}:predict",
        status=400,
        words="Malformed request: GET",
    ),
    Rest(
        "a wrong path",
        "Malformed request",
        "/v1/else",
        status=400,
        words="Malformed request: GET /v1/else",
    ),
    Rest(
        "a version that is no number",
        "http_rest_api_util.cc: (\\d+)",
        f"{MODEL}/versions/x",
        status=400,
        words="Malformed request",
    ),
    Rest(
        "a version beyond int64",
        "Failed to convert version",
        f"{MODEL}/versions/9999999999999999999",
        status=400,
        words="Failed to convert version",
    ),
]
