"""Rows and Embed in processes of their own: the same files as in memory, byte for byte.

Each starts two workers, which import all that they need; so there is one test for each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.local_job_service import SubprocessSdkWorker
from folders import files

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.embedding.columns import read_contents
from tfx_fusion.modules.spec import Beam, Specification, load_specification
from tfx_fusion.pipeline.beam import choose

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def specification(shared_world: Path) -> Specification:
    found = load_specification(shared_world / "fusion.yaml")
    return found.model_copy(update={"beam": Beam(runner="multi_process", workers=2)})


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers that Beam starts as processes."""
    workers: list[str] = []
    run = SubprocessSdkWorker.run

    def spied(worker: Any) -> None:
        workers.append(worker._worker_id)
        run(worker)

    monkeypatch.setattr(SubprocessSdkWorker, "run", spied)
    return workers


def new_pipeline(specification: Specification) -> apache_beam.Pipeline:
    arguments = choose(specification, None)["Rows"].arguments
    return apache_beam.Pipeline(options=PipelineOptions(list(arguments)))


def test_rows_are_the_same_from_several_processes(
    specification: Specification, started: list[str], tmp_path: Path
) -> None:
    from tfx_fusion.modules.data.write import collect, write_examples

    in_memory = specification.model_copy(update={"beam": Beam()})
    source = RowSource.of(specification)
    counts = []
    for name, one in (("memory", in_memory), ("processes", specification)):
        splits = {split: str(tmp_path / name / split) for split in ("train", "eval")}
        with new_pipeline(one) as pipeline:
            write_examples(pipeline, source, splits, str(tmp_path / name / "notes"))
        counts.append(collect(source, str(tmp_path / name / "notes"), str(tmp_path / name)))

    assert len(set(started)) == 2
    assert counts[0] == counts[1]
    found = files(tmp_path / "processes")
    assert len(found) > 4  # several shards of each split, and the rejected rows
    assert found == files(tmp_path / "memory")


def test_embeddings_are_the_same_from_several_processes(
    specification: Specification,
    shared_training_inputs: Any,
    embed: Callable[..., list[str]],
    started: list[str],
    tmp_path: Path,
) -> None:
    from tfx_fusion.modules.embedding.embedder import Embedder
    from tfx_fusion.modules.embedding.plan import distinct_plans, plan_stages
    from tfx_fusion.modules.embedding.write import collect, write_embeddings
    from tfx_fusion.modules.graph.build import build, open_interface
    from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel

    places, interfaces = {}, {}
    for name, (_, path) in specification.imported().items():
        places[name], interfaces[name] = tmp_path / name, inspect_submodel(path).interface
        copy_submodel(path, places[name])
    stages = plan_stages(specification, build(specification, interfaces, open_interface))
    [in_memory] = embed(stages, interfaces, places, shared_training_inputs, tmp_path)

    [plan] = distinct_plans(stages)
    transform = str(shared_training_inputs.transform_graph / "transform_fn")
    make = partial(Embedder, plan, interfaces, places, transform)
    given = {split: str(path) for split, path in shared_training_inputs.splits.items()}
    folder = tmp_path / "processes"
    wanted = {split: f"{folder}/Split-{split}" for split in given}
    with new_pipeline(specification) as pipeline:
        write_embeddings(pipeline, make, given, wanted, f"{folder}/notes")
    collect(plan, f"{folder}/notes", str(folder))

    assert len(set(started)) == 2
    assert read_contents(str(folder)).rows == {"train": 60, "eval": 30}
    assert files(folder) == files(Path(in_memory))
