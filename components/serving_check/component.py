"""Serving check: the candidate answers in a model server as it did in training, fast enough."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.serving_check import executor
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.views import serving_check_view


class ServingCheckSpec(ComponentSpec):
    """The blessing holds the model that was checked, with warm-up requests, as InfraValidator's."""

    PARAMETERS = texts(executor.SPECIFICATION_KEY)
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {executor.BLESSING_KEY: ChannelParameter(type=standard_artifacts.InfraBlessing)}


class ServingCheck(base_component.BaseComponent):
    """Asks the candidate in a server over gRPC and REST; needs no Docker."""

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self, specification: Specification, examples: types.BaseChannel, model: types.BaseChannel
    ) -> None:
        """
        Args:
            specification: what the model was made from, with its limits in `serving`.
            examples: raw tf.Examples, of which the split `eval` is asked for.
            model: the candidate.
        """
        values = {
            executor.SPECIFICATION_KEY: serving_check_view(specification).model_dump_json(),
            executor.EXAMPLES_KEY: examples,
            executor.MODEL_KEY: model,
        }
        super().__init__(filled(ServingCheckSpec, values))
