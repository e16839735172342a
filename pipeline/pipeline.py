"""The pipeline, wired once: which stage feeds which. The work itself is in the components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfx import v1 as tfx
from tfx.dsl.components.base.base_node import BaseNode

from components.champion_resolver.component import ChampionResolver
from components.data_gate.component import DataGate
from components.embedding_gen.component import EmbeddingGen
from components.fusion_evaluator.component import FusionEvaluator
from components.fusion_trainer.component import FusionTrainer
from components.fusion_worth.component import FusionWorthGen
from components.manifest_example_gen.component import ManifestExampleGen
from components.serving_check.component import ServingCheck
from components.submodel_importer.component import SubmodelImporter
from components.version_pusher.component import VersionPusher
from modules.embedding.plan import StagePlan, distinct_plans
from modules.examples.source import RowSource
from modules.preprocessing.transform import transform_config
from modules.registry.champion import Task
from modules.registry.manifest import Provenance
from modules.spec import Specification
from modules.submodels.interface import Inspection
from pipeline.beam import BEAM_ARGS

PREPROCESSING_FN = "modules.preprocessing.transform.preprocessing_fn"


@dataclass(frozen=True)
class Places:
    """Where a pipeline keeps what it makes: artifacts, ML Metadata (SQLite), checkpoints."""

    root: str
    metadata: str
    checkpoints: str


def create_pipeline(
    specification: Specification,
    inspections: Mapping[str, Inspection],
    stages: Sequence[StagePlan],
    data_fingerprint: str,
    champion_state: str,
    places: Places,
    run: str,
    train: bool = True,
) -> tfx.dsl.Pipeline:
    """All stages of a specification.

    Args:
        specification: checked already (`pipeline.prepare`).
        inspections: the interface and digest of each sub-model.
        stages: what each stage of training learns from.
        data_fingerprint: digest of the data's content; empty where it cannot be seen yet.
        champion_state: what the champion is; empty where that cannot be seen yet.
        places: where artifacts and metadata go.
        run: the name of this run of it.
        train: whether to go on after what training reads has been made.
    """
    rows = ManifestExampleGen(RowSource.of(specification), data_fingerprint).with_id("Rows")
    statistics = tfx.components.StatisticsGen(
        examples=rows.outputs["examples"], schema=rows.outputs["schema"]
    ).with_id("Statistics")
    checks = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=rows.outputs["schema"]
    ).with_id("DataChecks")
    champion = ChampionResolver(
        specification.publish.path,
        champion_state,
        Task.of(specification),
    ).with_id("Champion")
    gate = DataGate(
        specification,
        examples=rows.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        anomalies=checks.outputs["anomalies"],
        champion=champion.outputs["champion"],
    ).with_id("DataGate")
    importers = {
        name: SubmodelImporter(
            name,
            str(path),
            inspections[name].digest,
            submodel.signature,
            submodel.custom_objects,
            submodel.origin,
        ).with_id(f"Import-{name.replace('_', '-')}")
        for name, (submodel, path) in specification.imported().items()
    }
    transform = tfx.components.Transform(
        examples=rows.outputs["examples"],
        schema=rows.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        custom_config=transform_config(specification.features, specification.labels),
        materialize=False,  # decoded images never go to disk
        disable_statistics=True,
    ).with_id("Transform")
    submodels = {name: node.outputs["submodel"] for name, node in importers.items()}
    embedders = [
        EmbeddingGen(
            plan,
            examples=rows.outputs["examples"],
            transform_graph=transform.outputs["transform_graph"],
            submodels=submodels,
        ).with_id(f"Embed-{position + 1}" if position else "Embed")
        for position, plan in enumerate(distinct_plans(list(stages)))
    ]
    trainer = FusionTrainer(
        specification,
        examples=rows.outputs["examples"],
        transform_graph=transform.outputs["transform_graph"],
        submodels=submodels,
        stages=stages,
        embeddings=[node.outputs["embeddings"] for node in embedders],
        checkpoints=places.checkpoints,
        champion=champion_state,
    ).with_id("Train")
    worth = None
    if specification.evaluation.worth:
        worth = FusionWorthGen(
            specification,
            examples=rows.outputs["examples"],
            transform_graph=transform.outputs["transform_graph"],
            submodels=submodels,
            stages=stages,
            embeddings=[node.outputs["embeddings"] for node in embedders],
            model=trainer.outputs["model"],
        ).with_id("Worth")
    evaluator = FusionEvaluator(
        specification,
        examples=rows.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=champion.outputs["champion"],
        worth=worth.outputs["worth"] if worth else None,
    ).with_id("Evaluate")
    serving = ServingCheck(
        specification, examples=rows.outputs["examples"], model=trainer.outputs["model"]
    ).with_id("ServingCheck")
    pusher = VersionPusher(
        specification.publish.path,
        specification.publish.keep,
        Provenance.of(specification, inspections, data_fingerprint, run),
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=serving.outputs["blessing"],
        evaluation=evaluator.outputs["evaluation"],
        champion=champion.outputs["champion"],
        data_gate=gate.outputs["data_gate"],
    ).with_id("Publish")
    data = [rows, statistics, checks, champion, gate]
    read: list[BaseNode] = [*data, *importers.values(), transform, *embedders]
    judged = [trainer, *([worth] if worth else []), evaluator, serving, pusher]
    nodes = [*read, *judged] if train else read
    for node in nodes:
        if isinstance(node, EmbeddingGen | FusionTrainer):
            node.add_upstream_node(gate)  # they wait for it, but read nothing of it
    return tfx.dsl.Pipeline(
        pipeline_name=specification.name,
        pipeline_root=places.root,
        components=nodes,
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            places.metadata
        ),
        beam_pipeline_args=list(BEAM_ARGS),
    )
