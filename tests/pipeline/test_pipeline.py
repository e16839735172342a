"""The pipeline as it is wired: what waits for what, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.component


@pytest.mark.parametrize("train", [True, False], ids=["run", "tune"])
def test_what_trains_waits_for_the_data_gate_and_reads_nothing_of_it(
    world: Path, train: bool
) -> None:
    from tfx.dsl.compiler.compiler import Compiler

    from tfx_fusion.modules.registry.version_record import Provenance
    from tfx_fusion.pipeline.pipeline import Seen, create_pipeline, create_steps
    from tfx_fusion.pipeline.prepare import Workplace, prepare
    from tfx_fusion.pipeline.run import stage_plans

    prepared = prepare(world / "fusion.yaml", lambda _: None)
    specification, inspections = prepared.specification, prepared.inspections
    nodes = create_steps(
        specification,
        Provenance.of(specification, inspections, "fingerprint", "20261123-041501"),
        inspections,
        stage_plans(prepared),
        Seen("fingerprint"),
        str(world / "state"),
        train,
    )
    pipeline = create_pipeline("colours", nodes, Workplace.of(world / "fusion.yaml"))

    compiled = {
        node.pipeline_node.node_info.id: node.pipeline_node
        for node in Compiler().compile(pipeline).nodes
    }

    waiting = {"Embed", "Train"} & compiled.keys()
    assert waiting == ({"Embed", "Train"} if train else {"Embed"})
    for name in waiting:
        assert "DataGate" in compiled[name].upstream_nodes
        producers = {
            channel.producer_node_query.id
            for given in compiled[name].inputs.inputs.values()
            for channel in given.channels
        }
        assert "Rows" in producers
        assert "DataGate" not in producers
