"""Evaluate: a model measured by TFMA, and held to a specification's bounds."""

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
from tfx_fusion.modules.evaluation.tfma_config import predictions_config
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.spec.evaluated import EvaluationView


class FusionEvaluatorSpec(ComponentSpec):
    """The Evaluator's, with what is measured beside TFMA's configuration."""

    PARAMETERS = {
        **texts(executor.TASK_KEY),
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
    """TFX's Evaluator, with intervals and one blessing for all that a specification demands.

    It takes any SavedModel with named outputs: one of FusionTrainer says itself what its labels
    are; of any other they are read from the tf.Examples. A category is predicted as a probability
    of each class, or with `kind="binary"` of the second of two.

    **Example**, behind TFX's own components:

        FusionEvaluator(
            EvaluationView(
                labels={"tip": CategoryLabel(type="category", column="tip", classes=(0, 1))},
                outputs={"tip": EvaluatedOutput(kind="binary", metrics=("auc",))},
                evaluation=Evaluation(thresholds={"tip": {"auc": Threshold(min=0.8)}}),
            ),
            examples=example_gen.outputs["examples"],
            model=trainer.outputs["model"],
            baseline_model=resolver.outputs["model"],
        )
    """

    SPEC_CLASS = FusionEvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        specification: Fusion | EvaluationView,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel | None = None,
        worth: types.BaseChannel | None = None,
        split: str = "eval",
    ) -> None:
        """
        Args:
            specification: what to measure, and the bounds to meet; or only that part of one.
            examples: raw tf.Examples, as any ExampleGen writes them.
            model: the exported candidate.
            baseline_model: the champion, of a ChampionResolver or any other resolver; where it
                gives none, bounds of a change are skipped.
            worth: what the fusion is worth, where that was measured.
            split: the split of the examples to evaluate on.
        """
        task = EvaluationView.of(specification)
        values = {
            executor.TASK_KEY: task.model_dump_json(),
            EVAL_CONFIG_KEY: predictions_config(task, baseline_model is not None),
            EXAMPLE_SPLITS_KEY: json_utils.dumps([split]),
            EXAMPLES_KEY: examples,
            MODEL_KEY: model,
            BASELINE_MODEL_KEY: baseline_model,
            executor.WORTH_KEY: worth,
        }
        super().__init__(filled(FusionEvaluatorSpec, values))
