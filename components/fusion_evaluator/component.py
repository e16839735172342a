"""Evaluate: the fused model measured by TFMA, and held to the specification's bounds."""

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types.component_spec import ChannelParameter, ComponentSpec
from tfx.types.standard_component_specs import (
    BASELINE_MODEL_KEY,
    EVAL_CONFIG_KEY,
    EXAMPLE_SPLITS_KEY,
    EXAMPLES_KEY,
    MODEL_KEY,
    EvaluatorSpec,
)
from tfx.utils import json_utils

from tfx_fusion.components.artifacts import FusionWorth
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.fusion_evaluator import executor
from tfx_fusion.modules.evaluation.tfma_config import eval_config
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.views import evaluation_view


class FusionEvaluatorSpec(ComponentSpec):
    """The Evaluator's, with the specification beside TFMA's configuration."""

    PARAMETERS = {
        **texts(executor.SPECIFICATION_KEY),
        EVAL_CONFIG_KEY: EvaluatorSpec.PARAMETERS[EVAL_CONFIG_KEY],
        EXAMPLE_SPLITS_KEY: EvaluatorSpec.PARAMETERS[EXAMPLE_SPLITS_KEY],
    }
    INPUTS = {
        EXAMPLES_KEY: EvaluatorSpec.INPUTS[EXAMPLES_KEY],
        MODEL_KEY: EvaluatorSpec.INPUTS[MODEL_KEY],
        BASELINE_MODEL_KEY: EvaluatorSpec.INPUTS[BASELINE_MODEL_KEY],
        executor.WORTH_KEY: ChannelParameter(type=FusionWorth, optional=True),
    }
    OUTPUTS = EvaluatorSpec.OUTPUTS


class FusionEvaluator(base_beam_component.BaseBeamComponent):
    """TFX's Evaluator, with intervals and one blessing for all that a specification demands."""

    SPEC_CLASS = FusionEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        specification: Specification,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel | None = None,
        worth: types.BaseChannel | None = None,
    ) -> None:
        """
        Args:
            specification: what to measure, and what it must keep.
            examples: raw tf.Examples with a split `eval`.
            model: the exported candidate.
            baseline_model: the champion.
            worth: what the fusion is worth, where that was measured.
        """
        values = {
            executor.SPECIFICATION_KEY: evaluation_view(specification).model_dump_json(),
            EVAL_CONFIG_KEY: eval_config(specification, baseline_model is not None),
            EXAMPLE_SPLITS_KEY: json_utils.dumps([executor.SPLIT]),
            EXAMPLES_KEY: examples,
            MODEL_KEY: model,
            BASELINE_MODEL_KEY: baseline_model,
            executor.WORTH_KEY: worth,
        }
        super().__init__(filled(FusionEvaluatorSpec, values))
