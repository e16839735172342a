"""REST as TF Serving's guide describes it, against the signature asked in process."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_status_pb2

Picture = Callable[[int], bytes]


def post(url: str, body: Any) -> requests.Response:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return requests.post(url, data=text, timeout=30)


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


# Rows and columns


def test_rows_are_answered_by_rows(running: Any, oracle: Any, picture: Picture) -> None:
    images, words = [picture(1), picture(2)], ["one", "größer"]
    rows = [{"image": b64(i), "words": w} for i, w in zip(images, words, strict=True)]
    found = post(f"{running.url}:predict", {"instances": rows}).json()
    wanted = oracle(image=images, words=words)
    assert list(found) == ["predictions"]
    for position, row in enumerate(found["predictions"]):
        assert row["total"] == pytest.approx(wanted["total"][position].tolist())
        assert row["colour_probabilities"] == pytest.approx(
            wanted["colour_probabilities"][position].tolist()
        )
        assert row["colour_classes"] == ["red", "green"]


def test_columns_are_answered_by_columns(running: Any, oracle: Any, picture: Picture) -> None:
    images, words = [picture(1), picture(2)], ["one", "two"]
    columns = {"image": [b64(image) for image in images], "words": words}
    found = post(f"{running.url}/versions/3:predict", {"inputs": columns}).json()
    wanted = oracle(image=images, words=words)
    assert set(found["outputs"]) == set(wanted)
    np.testing.assert_allclose(found["outputs"]["total"], wanted["total"], rtol=1e-6)


def test_the_name_of_a_lone_input_and_output_may_be_left_out(running: Any) -> None:
    url = f"{running.url}:predict"
    rows = {"signature_name": "halve", "instances": [[1, 2.5], [3, 4]]}
    assert post(url, rows).json() == {"predictions": [[0.5, 1.25], [1.5, 2.0]]}
    named = {"signature_name": "halve", "instances": [{"x": [1, 2]}]}
    assert post(url, named).json() == {"predictions": [[0.5, 1.0]]}
    columns = {"signature_name": "halve", "inputs": [[1, 2]]}
    assert post(url, columns).json() == {"outputs": [[0.5, 1.0]]}
    columns["inputs"] = {"x": [[1, 2]]}  # type: ignore[assignment]
    assert post(url, columns).json() == {"outputs": [[0.5, 1.0]]}


def test_outputs_that_are_not_rows_are_answered_by_columns_only(running: Any) -> None:
    body = {"signature_name": "add", "inputs": [2**60, 5]}
    found = post(f"{running.url}:predict", body).json()
    assert found == {"outputs": {"sum": 2**60 + 5, "mirror_bytes": [{"b64": "/wA="}]}}
    rows = post(f"{running.url}:predict", {"signature_name": "add", "instances": [1, 2]})
    assert rows.status_code == 400
    assert "ask by columns" in rows.json()["error"]


def test_numbers_that_json_has_not_stand_as_javascript_writes_them(running: Any) -> None:
    body = '{"signature_name": "halve", "instances": [[NaN, -Infinity], [0.1, 1e-30]]}'
    answer = post(f"{running.url}:predict", body)
    [[nan, low], [tenth, small]] = answer.json()["predictions"]
    assert math.isnan(nan)
    assert low == -math.inf
    assert (tenth, small) == (0.05, 5e-31)  # the digits of float32, not those of its double
    assert "-Infinity" in answer.text


def test_base64_without_padding_and_a_compressed_body_are_taken(running: Any) -> None:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(3.0)
    text = b64(example.SerializeToString())["b64"]
    assert text.endswith("=")
    body = {"signature_name": "regress", "inputs": [{"b64": text.rstrip("=")}]}
    answer = requests.post(
        f"{running.url}:predict",
        data=gzip.compress(json.dumps(body).encode()),
        headers={"Content-Encoding": "gzip"},
        timeout=30,
    )
    assert answer.json() == {"outputs": [[6.0]]}


# What is refused


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON parse error"),
        ("{", "JSON parse error"),
        ("[" * 100_000, "JSON parse error"),
        (b"\xff\xfe{}", "JSON parse error"),
        ("[1]", "expected a JSON object, found [1]"),
        ({}, "expected either 'instances' (rows) or 'inputs' (columns)"),
        ({"instances": [1], "inputs": [1]}, "expected either"),
        ({"instances": []}, "expected a list of rows, found []"),
        ({"instances": {"x": 1}}, "expected a list of rows"),
        ({"instances": [1]}, "expected values by name, for there are image, words"),
        ({"instances": [{"words": "a"}]}, "row 0: expected image, words; found words"),
        ({"instances": [{"image": "", "words": "a"}, 3]}, "row 1 has no names"),
        ({"inputs": {"image": [""]}}, "inputs: expected image, words; found image"),
        ({"signature_name": 3, "inputs": [1]}, "signature_name: expected a string"),
        ({"signature_name": "halve", "inputs": [[1, "2"]]}, 'expected float32, found "2"'),
        ({"signature_name": "halve", "inputs": [[1, True]]}, "expected float32, found true"),
        ({"signature_name": "halve", "inputs": [[1, None]]}, "expected float32, found null"),
        ({"signature_name": "halve", "inputs": [[1, 1e39]]}, "overflow"),
        ({"signature_name": "halve", "inputs": [[1, 2], [3]]}, "expected a list of 2, found [3]"),
        ({"signature_name": "halve", "inputs": [[1, [2]]]}, "expected float32, found [2]"),
        ({"signature_name": "add", "inputs": [1, 2.0]}, "expected int64, found 2.0"),
        ({"signature_name": "add", "inputs": [1, 2**63]}, "input 'x'"),
        ({"signature_name": "regress", "inputs": [{"b64": "a?"}]}, "not base64"),
        ({"signature_name": "regress", "inputs": [{"b65": "aa"}]}, "expected string"),
        ({"signature_name": "regress", "inputs": [4]}, "expected string, found 4"),
    ],
)
def test_an_invalid_body_is_refused_with_the_reason(running: Any, body: Any, message: str) -> None:
    answer = post(f"{running.url}:predict", body)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert message in answer.json()["error"]


def test_paths_that_lead_nowhere_are_refused_in_json(running: Any) -> None:
    body = {"signature_name": "halve", "inputs": [[1, 2]]}
    for url, code, message in (
        (f"{running.rest}/v1/models/other:predict", 404, "not found for request: Latest(other)"),
        (f"{running.url}/versions/4:predict", 404, "not found for request: Specific(tiny, 4)"),
        (f"{running.url}/labels/best:predict", 400, "Unrecognized servable version label: best"),
        (f"{running.url}/versions/{10**30}:predict", 400, "not an int64"),
        (f"{running.url}:guess", 400, "Malformed request: POST /v1/models/tiny:guess"),
        (f"{running.rest}/v2/anything", 400, "Malformed request: POST /v2/anything"),
    ):
        answer = post(url, body)
        assert answer.status_code == code
        assert message in answer.json()["error"]
    wrong_way = requests.get(f"{running.url}:predict", timeout=30)
    assert wrong_way.status_code == 400
    assert wrong_way.json()["error"] == "Malformed request: GET /v1/models/tiny:predict"


def test_an_unknown_signature_is_a_failed_precondition_as_in_tf_serving(running: Any) -> None:
    answer = post(f"{running.url}:predict", {"signature_name": "half", "inputs": [1]})
    assert answer.status_code == 412
    assert "did you mean 'halve'?" in answer.json()["error"]


def test_shapes_are_the_model_s_to_check_as_in_tf_serving(running: Any) -> None:
    body = {"signature_name": "halve", "instances": [1.0, 2.0, 5.0]}
    assert post(f"{running.url}:predict", body).json() == {"predictions": [0.5, 1.0, 2.5]}
    wrong = post(f"{running.url}:predict", {"inputs": {"image": [["a"]], "words": ["b"]}})
    assert wrong.status_code == 400


# Classify, Regress


def test_classify_and_regress_take_examples_as_objects(running: Any) -> None:
    body = {"signature_name": "classify", "examples": [{"x": 1.5}, {"x": [-2.0]}]}
    found = post(f"{running.url}:classify", body).json()
    assert found == {"results": [[["red", 1.5], ["green", -1.5]], [["red", -2.0], ["green", 2.0]]]}
    body = {"signature_name": "regress", "context": {"x": 4.0}, "examples": [{}, {"city": "oslo"}]}
    assert post(f"{running.url}:regress", body).json() == {"results": [8.0, 8.0]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "examples: expected a list of objects"),
        ({"examples": [3]}, "item 0: expected an object of features, found 3"),
        ({"examples": [{"x": [1, "a"]}]}, "item 0: 'x': expected strings, decimals or whole"),
        ({"examples": [{"x": 1}]}, "Data types don't match"),
        ({"examples": [{"y": 1.0}]}, "Feature: x (data type: float) is required"),
    ],
)
def test_invalid_examples_are_refused(running: Any, body: Any, message: str) -> None:
    answer = post(f"{running.url}:regress", {"signature_name": "regress", **body})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


# Metadata, status, health, metrics


def test_metadata_has_tf_servings_form(running: Any) -> None:
    found = requests.get(f"{running.url}/metadata", timeout=30).json()
    assert found["model_spec"] == {
        "name": "tiny", "version": "3", "signature_name": "",
    }  # fmt: skip
    signatures = found["metadata"]["signature_def"]["signature_def"]
    image = signatures["serving_default"]["inputs"]["image"]
    assert image["dtype"] == "DT_STRING"
    assert image["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"


def test_status_reads_as_tf_servings_message(running: Any) -> None:
    for url in (running.url, f"{running.url}/versions/3"):
        answer = requests.get(url, timeout=30)
        assert answer.json() == {
            "model_version_status": [
                {"version": "3", "state": "AVAILABLE",
                 "status": {"error_code": "OK", "error_message": ""}}
            ]
        }  # fmt: skip
        json_format.Parse(answer.text, get_model_status_pb2.GetModelStatusResponse())
    assert requests.get(f"{running.url}/versions/2", timeout=30).status_code == 404


def test_health_and_metrics(running: Any) -> None:
    assert requests.get(f"{running.rest}/healthz", timeout=30).status_code == 200

    def asked() -> dict[str, float]:
        page = requests.get(f"{running.rest}/monitoring/prometheus/metrics", timeout=30).text
        lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    done = 'fusion_requests_total{code="OK",method="predict",protocol="rest"}'
    wrong = 'fusion_requests_total{code="INVALID_ARGUMENT",method="predict",protocol="rest"}'
    before = asked()
    post(f"{running.url}:predict", {"signature_name": "halve", "inputs": [[1, 2], [3, 4]]})
    post(f"{running.url}:predict", "{")
    after = asked()
    assert after[done] - before.get(done, 0) == 1
    assert after[wrong] - before.get(wrong, 0) == 1
    assert after["fusion_batch_rows_sum"] - before["fusion_batch_rows_sum"] == 2
    assert after["fusion_model_version"] == 3
