"""What of open-source Kubeflow Pipelines makes TFX's entrypoint fail, each cured by itself.

That the whole stands is shown where the example runs step by step (`test_example.py`).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf import json_format

from tfx_fusion.kubeflow import entrypoint
from tfx_fusion.modules.errors import RunError, user_error

SCHEMA = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
INPUTS = {"artifacts": {"examples": {"artifactType": SCHEMA}}}


def invocation() -> dict[str, Any]:
    """An ExecutorInput as KFP's driver makes it."""
    return {
        "inputs": {
            "parameterValues": {"rate": 0.5},
            "artifacts": {
                "examples": {
                    "artifacts": [
                        {
                            "name": "17",
                            "type": {"instanceSchema": ""},
                            "uri": "minio://bucket/root/p/r/Rows/u/examples",
                            "metadata": {"split_names": '["train"]'},
                        }
                    ]
                }
            },
        },
        "outputs": {
            "artifacts": {
                "model": {
                    "artifacts": [
                        {"type": {"instanceSchema": "title: tfx.Model\n"}, "uri": "s3://b/m"}
                    ]
                },
                "executor-logs": {
                    "artifacts": [{"type": {"schemaTitle": "system.Artifact"}, "uri": "s3://b/l"}]
                },
            },
            "outputFile": "/outputs/output_metadata.json",
        },
    }


def test_an_input_without_a_type_gets_the_one_that_the_component_declares() -> None:
    cured = entrypoint.cure_invocation(invocation(), INPUTS)

    assert cured["inputs"]["artifacts"]["examples"]["artifacts"][0]["type"] == SCHEMA


def test_the_output_for_the_log_is_left_out() -> None:
    assert list(entrypoint.cure_invocation(invocation(), INPUTS)["outputs"]["artifacts"]) == [
        "model"
    ]


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/key", "/minio/bucket/key"),
        ("s3://bucket/key", "/s3/bucket/key"),
        ("gs://bucket/key", "/gcs/bucket/key"),
        ("/a/folder", "/a/folder"),
    ],
)
def test_the_executor_gets_the_launchers_local_copies(uri: str, path: str) -> None:
    given = invocation()
    given["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] = uri

    cured = entrypoint.cure_invocation(given, INPUTS)

    assert cured["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == path
    assert cured["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/s3/b/m"


def test_an_artifact_without_a_name_is_known_by_its_place() -> None:
    given = invocation()
    del given["inputs"]["artifacts"]["examples"]["artifacts"][0]["name"]

    cured = entrypoint.cure_invocation(given, INPUTS)

    [artifact] = cured["inputs"]["artifacts"]["examples"]["artifacts"]
    assert artifact["name"] == "minio://bucket/root/p/r/Rows/u/examples"


def test_local_places_and_empty_properties_are_not_told() -> None:
    told = {
        "artifacts": {
            "model": {"artifacts": [{"uri": "/s3/b/m", "metadata": {"blessed": 0, "of": None}}]}
        }
    }

    cured = entrypoint.cure_output(told, {"model": "s3://b/m"})

    assert cured == {"artifacts": {"model": {"artifacts": [{"metadata": {"blessed": 0}}]}}}


def test_a_file_that_belongs_at_a_fixed_place_is_kept_beside_the_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(entrypoint.LOCAL, "s3://", f"{tmp_path}/")
    attempt = tmp_path / "b" / "Report" / "attempt" / "report"
    attempt.mkdir(parents=True)
    (attempt / "report.html").write_text("page")
    told = {"artifacts": {"report": {"artifacts": [{"metadata": {"kept_as": "report.html"}}]}}}

    cured = entrypoint.cure_output(told, {"report": "s3://b/Report/attempt/report"})

    [artifact] = cured["artifacts"]["report"]["artifacts"]
    assert artifact["uri"] == "s3://b/Report/report.html"
    assert (tmp_path / "b" / "Report" / "report.html").read_text() == "page"


def test_a_users_error_is_printed_for_who_reads_the_pods_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = RunError("row 7: expected a number")

    def fails(argv: list[str]) -> None:  # as Beam does where its worker is another process
        raise RuntimeError(f"Traceback ...\n{refused.line} [while running 'Write']")

    monkeypatch.setattr(entrypoint, "run", fails)

    done = CliRunner().invoke(entrypoint.command, ["--anything"])

    assert isinstance(done.exception, RunError)
    assert str(done.exception) == str(refused)
    assert user_error(done.stderr) is not None


@pytest.mark.component
def test_stock_tfx_fails_at_each_of_them_and_takes_what_is_cured() -> None:
    """The oracle is TFX's own parser: where a later TFX takes these, the cure can go."""
    from kfp.pipeline_spec import pipeline_spec_pb2
    from tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils import (
        parse_raw_artifact_dict,
    )

    def parsed(given: dict[str, Any], side: str) -> Any:
        message = json_format.ParseDict(given, pipeline_spec_pb2.ExecutorInput())
        return parse_raw_artifact_dict(getattr(message, side).artifacts)

    with pytest.raises(AttributeError):  # the type is empty
        parsed(invocation(), "inputs")
    with pytest.raises(ImportError):  # there is no module `system`
        parsed(invocation(), "outputs")

    cured = entrypoint.cure_invocation(copy.deepcopy(invocation()), INPUTS)
    [examples] = parsed(cured, "inputs")["examples"]
    assert examples.type_name == "Examples"
    assert examples.uri == "/minio/bucket/root/p/r/Rows/u/examples"
    [model] = parsed(cured, "outputs")["model"]
    assert (model.type_name, model.uri) == ("Model", "/s3/b/m")
