"""Executors run as TFX runs them, on artifacts of files. TFX is imported where it is used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.embedding.plan import EmbeddingPlan, plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel

if TYPE_CHECKING:
    from tfx_fusion.modules.spec import Fusion

SPLITS = {"train": "train", "eval": "eval"}


def binding(splits: Mapping[str, str] = SPLITS, names: Mapping[str, str] | None = None) -> str:
    """The parameter that says what has other names in examples and Transform graph."""
    return json.dumps({"splits": dict(splits), "names": dict(names or {})})


def plan_of(fusion: Fusion) -> EmbeddingPlan:
    """What the only stage of training learns from."""
    interfaces = {
        name: inspect_submodel(path).interface for name, (_, path) in fusion.imported().items()
    }
    [stage] = plan_stages(fusion, build(fusion, interfaces, open_interface))
    assert stage.plan is not None
    return stage.plan


def imported(fusion: Fusion, folder: Path) -> dict[str, Any]:
    """The artifacts of importers, by their input channels."""
    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.channels import submodel_key

    found = {}
    for name, (_, path) in fusion.imported().items():
        artifact = found[submodel_key(name)] = Submodel()
        artifact.uri = str(folder / "imported" / name)
        inspection = inspect_submodel(path)
        artifact.set_string_custom_property("interface", inspection.interface.model_dump_json())
        artifact.set_string_custom_property("digest", inspection.digest)
        copy_submodel(path, Path(artifact.uri))
    return found


def examples_of(folder: Path, splits: Sequence[str]) -> Any:
    """The artifact of examples in a folder."""
    from tfx.types import artifact_utils, standard_artifacts

    found = standard_artifacts.Examples()
    found.uri = str(folder)
    found.split_names = artifact_utils.encode_split_names(list(splits))
    return found


def transform_graph_of(folder: Path) -> Any:
    """The artifact of a Transform graph in a folder."""
    from tfx.types import standard_artifacts

    found = standard_artifacts.TransformGraph()
    found.uri = str(folder)
    return found


def run_embedding(
    fusion: Fusion,
    examples: Sequence[Any],
    transform_graph: Path,
    folder: Path,
    bound: str | None = None,
) -> Any:
    """Runs EmbeddingGen's executor; returns the artifact of embeddings, in `folder`."""
    from tfx.dsl.components.base import base_beam_executor
    from tfx.types import standard_artifacts

    from tfx_fusion.components.binding import BINDING_KEY
    from tfx_fusion.components.embedding_gen import executor
    from tfx_fusion.pipeline.beam import IN_MEMORY

    embeddings = standard_artifacts.Examples()
    embeddings.uri = str(folder / "embeddings")
    submodels = imported(fusion, folder)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=list(IN_MEMORY), tmp_dir=str(folder / "tmp"), unique_id="1"
    )
    executor.Executor(context).Do(
        {
            executor.EXAMPLES_KEY: list(examples),
            executor.TRANSFORM_KEY: [transform_graph_of(transform_graph)],
            **{key: [artifact] for key, artifact in submodels.items()},
        },
        {executor.EMBEDDINGS_KEY: [embeddings]},
        {
            executor.PLAN_KEY: plan_of(fusion).model_dump_json(),
            BINDING_KEY: bound or binding(),
        },
    )
    return embeddings


def run_training(
    fusion: Fusion,
    examples: Sequence[Any],
    transform_graph: Path,
    folder: Path,
    stages: Any = None,
    embeddings: Sequence[Any] = (),
    champion: Path | None = None,
    bound: str | None = None,
) -> dict[str, Any]:
    """Runs FusionTrainer's executor on imported copies; returns the artifacts that it filled."""
    from tfx.types import standard_artifacts

    from tfx_fusion.components.artifacts import TrainingRecord
    from tfx_fusion.components.binding import BINDING_KEY
    from tfx_fusion.components.champion_resolver.executor import current_state
    from tfx_fusion.components.fusion_trainer import executor
    from tfx_fusion.modules.embedding.plan import StagePlan
    from tfx_fusion.modules.spec.views import training_view

    inputs: dict[str, Any] = {
        executor.EXAMPLES_KEY: list(examples),
        executor.TRANSFORM_KEY: [transform_graph_of(transform_graph)],
        **{key: [artifact] for key, artifact in imported(fusion, folder).items()},
    }
    for position, artifact in enumerate(embeddings):
        inputs[executor.embeddings_key(position)] = [artifact]
    outputs = {
        executor.MODEL_KEY: standard_artifacts.Model(),
        executor.RECORD_KEY: TrainingRecord(),
    }
    for key, artifact in outputs.items():
        artifact.uri = str(folder / key)
    raw = [StagePlan(plan=None) for _ in fusion.training.stages]
    executor.Executor().Do(
        inputs,
        {key: [artifact] for key, artifact in outputs.items()},
        {
            executor.SPECIFICATION_KEY: training_view(fusion).model_dump_json(),
            executor.STAGES_KEY: executor.STAGES.dump_json(stages or raw).decode(),
            executor.CHECKPOINTS_KEY: str(folder / "checkpoints"),
            executor.PUBLISH_FOLDER_KEY: str(champion.parent) if champion else "",
            executor.CHAMPION_KEY: current_state(champion.parent) if champion else "",
            BINDING_KEY: bound or binding(),
        },
    )
    return outputs
