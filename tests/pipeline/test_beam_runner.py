"""Beam's runner on this machine; that it computes the same is shown in tests/components."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tfx_fusion.modules.processes import ending_with_this
from tfx_fusion.pipeline.beam_runner import WORKER


def test_a_worker_is_what_the_shell_becomes_and_ends_with_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/a folder/it's/python")
    commands: list[list[str]] = []

    def keep(runner: Any, pipeline: Any, options: Any) -> Any:
        environments = pipeline.components.environments.values()
        commands.extend(shlex.split(one.payload.decode()) for one in environments)

    monkeypatch.setattr(FnApiRunner, "run_via_runner_api", keep)
    options = ["--runner=tfx_fusion.pipeline.beam_runner.LocalRunner"]
    several = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]

    pipeline = beam.Pipeline(options=PipelineOptions([*options, *several]))
    pipeline | beam.Create([1])
    pipeline.run()

    assert commands == [["exec", *ending_with_this([sys.executable, "-P", "-m", WORKER])]]
