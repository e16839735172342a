"""Importers, embedders and trainer of a fusion, wired as they feed each other."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tfx import types
from tfx.dsl.components.base.base_component import BaseComponent

from tfx_fusion.components.embedding_gen.component import EmbeddingGen
from tfx_fusion.components.fusion_trainer.component import FusionTrainer
from tfx_fusion.components.submodel_importer.component import SubmodelImporter
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans, plan_stages
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache
from tfx_fusion.modules.submodels.interface import Inspection
from tfx_fusion.modules.validation.validate import validate

progress = logging.getLogger("fusion.progress")


class Checked(Protocol):
    """A valid specification, with what is known of each imported sub-model."""

    @property
    def specification(self) -> Fusion: ...
    @property
    def inspections(self) -> Mapping[str, Inspection]: ...


@dataclass(frozen=True)
class FusedComponents:
    """The components that make one model of several, for the list of a pipeline.

    Example:
        >>> fused = components_for(load_fusion("fusion.yaml"), examples, transform_graph)
        >>> pusher = Pusher(model=fused.trainer.outputs["model"], ...)
        >>> Pipeline(components=[example_gen, transform, *fused.components, pusher], ...)
    """

    importers: dict[str, SubmodelImporter]
    embedders: tuple[EmbeddingGen, ...]
    trainer: FusionTrainer

    @property
    def components(self) -> list[BaseComponent]:
        """All of them, each after those that feed it."""
        return [*self.importers.values(), *self.embedders, self.trainer]

    @property
    def submodels(self) -> dict[str, types.BaseChannel]:
        """The channel of each imported sub-model."""
        return {name: node.outputs["submodel"] for name, node in self.importers.items()}

    @property
    def embeddings(self) -> list[types.BaseChannel]:
        """The channel of each EmbeddingGen."""
        return [node.outputs["embeddings"] for node in self.embedders]


def components_for(
    checked: Fusion | Checked,
    examples: types.BaseChannel,
    transform_graph: types.BaseChannel,
    splits: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    models: Mapping[str, types.BaseChannel] | None = None,
    checkpoints: str = "",
    folder: str | Path = "runs",
) -> FusedComponents:
    """SubmodelImporters, EmbeddingGens and FusionTrainer of a fusion, behind any ExampleGen.

    Args:
        checked: what `tfx_fusion.validate` returns; or what to fuse, which is checked here.
        examples: tf.Examples of any ExampleGen, or those that Transform has materialized.
        transform_graph: the Transform graph over them.
        splits: the names of the splits `train` and `eval` where they have others there, as
            `{"train": "training"}`.
        names: the Transform graph's output for a feature or label, where it has another name, as
            `{"age": "age_xf"}`; also for `NAME_length`, `NAME.missing` and `NAME.weights`.
        models: the models of Trainers that are imported in place of a sub-model's path. They must
            have the interface of what lies there, which the graph is checked with.
        checkpoints: the folder where training keeps its state, to go on after a kill.
        folder: where it is remembered what sub-models are, and files of applications and presets
            lie, if they are read here.

    Raises SpecificationError with every problem that shows before the pipeline runs.
    """
    if isinstance(checked, Fusion):
        cache = InspectionCache(Path(folder, "submodels").absolute())
        fusion: Fusion = cache.with_paths(checked)
        inspections: Mapping[str, Inspection] = cache.inspect(checked, progress.info)
    else:
        fusion, inspections = checked.specification, checked.inspections
    interfaces = {name: found.interface for name, found in inspections.items()}
    stages = plan_stages(fusion, validate(fusion, interfaces))
    return wire(
        fusion, inspections, stages, examples, transform_graph,
        splits=splits, names=names, models=models, checkpoints=checkpoints,
    )  # fmt: skip


def wire(
    fusion: Fusion,
    inspections: Mapping[str, Inspection],
    stages: Sequence[StagePlan],
    examples: types.BaseChannel,
    transform_graph: types.BaseChannel,
    *,
    splits: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    models: Mapping[str, types.BaseChannel] | None = None,
    checkpoints: str = "",
    champion: str = "",
) -> FusedComponents:
    """The components of a fusion whose stages are planned.

    Args:
        fusion: each imported sub-model has a path.
        inspections: the interface and digest of each of them.
        stages: what each stage of training learns from.
        examples, transform_graph, splits, names, models, checkpoints: as in `components_for`.
        champion: what the champion is, as in FusionTrainer.
    """
    trained = models or {}
    importers = {
        name: SubmodelImporter(
            name,
            "" if name in trained else str(path),
            "" if name in trained else inspections[name].digest,
            submodel.signature,
            submodel.custom_objects,
            submodel.allow_ops,
            submodel.origin,
            model=trained.get(name),
        ).with_id(f"Import-{name.replace('_', '-')}")
        for name, (submodel, path) in fusion.imported().items()
    }
    submodels = {name: node.outputs["submodel"] for name, node in importers.items()}
    embedders = tuple(
        EmbeddingGen(plan, examples, transform_graph, submodels, splits, names).with_id(
            f"Embed-{position + 1}" if position else "Embed"
        )
        for position, plan in enumerate(distinct_plans(list(stages)))
    )
    trainer = FusionTrainer(
        fusion,
        examples,
        transform_graph,
        submodels,
        stages,
        [node.outputs["embeddings"] for node in embedders],
        checkpoints,
        champion,
        splits,
        names,
    ).with_id("Train")
    return FusedComponents(importers, embedders, trainer)
