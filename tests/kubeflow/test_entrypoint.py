"""Each difference of open-source Kubeflow Pipelines that makes TFX's entrypoint fail.

`test_example.py` shows the whole: it runs the example step by step.
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
    patched = entrypoint.patch_invocation(invocation(), INPUTS)

    assert patched["inputs"]["artifacts"]["examples"]["artifacts"][0]["type"] == SCHEMA


def test_the_output_for_the_log_is_left_out() -> None:
    assert list(entrypoint.patch_invocation(invocation(), INPUTS)["outputs"]["artifacts"]) == [
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

    patched = entrypoint.patch_invocation(given, INPUTS)

    assert patched["inputs"]["artifacts"]["examples"]["artifacts"][0]["uri"] == path
    assert patched["outputs"]["artifacts"]["model"]["artifacts"][0]["uri"] == "/s3/b/m"


def test_an_artifact_without_a_name_is_identified_by_its_uri() -> None:
    given = invocation()
    del given["inputs"]["artifacts"]["examples"]["artifacts"][0]["name"]

    patched = entrypoint.patch_invocation(given, INPUTS)

    [artifact] = patched["inputs"]["artifacts"]["examples"]["artifacts"]
    assert artifact["name"] == "minio://bucket/root/p/r/Rows/u/examples"


def test_local_uris_and_null_properties_are_left_out() -> None:
    output = {
        "artifacts": {
            "model": {"artifacts": [{"uri": "/s3/b/m", "metadata": {"blessed": 0, "of": None}}]}
        }
    }

    patched = entrypoint.patch_output(output, {"model": "s3://b/m"})

    assert patched == {"artifacts": {"model": {"artifacts": [{"metadata": {"blessed": 0}}]}}}


def test_a_file_with_a_fixed_place_is_copied_beside_the_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(entrypoint.LOCAL, "s3://", f"{tmp_path}/")
    attempt = tmp_path / "b" / "Report" / "attempt" / "report"
    attempt.mkdir(parents=True)
    (attempt / "report.html").write_text("page")
    output = {"artifacts": {"report": {"artifacts": [{"metadata": {"kept_as": "report.html"}}]}}}

    patched = entrypoint.patch_output(output, {"report": "s3://b/Report/attempt/report"})

    [artifact] = patched["artifacts"]["report"]["artifacts"]
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
def test_stock_tfx_fails_at_each_of_them_and_accepts_what_is_patched() -> None:
    """The oracle is TFX's own parser: where a later TFX accepts these, the patch can go."""
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

    patched = entrypoint.patch_invocation(copy.deepcopy(invocation()), INPUTS)
    [examples] = parsed(patched, "inputs")["examples"]
    assert examples.type_name == "Examples"
    assert examples.uri == "/minio/bucket/root/p/r/Rows/u/examples"
    [model] = parsed(patched, "outputs")["model"]
    assert (model.type_name, model.uri) == ("Model", "/s3/b/m")
