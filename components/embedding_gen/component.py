"""Embed once: what is frozen is computed a single time, for all epochs and experiments."""

from collections.abc import Mapping

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.components.channels import filled, submodel_channels, texts, with_submodels
from tfx_fusion.components.embedding_gen import executor
from tfx_fusion.modules.embedding.plan import EmbeddingPlan


class EmbeddingGenSpec(ComponentSpec):
    """Each pipeline adds one input channel for each sub-model of the plan."""

    PARAMETERS = texts(executor.PLAN_KEY, BINDING_KEY)
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.TRANSFORM_KEY: ChannelParameter(type=standard_artifacts.TransformGraph),
    }
    OUTPUTS = {executor.EMBEDDINGS_KEY: ChannelParameter(type=standard_artifacts.Examples)}


class EmbeddingGen(base_beam_component.BaseBeamComponent):
    """Runs the frozen part of a graph over all rows with Beam."""

    SPEC_CLASS = EmbeddingGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        plan: EmbeddingPlan,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        submodels: Mapping[str, types.BaseChannel],
        splits: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            plan: what is frozen, and what of it a head learns from.
            examples: tf.Examples of any ExampleGen, or those that Transform has materialized.
            transform_graph: the Transform graph over them.
            submodels: the channel of each SubmodelImporter, by the sub-model's name.
            splits: the names of the splits `train` and `eval` where they have others there.
            names: the Transform graph's output for a feature or label, where it has another name.

        Raises SpecificationError for a split or name that is known not to be there.
        """
        imported = list(plan.imported())
        bound = Binding.of(examples, splits, names, plan.features, plan.labels)
        values = {
            executor.PLAN_KEY: plan.model_dump_json(),
            BINDING_KEY: bound.model_dump_json(),
            executor.EXAMPLES_KEY: examples,
            executor.TRANSFORM_KEY: transform_graph,
            **submodel_channels({name: submodels[name] for name in imported}),
        }
        super().__init__(filled(with_submodels(EmbeddingGenSpec, imported), values))
