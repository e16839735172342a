"""The check of a candidate in a model server: what passes it, and its report of what fails."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.check.answers import not_refused, wrong_answers
from tfx_fusion.modules.serving.check.check import REPORT_FILE, check_serving, warmup_requests
from tfx_fusion.modules.serving.check.expected import Expected, expected
from tfx_fusion.modules.serving.check.process import Running, model_server
from tfx_fusion.modules.serving.check.speed import Speed, measure
from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.modules.serving.server.servable import read_warmup, write_warmup
from tfx_fusion.modules.spec import Serving

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def wanted(shared_published: Path, shared_training_inputs: Any) -> Expected:
    split = str(shared_training_inputs.splits["eval"])
    return expected(shared_published / "1", [split], 12)


@pytest.fixture(scope="module")
def running(served_colours: Any) -> Running:
    return Running("fusion serve", served_colours.grpc, served_colours.rest)


@pytest.fixture
def tf_serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a program that calls itself TF Serving on the PATH."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "tensorflow_model_server"
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    return install


# Answers


def test_what_is_expected_is_what_the_evaluator_reads(
    wanted: Expected, shared_published: Path, shared_world: Path
) -> None:
    """The oracle goes another way: from the rows of the data file through the served signature."""
    assert wanted.row_ids == [f"row {number}" for number in range(60, 72)]
    model = PublishedModel(shared_published / "1")
    given = model.ask(wanted.inputs)
    np.testing.assert_allclose(
        wanted.outputs["colour_probabilities"], given["colour_probabilities"], atol=1e-6
    )
    assert wanted.outputs["colour_classes"].tolist() == given["colour_classes"].tolist()


def test_right_answers_and_refusals_leave_nothing_to_report(
    running: Running, wanted: Expected
) -> None:
    assert list(wrong_answers(running, wanted)) == []
    assert list(not_refused(running, wanted)) == []


def test_a_wrong_answer_is_reported_with_its_request_output_and_size(
    running: Running, wanted: Expected
) -> None:
    changed = {name: values.copy() for name, values in wanted.outputs.items()}
    changed["colour_probabilities"][4, 2] += 0.25
    changed["colour_classes"][2, 1] = b"black"
    wrong = replace(wanted, outputs=changed)
    problems = list(wrong_answers(running, wrong))
    assert len(problems) == 4  # each once for a protocol
    for protocol, (classes, chances) in (("gRPC", problems[:2]), ("REST", problems[2:])):
        assert classes.startswith(f"{protocol}, row 62: output 'colour_classes' is ")
        assert "black" in classes
        assert chances.startswith(
            f"{protocol}, row 64: output 'colour_probabilities' is off by 0.25: expected"
        )
        assert chances.endswith("at most 1e-05 is allowed")


def test_an_output_that_is_missing_or_of_another_shape_is_reported(
    running: Running, wanted: Expected
) -> None:
    more = {**wanted.outputs, "taste": np.zeros((12, 1))}
    problems = list(wrong_answers(running, replace(wanted, outputs=more)))
    assert "expected the outputs ['colour_classes', 'colour_probabilities', 'taste']" in problems[0]
    wide = {**wanted.outputs, "colour_probabilities": np.zeros((12, 4))}
    problems = list(wrong_answers(running, replace(wanted, outputs=wide)))
    assert "has shape (1, 3), expected (1, 4)" in problems[0]


def test_a_server_that_answers_malformed_requests_is_reported(
    running: Running,
    wanted: Expected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "tfx_fusion.modules.serving.remote.OverGrpc.ask", lambda self, inputs: wanted.outputs
    )
    answer = requests.Response()
    answer.status_code, answer._content = 200, b"{}"
    monkeypatch.setattr(requests, "post", lambda *_, **__: answer)
    problems = "\n".join(not_refused(running, wanted))
    assert "gRPC, inputs missing: expected a refusal, found an answer" in problems
    assert "gRPC, input 'image' that is no picture: expected a refusal" in problems
    assert "REST, broken JSON: expected code 400, found 200" in problems
    assert "REST, an unknown version: expected code 404, found 200" in problems


# Speed, warm-up


def test_limits_are_compared_with_what_was_measured(running: Running, wanted: Expected) -> None:
    speed = measure(running, wanted, Serving())
    assert 0 < speed.p50_ms <= speed.p95_ms <= speed.p99_ms
    assert speed.rows_per_second > 0
    given = Speed(p50_ms=1.0, p95_ms=2.0, p99_ms=30.0, rows_per_second=100.0)
    assert given.misses(Serving()) == []
    assert given.misses(Serving(max_p99_ms=30.0, min_rows_per_second=100.0)) == []
    assert given.misses(Serving(max_p99_ms=29.5, min_rows_per_second=101.0)) == [
        "p99 is 30.0 ms, serving.max_p99_ms allows 29.5",
        "100.0 rows a second, serving.min_rows_per_second asks for 101",
    ]


def test_the_same_rows_make_the_same_warm_up_file(wanted: Expected, tmp_path: Path) -> None:
    files = []
    for version in (tmp_path / "1", tmp_path / "2"):
        version.mkdir()
        write_warmup(version, warmup_requests(wanted))
        files.append((version / "assets.extra" / "tf_serving_warmup_requests").read_bytes())
    assert files[0] == files[1]
    one, all_ = read_warmup(tmp_path / "1")
    assert [one.inputs["words"].tensor_shape.dim[0].size, len(all_.inputs)] == [1, 2]
    assert all_.inputs["image"].tensor_shape.dim[0].size == 12
    assert one.model_spec.name == "colours"


# The whole check


def test_tf_serving_is_taken_where_it_is_installed_and_a_missed_limit_keeps_no_model(
    shared_published: Path,
    shared_training_inputs: Any,
    tf_serving: Any,
    tmp_path: Path,
) -> None:
    tf_serving(  # stands for it: the same flags, answered by our server
        'for flag in "$@"; do declare "${flag#--}"; done\n'
        f"exec {sys.executable} -P -m tfx_fusion.modules.serving.server.server "
        '"$model_base_path" "$model_name" '
        '"$port" "$rest_api_port"'
    )
    report = check_serving(
        shared_published / "1",
        folders=[str(shared_training_inputs.splits["eval"])],
        limits=Serving(rows=5, max_p99_ms=1e-6),
        folder=tmp_path,
        candidate=tmp_path / "candidate",
    )
    assert (report.rows, report.server) == (5, "tensorflow_model_server")
    assert len(report.problems) == 1
    assert report.problems[0].endswith("serving.max_p99_ms allows 1e-06")
    assert not (tmp_path / "candidate").exists()
    written = json.loads((tmp_path / REPORT_FILE).read_text())
    assert written["problems"] == report.problems
    assert written["speed"]["p99_ms"] > 0


def test_a_server_that_does_not_start_is_reported_with_the_end_of_its_log(
    tf_serving: Any, shared_published: Path, tmp_path: Path
) -> None:
    tf_serving("echo starting; echo no such flag >&2; exit 3")
    with (
        pytest.raises(RunError, match=r"ended with code 3; its log ends: no such flag"),
        model_server(shared_published, "colours", tmp_path / "log"),
    ):
        pass
