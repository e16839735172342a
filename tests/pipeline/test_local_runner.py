"""Steps run by TFX on this machine: how they are watched, and that another runner reuses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows_step import run_rows

from tfx_fusion.modules.spec import Beam

pytestmark = pytest.mark.component


def test_a_step_runs_as_its_component_says_and_is_reused_by_another_runner(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from absl import logging
    from tfx.orchestration.portable import launcher

    from tfx_fusion.components.manifest_example_gen import executor
    from tfx_fusion.modules.report.summaries import RowsSummary

    logging.set_verbosity(logging.INFO)  # a run's steps are known by what is logged
    given: list[list[str]] = []
    make = executor.Executor._make_beam_pipeline

    def spied(self: executor.Executor) -> object:
        given.append(self._beam_pipeline_args)
        return make(self)

    monkeypatch.setattr(executor.Executor, "_make_beam_pipeline", spied)

    operators = dict(launcher.DEFAULT_EXECUTOR_OPERATORS)
    repeated = Beam(options={"direct_runner_bundle_repeat": 1})
    first = run_rows(world, beam=repeated)
    assert first.status == "done"
    assert isinstance(first.summary, RowsSummary)
    assert first.text == first.summary.text
    assert "--direct_runner_bundle_repeat=1" in given[0]
    again = run_rows(world, beam=Beam(runner="multi_process"))
    assert again.status == "reused"
    assert again.seconds_saved
    assert (again.summary, again.outputs) == (first.summary, first.outputs)
    with (world / "data" / "rows.csv").open("a") as stream:
        stream.write("\n")
    assert run_rows(world).status == "done"
    assert len(given) == 2
    assert not any("repeat" in argument for argument in given[1])
    assert operators == launcher.DEFAULT_EXECUTOR_OPERATORS


def test_no_component_has_the_runner_among_its_parameters(world: Path) -> None:
    from tfx_fusion.modules.registry.version_record import Provenance
    from tfx_fusion.pipeline.pipeline import Seen, create_steps
    from tfx_fusion.pipeline.prepare import prepare
    from tfx_fusion.pipeline.run import stage_plans

    prepared = prepare(world / "fusion.yaml", lambda _: None)

    def parameters(beam: Beam) -> dict[str, dict[str, object]]:
        specification = prepared.specification.model_copy(update={"beam": beam})
        origin = Provenance.of(specification, prepared.inspections, "fingerprint", "run")
        nodes = create_steps(
            specification, origin, prepared.inspections, stage_plans(prepared), Seen(),
            str(world / "state"),
        )  # fmt: skip
        return {node.id: dict(node.exec_properties) for node in nodes}

    one, other = parameters(Beam()), parameters(Beam(runner="multi_process", workers=3))
    # What is published says all of its specification, and is never reused.
    assert {name for name in one if one[name] != other[name]} == {"Publish"}
