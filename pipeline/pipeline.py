"""The pipeline, wired once: which step feeds which. The work itself is in the components."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# By module: `tfx.v1` imports the libraries of Google Cloud too, which takes seconds.
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from tfx_fusion.components.champion_resolver.component import ChampionResolver
from tfx_fusion.components.data_gate.component import DataGate
from tfx_fusion.components.embedding_gen.component import EmbeddingGen
from tfx_fusion.components.fusion_evaluator.component import FusionEvaluator
from tfx_fusion.components.fusion_trainer.component import FusionTrainer
from tfx_fusion.components.fusion_worth.component import FusionWorthGen
from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen
from tfx_fusion.components.serving_check.component import ServingCheck
from tfx_fusion.components.submodel_importer.component import SubmodelImporter
from tfx_fusion.components.tfx_steps import ExampleValidator, StatisticsGen, Transform
from tfx_fusion.components.version_pusher.component import VersionPusher
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans
from tfx_fusion.modules.preprocessing.transform import transform_config
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.spec import BeamStep, Specification
from tfx_fusion.modules.spec.views import TaskView
from tfx_fusion.modules.submodels.interface import Inspection
from tfx_fusion.pipeline.beam import Choice, choose
from tfx_fusion.pipeline.prepare import Workplace

PREPROCESSING_FN = "tfx_fusion.modules.preprocessing.transform.preprocessing_fn"


@dataclass(frozen=True)
class Seen:
    """What the steps depend on beside their specification.

    Each is empty where it cannot be seen before the steps run, as from outside of a cluster.
    """

    data_fingerprint: str = ""  # digest of the data's content
    champion_state: str = ""  # what the champion is
    vocabulary_digests: Mapping[str, str] | None = None  # None reads the files of this machine


def create_steps(
    specification: Specification,
    provenance: Provenance,
    inspections: Mapping[str, Inspection],
    stages: Sequence[StagePlan],
    seen: Seen,
    checkpoints: str,
    train: bool = True,
    beam: Mapping[BeamStep, Choice] | None = None,
) -> list[BaseNode]:
    """All steps of a specification.

    Args:
        specification: a checked one (`pipeline.prepare`).
        provenance: what the model will have come from.
        inspections: the interface and digest of each sub-model.
        stages: what each stage of training learns from.
        seen: what the data and the champion are.
        checkpoints: the folder where training keeps its state.
        train: whether to go on after what training reads has been made.
        beam: how Beam runs each step; only from the specification unless given.
    """
    rows = ManifestExampleGen(RowSource.of(specification), seen.data_fingerprint).with_id("Rows")
    statistics = StatisticsGen(
        examples=rows.outputs["examples"], schema=rows.outputs["schema"]
    ).with_id("Statistics")
    checks = ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=rows.outputs["schema"]
    ).with_id("DataChecks")
    champion = ChampionResolver(
        specification.publish.path,
        seen.champion_state,
        TaskView.of(specification),
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
            submodel.allow_ops,
            submodel.origin,
        ).with_id(f"Import-{name.replace('_', '-')}")
        for name, (submodel, path) in specification.imported().items()
    }
    transform = Transform(
        examples=rows.outputs["examples"],
        schema=rows.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        custom_config=transform_config(
            specification.features, specification.labels, seen.vocabulary_digests
        ),
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
        checkpoints=checkpoints,
        champion=seen.champion_state,
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
        provenance,
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
    choices = beam or choose(specification, None)
    for node in nodes:
        if isinstance(node, EmbeddingGen | FusionTrainer):
            node.add_upstream_node(gate)  # they wait for it, but read nothing of it
        if isinstance(node, BaseBeamComponent):
            # All of Embed, Embed-2 and so on run alike.
            node.with_beam_pipeline_args(choices[node.id.partition("-")[0]].arguments)
    return nodes


def create_pipeline(name: str, steps: Sequence[BaseNode], place: Workplace) -> Pipeline:
    """The steps as a pipeline of this machine, with its metadata in SQLite."""
    return Pipeline(
        pipeline_name=name,
        pipeline_root=str(place.artifacts),
        components=list(steps),
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(str(place.metadata)),
    )
