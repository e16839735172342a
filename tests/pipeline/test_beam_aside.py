"""Another runner of Beam runs nothing anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfx_fusion.modules.spec import Beam, load_specification

pytestmark = pytest.mark.component


def test_a_stage_runs_as_its_component_says_and_is_reused_by_another_runner(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from absl import logging
    from tfx import v1 as tfx
    from tfx.orchestration.portable import launcher

    from tfx_fusion.components.manifest_example_gen import executor
    from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen
    from tfx_fusion.modules.data.source import RowSource
    from tfx_fusion.pipeline.beam import choose
    from tfx_fusion.pipeline.stages import Stage, StageRun

    logging.set_verbosity(logging.INFO)  # a run's stages are known by what is logged
    given: list[list[str]] = []
    make = executor.Executor._make_beam_pipeline

    def spied(self: executor.Executor) -> object:
        given.append(self._beam_pipeline_args)
        return make(self)

    monkeypatch.setattr(executor.Executor, "_make_beam_pipeline", spied)
    specification = load_specification(world / "fusion.yaml")

    def run(beam: Beam, fingerprint: str = "f1") -> Stage:
        rows = ManifestExampleGen(RowSource.of(specification), fingerprint).with_id("Rows")
        choices = choose(specification.model_copy(update={"beam": beam}), None)
        rows.with_beam_pipeline_args(choices["Rows"].arguments)
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="rows",
            pipeline_root=str(world / "artifacts"),
            components=[rows],
            enable_cache=True,
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(world / "metadata.sqlite")
            ),
        )
        stages = StageRun(pipeline, lambda _: None)
        stages.run()
        return stages.stages["Rows"]

    operators = dict(launcher.DEFAULT_EXECUTOR_OPERATORS)
    repeated = Beam(options={"direct_runner_bundle_repeat": 1})
    assert run(repeated).status == "done"
    assert "--direct_runner_bundle_repeat=1" in given[0]
    assert run(Beam(runner="multi_process")).status == "reused"
    assert run(Beam(), "f2").status == "done"
    assert len(given) == 2
    assert not any("repeat" in argument for argument in given[1])
    assert operators == launcher.DEFAULT_EXECUTOR_OPERATORS


def test_no_component_is_told_the_runner(world: Path) -> None:
    from tfx_fusion.modules.registry.version_record import Provenance
    from tfx_fusion.pipeline.pipeline import Seen, create_stages
    from tfx_fusion.pipeline.prepare import prepare
    from tfx_fusion.pipeline.run import stage_plans

    prepared = prepare(world / "fusion.yaml", lambda _: None)

    def parameters(beam: Beam) -> dict[str, dict[str, object]]:
        specification = prepared.specification.model_copy(update={"beam": beam})
        origin = Provenance.of(specification, prepared.inspections, "fingerprint", "run")
        stages = create_stages(
            specification, origin, prepared.inspections, stage_plans(prepared), Seen(),
            str(world / "state"),
        )  # fmt: skip
        return {node.id: dict(node.exec_properties) for node in stages}

    one, other = parameters(Beam()), parameters(Beam(runner="multi_process", workers=3))
    # What is published says all of its specification, and is never reused.
    assert {name for name in one if one[name] != other[name]} == {"Publish"}
