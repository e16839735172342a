"""gRPC with TF Serving's own stubs, against the signature asked in process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

Picture = Callable[[int], bytes]
SECONDS = 30


def request_of(signature: str = "", **inputs: Any) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "tiny"
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def refused(call: Callable[..., Any], request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=SECONDS)
    return caught.value.code(), caught.value.details()


def examples_of(request: Any, *values: float) -> None:
    for value in values:
        added = request.input.example_list.examples.add()
        added.features.feature["x"].float_list.value.append(value)


# Predict


@pytest.mark.parametrize("rows", [1, 3, 70])
def test_predict_gives_what_the_signature_gives(
    running: Any, oracle: Any, picture: Picture, rows: int
) -> None:
    inputs = {"image": [picture(n) for n in range(rows)], "words": ["w" * n for n in range(rows)]}
    response = running.prediction.Predict(request_of(**inputs), timeout=SECONDS)
    wanted = oracle(**inputs)
    assert set(response.outputs) == set(wanted)
    for name, values in wanted.items():
        found = tf.make_ndarray(response.outputs[name])
        assert found.shape == values.shape
        if values.dtype == object:
            assert found.tolist() == values.tolist()
        else:
            np.testing.assert_allclose(found, values, rtol=1e-6)
    assert len(response.outputs["total"].float_val) == rows  # where clients look for it
    assert response.model_spec.name == "tiny"
    assert response.model_spec.version.value == 3


def test_requests_sent_at_once_each_get_their_own_answer(
    running: Any, oracle: Any, picture: Picture
) -> None:
    def ask(number: int) -> Any:
        image = [picture(n) for n in range(number, number + number % 3 + 1)]
        inputs = {"image": image, "words": ["x" * number] * len(image)}
        response = running.prediction.Predict(request_of(**inputs), timeout=SECONDS)
        return tf.make_ndarray(response.outputs["total"]), oracle(**inputs)["total"]

    with ThreadPoolExecutor(32) as threads:
        for found, wanted in threads.map(ask, range(200)):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_picture_that_cannot_be_decoded_harms_no_request_but_its_own(
    running: Any, oracle: Any, picture: Picture
) -> None:
    def ask(number: int) -> Any:
        broken = number % 5 == 2
        inputs = {"image": [b"no picture" if broken else picture(number)], "words": ["x"]}
        try:
            response = running.prediction.Predict(request_of(**inputs), timeout=SECONDS)
        except grpc.RpcError as error:
            return broken, error.code()
        np.testing.assert_allclose(
            tf.make_ndarray(response.outputs["total"]), oracle(**inputs)["total"], rtol=1e-5
        )
        return broken, None

    with ThreadPoolExecutor(32) as threads:
        for broken, code in threads.map(ask, range(100)):
            assert code == (grpc.StatusCode.INVALID_ARGUMENT if broken else None)


def test_a_signature_without_open_rows_and_a_filter_of_outputs(running: Any) -> None:
    request = request_of("add", x=np.array([3, 4], np.int64))
    request.output_filter.append("sum")
    response = running.prediction.Predict(request, timeout=SECONDS)
    assert set(response.outputs) == {"sum"}
    assert tf.make_ndarray(response.outputs["sum"]) == 7
    request.output_filter.append("sum")
    assert "found sum more than once" in refused(running.prediction.Predict, request)[1]


def test_the_answer_names_the_signature_that_answered(running: Any, oracle: Any) -> None:
    request = request_of("halve", x=[[1.0, 2.0]])
    response = running.prediction.Predict(request, timeout=SECONDS)
    assert response.model_spec.signature_name == "halve"
    assert response.model_spec.version.value == 3


def test_each_service_reports_its_health_by_name(running: Any) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    for name in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        found = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_a_request_without_rows_is_answered_without_rows(running: Any) -> None:
    response = running.prediction.Predict(
        request_of("halve", x=np.zeros((0, 2), np.float32)), timeout=SECONDS
    )
    assert tf.make_ndarray(response.outputs["half"]).shape == (0, 2)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (request_of(words=["a"]), "INVALID_ARGUMENT", "takes the inputs image, words; found words"),
        (request_of("halv", x=[[1.0, 2.0]]), "FAILED_PRECONDITION", "did you mean 'halve'?"),
        (request_of("halve", x=[[1, 2]]), "INVALID_ARGUMENT", "expected float32 (None, 2), found"),
        (request_of(image=["a", "b"], words=["a"]), "INVALID_ARGUMENT", ""),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(
    running: Any, request_: Any, code: str, message: str
) -> None:
    found, details = refused(running.prediction.Predict, request_)
    assert found.name == code
    assert message in details


def test_a_few_bytes_cannot_ask_for_all_memory(running: Any) -> None:
    request = request_of("halve")
    request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=1, float_val=[1.0]))
    for size in (1 << 40, 2):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    code, details = refused(running.prediction.Predict, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "wants 2199023255552 values" in details


def test_a_tensor_that_contradicts_itself_is_refused(running: Any) -> None:
    for proto, message in (
        (tensor_pb2.TensorProto(dtype=1, tensor_content=b"abc"), "do not fill"),
        (tensor_pb2.TensorProto(dtype=99, float_val=[1.0]), "do not fill"),
    ):
        request = request_of("halve")
        request.inputs["x"].CopyFrom(proto)
        request.inputs["x"].tensor_shape.dim.add(size=2)
        code, details = refused(running.prediction.Predict, request)
        assert code == grpc.StatusCode.INVALID_ARGUMENT
        assert message in details
    request.inputs["x"].tensor_shape.dim[0].size = -1
    assert "expected a shape of whole numbers" in refused(running.prediction.Predict, request)[1]


def test_another_model_version_or_label_is_not_found(running: Any) -> None:
    request = request_of("halve", x=[[1.0, 2.0]])
    request.model_spec.name = "other"
    code, details = refused(running.prediction.Predict, request)
    assert code == grpc.StatusCode.NOT_FOUND
    assert details == "Servable not found for request: Latest(other); 'tiny' has 3"
    request.model_spec.name = "tiny"
    request.model_spec.version.value = 4
    assert refused(running.prediction.Predict, request)[0] == grpc.StatusCode.NOT_FOUND
    request.model_spec.version_label = "stable"
    assert refused(running.prediction.Predict, request)[0] == grpc.StatusCode.INVALID_ARGUMENT


# Classify, Regress


def test_classify_gives_labels_with_scores(running: Any) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = "tiny", "classify"
    examples_of(request, 1.5, -2.0)
    result = running.prediction.Classify(request, timeout=SECONDS).result
    found = [[(one.label, one.score) for one in row.classes] for row in result.classifications]
    assert found == [[("red", 1.5), ("green", -1.5)], [("red", -2.0), ("green", 2.0)]]


def test_regress_takes_a_context_that_is_common_to_all_examples(running: Any) -> None:
    request = regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = "tiny", "regress"
    given = request.input.example_list_with_context
    given.context.features.feature["x"].float_list.value.append(4.0)
    given.examples.add()
    given.examples.add()
    result = running.prediction.Regress(request, timeout=SECONDS).result
    assert [one.value for one in result.regressions] == [8.0, 8.0]


def test_classify_and_regress_need_a_signature_over_examples(running: Any) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "tiny"
    examples_of(request, 1.0)
    assert "ask it with Predict" in refused(running.prediction.Classify, request)[1]
    request.model_spec.signature_name = "regress"
    assert "gives 'classes' or 'scores'" in refused(running.prediction.Classify, request)[1]
    request.ClearField("input")
    assert "expected examples, found none" in refused(running.prediction.Classify, request)[1]


# Metadata, status, health


def test_metadata_reports_the_signatures(running: Any) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "tiny"
    response = running.prediction.GetModelMetadata(request, timeout=SECONDS)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def["serving_default"].inputs) == {"image", "words"}
    assert response.model_spec.version.value == 3
    request.metadata_field[:] = ["weights"]
    assert "expected signature_def" in refused(running.prediction.GetModelMetadata, request)[1]


def test_status_reports_the_versions(running: Any) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "tiny"
    [found] = running.model.GetModelStatus(request, timeout=SECONDS).model_version_status
    assert (found.version, found.state) == (3, found.AVAILABLE)
    request.model_spec.version.value = 9
    assert refused(running.model.GetModelStatus, request)[0] == grpc.StatusCode.NOT_FOUND


def test_health_follows_grpcs_protocol(running: Any) -> None:
    stub = health_pb2_grpc.HealthStub(running.channel)
    found = stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_what_is_not_offered_is_said_so(running: Any) -> None:
    request = inference_pb2.MultiInferenceRequest()
    assert refused(running.prediction.MultiInference, request)[0] == grpc.StatusCode.UNIMPLEMENTED
