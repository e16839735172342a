"""Serving check: the candidate answers in a model server as it did before, fast enough."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.serving_check import executor
from tfx_fusion.modules.spec import Serving


class ServingCheckSpec(ComponentSpec):
    """The blessing holds the model that was checked, with warm-up requests, as InfraValidator's."""

    PARAMETERS = texts(executor.LIMITS_KEY, executor.SPLIT_KEY)
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {executor.BLESSING_KEY: ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingCheck(base_component.BaseComponent):
    """Asks the candidate in a server over gRPC and REST; needs no Docker.

    It takes any SavedModel with a `serving_default` of named outputs, which takes serialized
    tf.Examples, or features by their names.
    """

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        limits: Serving | None = None,
        split: str = "eval",
    ) -> None:
        """
        Args:
            examples: raw tf.Examples, as any ExampleGen writes them.
            model: the candidate.
            limits: how many rows are sent, and how fast they must be answered; no limit unless
                given.
            split: the split of the examples to ask for.
        """
        values = {
            executor.LIMITS_KEY: (limits or Serving()).model_dump_json(),
            executor.SPLIT_KEY: split,
            executor.EXAMPLES_KEY: examples,
            executor.MODEL_KEY: model,
        }
        super().__init__(filled(ServingCheckSpec, values))
