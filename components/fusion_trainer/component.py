"""Train: the imported sub-models fused, the head trained, one SavedModel out."""

from collections.abc import Mapping, Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import TrainingRecord
from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.components.channels import (
    filled,
    submodel_channels,
    texts,
    with_inputs,
    with_submodels,
)
from tfx_fusion.components.fusion_trainer import executor
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.spec.views import training_view


class FusionTrainerSpec(ComponentSpec):
    """Each pipeline adds an input channel for each of its sub-models and its embeddings."""

    PARAMETERS = texts(
        executor.SPECIFICATION_KEY,
        executor.STAGES_KEY,
        executor.CHECKPOINTS_KEY,
        executor.PUBLISH_FOLDER_KEY,
        executor.CHAMPION_KEY,
        BINDING_KEY,
    )
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.TRANSFORM_KEY: ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        executor.RECORD_KEY: ChannelParameter(type=TrainingRecord),
    }


class FusionTrainer(base_component.BaseComponent):
    """Fuses frozen sub-models behind merges and new layers, trains, proves, exports."""

    SPEC_CLASS = FusionTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        specification: Fusion,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        submodels: Mapping[str, types.BaseChannel],
        stages: Sequence[StagePlan] | None = None,
        embeddings: Sequence[types.BaseChannel] = (),
        checkpoints: str = "",
        champion: str = "",
        splits: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            specification: what to fuse and how to train it.
            examples: tf.Examples of any ExampleGen, or those that Transform has materialized.
            transform_graph: the Transform graph over them.
            submodels: the channel of each SubmodelImporter, by the sub-model's name.
            stages: what each stage of training learns from; raw rows unless given.
            embeddings: the channel of each EmbeddingGen, in the order of the distinct plans.
            checkpoints: the folder where training writes its state, to go on after a kill; empty
                for none.
            champion: what the champion is (`modules.registry.champion.champion_state`); a
                parameter, so that TFX's cache sees a new one where training starts from it.
            splits: the names of the splits `train` and `eval` where they have others there.
            names: the Transform graph's output for a feature or label, where it has another name.

        Raises SpecificationError for a split or name that is known not to be there, and for a warm
        start without a publish folder.
        """
        warm = specification.training.warm_start is not None
        published = str(specification.publish.path) if warm and specification.publish else ""
        if warm and not published:
            raise SpecificationError(
                "training.warm_start: expected a folder of published models in publish.path, found "
                "none: add it, or remove warm_start"
            )
        raw = [StagePlan(plan=None) for _ in specification.training.stages]
        features, labels = specification.features, specification.labels
        bound = Binding.of(examples, splits, names, features, labels)
        embedded = {
            executor.embeddings_key(position): channel
            for position, channel in enumerate(embeddings)
        }
        spec = with_submodels(FusionTrainerSpec, submodels)
        values = {
            executor.SPECIFICATION_KEY: training_view(specification).model_dump_json(),
            executor.STAGES_KEY: executor.STAGES.dump_json(list(stages or raw)).decode(),
            executor.CHECKPOINTS_KEY: checkpoints,
            executor.PUBLISH_FOLDER_KEY: published,
            executor.CHAMPION_KEY: champion if warm else "",
            BINDING_KEY: bound.model_dump_json(),
            executor.EXAMPLES_KEY: examples,
            executor.TRANSFORM_KEY: transform_graph,
            **submodel_channels(submodels),
            **embedded,
        }
        super().__init__(filled(with_inputs(spec, embedded, standard_artifacts.Examples), values))
