"""The step Rows as a pipeline of its own: the cheapest that reads data and has a cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import Beam, load_specification

if TYPE_CHECKING:  # it imports TFX
    from tfx_fusion.pipeline.steps import Step


def data_fingerprint(world: Path) -> str:
    """The fingerprint of a world's data as they are now."""
    source = RowSource.of(load_specification(world / "fusion.yaml"))
    return fingerprint(source.data.path, source.features)


def run_rows(world: Path, seen: str | None = None, beam: Beam | None = None) -> Step:
    """Runs Rows of a world's specification in `artifacts` and `metadata.sqlite` beside it.

    Args:
        world: a folder with a specification and its data.
        seen: the data's fingerprint when the run began; taken now unless given.
        beam: how Beam runs the step.
    """
    from tfx.orchestration.metadata import sqlite_metadata_connection_config
    from tfx.orchestration.pipeline import Pipeline

    from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen
    from tfx_fusion.pipeline.beam import choose
    from tfx_fusion.pipeline.local_runner import StepRun

    specification = load_specification(world / "fusion.yaml")
    content = data_fingerprint(world) if seen is None else seen
    rows = ManifestExampleGen(RowSource.of(specification), content).with_id("Rows")
    choices = choose(specification.model_copy(update={"beam": beam or Beam()}), None)
    rows.with_beam_pipeline_args(choices["Rows"].arguments)
    pipeline = Pipeline(
        pipeline_name="rows",
        pipeline_root=str(world / "artifacts"),
        components=[rows],
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(
            str(world / "metadata.sqlite")
        ),
    )
    step_run = StepRun(pipeline, lambda _: None)
    step_run.run()
    return step_run.steps["Rows"]
