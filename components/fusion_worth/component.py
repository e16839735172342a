"""Worth: what each branch contributes to the fused model, before the model is judged."""

from collections.abc import Mapping, Sequence

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import FusionWorth
from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.components.channels import (
    filled,
    submodel_channels,
    texts,
    with_inputs,
    with_submodels,
)
from tfx_fusion.components.fusion_trainer.executor import STAGES, embeddings_key
from tfx_fusion.components.fusion_worth import executor
from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.spec.views import ablation_view


class FusionWorthGenSpec(ComponentSpec):
    """Each pipeline adds an input channel for each of its sub-models and its embeddings."""

    PARAMETERS = texts(executor.SPECIFICATION_KEY, executor.STAGES_KEY, BINDING_KEY)
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.TRANSFORM_KEY: ChannelParameter(type=standard_artifacts.TransformGraph),
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {executor.WORTH_KEY: ChannelParameter(type=FusionWorth)}


class FusionWorthGen(base_component.BaseComponent):
    """Measures the fused model without each branch, and a head of each branch's own."""

    SPEC_CLASS = FusionWorthGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        specification: Fusion,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        submodels: Mapping[str, types.BaseChannel],
        stages: Sequence[StagePlan],
        embeddings: Sequence[types.BaseChannel],
        model: types.BaseChannel,
        splits: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            specification: what was fused and how it was trained.
            examples: tf.Examples, as FusionTrainer has them.
            transform_graph: the Transform graph over them.
            submodels: the channel of each SubmodelImporter, by the sub-model's name.
            stages: what each stage of training learned from.
            embeddings: the channel of each EmbeddingGen, in the order of the distinct plans.
            model: the exported model.
            splits, names: as FusionTrainer has them.
        """
        bound = Binding.of(examples, splits, names, specification.features, specification.labels)
        embedded = {
            embeddings_key(position): channel for position, channel in enumerate(embeddings)
        }
        spec = with_submodels(FusionWorthGenSpec, submodels)
        values = {
            executor.SPECIFICATION_KEY: ablation_view(specification).model_dump_json(),
            BINDING_KEY: bound.model_dump_json(),
            executor.STAGES_KEY: STAGES.dump_json(list(stages)).decode(),
            executor.EXAMPLES_KEY: examples,
            executor.TRANSFORM_KEY: transform_graph,
            executor.MODEL_KEY: model,
            **submodel_channels(submodels),
            **embedded,
        }
        super().__init__(filled(with_inputs(spec, embedded, standard_artifacts.Examples), values))
