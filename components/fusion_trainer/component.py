"""Train: the imported sub-models fused, the head trained, one SavedModel out."""

from collections.abc import Mapping, Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import TrainingRecord
from tfx_fusion.components.channels import (
    filled,
    submodel_channels,
    texts,
    with_inputs,
    with_submodels,
)
from tfx_fusion.components.fusion_trainer import executor
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.views import training_view


class FusionTrainerSpec(ComponentSpec):
    """Each pipeline adds an input channel for each of its sub-models and its embeddings."""

    PARAMETERS = texts(
        executor.SPECIFICATION_KEY,
        executor.STAGES_KEY,
        executor.CHECKPOINTS_KEY,
        executor.PUBLISH_FOLDER_KEY,
        executor.CHAMPION_KEY,
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
        specification: Specification,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        submodels: Mapping[str, types.BaseChannel],
        stages: Sequence[StagePlan],
        embeddings: Sequence[types.BaseChannel],
        checkpoints: str,
        champion: str = "",
    ) -> None:
        """
        Args:
            specification: what to fuse and how to train it.
            examples: raw tf.Examples, splits `train` and `eval`.
            transform_graph: the Transform graph over them.
            submodels: the channel of each SubmodelImporter, by the sub-model's name.
            stages: what each stage of training learns from.
            embeddings: the channel of each EmbeddingGen, in the order of the distinct plans.
            checkpoints: the folder where training keeps its state, to go on after a kill.
            champion: what the champion is (`modules.registry.champion.champion_state`); a
                parameter, so that TFX's cache sees a new one where training starts from it.
        """
        warm = specification.training.warm_start is not None
        embedded = {
            executor.embeddings_key(position): channel
            for position, channel in enumerate(embeddings)
        }
        spec = with_submodels(FusionTrainerSpec, submodels)
        values = {
            executor.SPECIFICATION_KEY: training_view(specification).model_dump_json(),
            executor.STAGES_KEY: executor.STAGES.dump_json(list(stages)).decode(),
            executor.CHECKPOINTS_KEY: checkpoints,
            executor.PUBLISH_FOLDER_KEY: str(specification.publish.path) if warm else "",
            executor.CHAMPION_KEY: champion if warm else "",
            executor.EXAMPLES_KEY: examples,
            executor.TRANSFORM_KEY: transform_graph,
            **submodel_channels(submodels),
            **embedded,
        }
        super().__init__(filled(with_inputs(spec, embedded, standard_artifacts.Examples), values))
