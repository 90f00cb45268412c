"""Checks a server against TensorFlow Serving's documented responses."""

import json
import math
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_cases import ANY, REST, X
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)


def same(answer, wanted):
    if wanted is ANY:
        return True
    if isinstance(wanted, dict):
        return (
            isinstance(answer, dict)
            and answer.keys() == wanted.keys()
            and all(same(answer[key], value) for key, value in wanted.items())
        )
    if isinstance(wanted, list):
        return (
            isinstance(answer, list)
            and len(answer) == len(wanted)
            and all(map(same, answer, wanted))
        )
    if wanted in ("nan", "inf", "-inf") and isinstance(answer, float):
        return math.isnan(answer) if wanted == "nan" else answer == float(wanted)
    if isinstance(wanted, float):
        return isinstance(answer, (int, float)) and math.isclose(answer, wanted, rel_tol=1e-6)
    return type(answer) is type(wanted) and answer == wanted


@pytest.mark.parametrize("case", REST, ids=[case.name for case in REST])
def test_rest(address, case):
    host, port, _, embedded = address
    data = case.body
    if data is not None:
        data = (data if isinstance(data, str) else json.dumps(data)).encode()
    request = urllib.request.Request(f"http://{host}:{port}{case.path}", data, method=case.method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, headers, body = answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        status, headers, body = error.code, error.headers, json.load(error)
    if embedded and case.embedded:
        assert status == 400, case.embedded
        return
    assert status == case.status, body
    assert headers["Content-Type"].startswith("application/json")
    if case.status == 200:
        assert same(body, case.answer), body
    else:
        assert list(body) == ["error"] and case.words in body["error"], body


@pytest.fixture(scope="module")
def channel(address):
    with grpc.insecure_channel(f"{address[0]}:{address[2]}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def named(request, name="half", signature="", **spec):
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    if "label" in spec:
        request.model_spec.version_label = spec["label"]
    return request


def asking(x=X, **spec):
    request = named(predict_pb2.PredictRequest(), **spec)
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array(x, "float32")))
    return request


def with_examples(request, *values):
    for value in values:
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(
            value
        )
    return request


def code(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=30)
    return caught.value.code().name


def test_predict_answers_in_typed_fields(stub):
    """predict_util.cc: AsProtoField is the default."""
    answer = stub.Predict(asking())
    proto = answer.outputs["y"]
    assert list(proto.float_val) == [3, 4, 7] and not proto.tensor_content
    assert proto.dtype == tf.float32.as_datatype_enum
    assert [dim.size for dim in proto.tensor_shape.dim] == [3]
    assert answer.model_spec.name == "half" and answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


def test_predict_of_a_version_and_a_label(stub):
    """model.proto: version_choice."""
    for spec in ({"version": 1}, {"label": "stable"}):
        answer = stub.Predict(asking(**spec))
        assert list(answer.outputs["y"].float_val) == [2.5, 3, 4.5]
        assert answer.model_spec.version.value == 1


def test_output_filter(stub):
    """predict.proto: output_filter."""
    request = asking(np.ones((2, 2)), signature="pairs")
    request.output_filter.append("product")
    assert list(stub.Predict(request).outputs) == ["product"]
    request.output_filter.append("product")
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    del request.output_filter[:]
    request.output_filter.append("nothing")
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"


def test_refusals(stub):
    """The codes of basic_manager.cc, server_core.cc and predict_util.cc."""
    assert code(stub.Predict, predict_pb2.PredictRequest()) in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert code(stub.Predict, asking(name="nobody")) == "NOT_FOUND"
    assert code(stub.Predict, asking(version=9)) == "NOT_FOUND"
    assert code(stub.Predict, asking(label="none")) == "INVALID_ARGUMENT"
    assert code(stub.Predict, asking(signature="nothing")) == "FAILED_PRECONDITION"
    assert code(stub.Predict, named(predict_pb2.PredictRequest())) == "INVALID_ARGUMENT"
    request = asking()
    request.inputs["z"].CopyFrom(request.inputs["x"])
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"
    request = named(predict_pb2.PredictRequest())
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array(X, "float64")))
    assert code(stub.Predict, request) == "INVALID_ARGUMENT"


def test_classify_and_regress(stub):
    """classification.proto, regression.proto."""
    request = named(classification_pb2.ClassificationRequest(), signature="classify")
    answer = stub.Classify(with_examples(request, 1.0, 2.0))
    [first, second] = answer.result.classifications
    assert [(c.label, c.score) for c in first.classes] == [("negative", -3), ("positive", 3)]
    assert second.classes[1].score == 4 and answer.model_spec.version.value == 2
    request = named(regression_pb2.RegressionRequest(), signature="regress")
    answer = stub.Regress(with_examples(request, 1.0, 2.0))
    assert [entry.value for entry in answer.result.regressions] == [3, 4]
    assert code(stub.Regress, named(regression_pb2.RegressionRequest(), signature="regress")) == (
        "INVALID_ARGUMENT"
    )
    request = with_examples(named(regression_pb2.RegressionRequest()), 1.0)
    assert code(stub.Regress, request) == "INVALID_ARGUMENT"  # serving_default takes no examples


def test_multi_inference(stub):
    """inference.proto."""
    request = inference_pb2.MultiInferenceRequest(input=input_pb2.Input())
    for kind in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{kind}")
        task.model_spec.name = "half"
        task.model_spec.signature_name = kind
    first, second = stub.MultiInference(with_examples(request, 1.0)).results
    assert first.classification_result.classifications[0].classes[1].score == 3
    assert second.regression_result.regressions[0].value == 3
    request.tasks[1].model_spec.signature_name = "classify"
    assert code(stub.MultiInference, request) == "INVALID_ARGUMENT"  # twice
    request.tasks[1].method_name = "tensorflow/serving/predict"
    request.tasks[1].model_spec.signature_name = "regress"
    assert code(stub.MultiInference, request) == "UNIMPLEMENTED"


def test_metadata(stub):
    """get_model_metadata.proto: only signature_def is known."""
    request = named(get_model_metadata_pb2.GetModelMetadataRequest())
    assert code(stub.GetModelMetadata, request) == "INVALID_ARGUMENT"
    request.metadata_field.append("signature_def")
    table = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(request).metadata["signature_def"].Unpack(table)
    assert {"serving_default", "pairs", "classify", "regress"} <= set(table.signature_def)
    request.metadata_field.append("other")
    assert code(stub.GetModelMetadata, request) == "INVALID_ARGUMENT"


def test_status(models):
    """get_model_status.proto: the newest first."""
    states = models.GetModelStatus(named(get_model_status_pb2.GetModelStatusRequest()))
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(s.version, s.state) for s in states.model_version_status] == [
        (2, available),
        (1, available),
    ]
    assert all(s.status.error_code == 0 for s in states.model_version_status)
    request = named(get_model_status_pb2.GetModelStatusRequest(), version=9)
    assert code(models.GetModelStatus, request) == "NOT_FOUND"
