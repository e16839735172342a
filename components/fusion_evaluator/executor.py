"""FusionEvaluator's work."""

from pathlib import Path

from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.standard_component_specs import BLESSING_KEY, EXAMPLES_KEY
from tfx.utils import path_utils

from tfx_fusion.components.base import Artifacts, Execution, StepExecutor, summary_of
from tfx_fusion.components.channels import BASELINE_KEY, MODEL_KEY, with_comparable_baseline
from tfx_fusion.modules.evaluation.ablation import read_ablation, with_ablation
from tfx_fusion.modules.evaluation.predictions import (
    CANDIDATE,
    CHAMPION,
    RowsBefore,
    predictions_folder,
    write_predictions,
)
from tfx_fusion.modules.evaluation.quality import Quality, assess, write_quality
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.report.summaries import EvaluationSummary, RowsSummary, TrainingSummary
from tfx_fusion.modules.spec import Specification

SPECIFICATION_KEY = "specification"
WORTH_KEY = "worth"
SPLIT = "eval"


class Executor(StepExecutor, evaluator.Executor):
    """Predicts once on Beam, measures with TFMA as TFX does, judges, blesses the model or not."""

    def execute(self, run: Execution) -> EvaluationSummary:
        inputs = run.inputs
        if run.has_input(BASELINE_KEY):
            inputs = with_comparable_baseline(inputs)
        specification = run.parameter(SPECIFICATION_KEY, Specification)
        results = run.output_folder(constants.EVALUATION_KEY)

        predicted = self._predict(specification, inputs, results)
        # By its class: `super().Do` would come back here.
        evaluator.Executor.Do(
            self, {**inputs, EXAMPLES_KEY: [predicted]}, run.outputs, run.parameters
        )
        quality = assess(specification, results, _rows_before(run))
        if run.has_input(WORTH_KEY):
            ablation = read_ablation(run.input_folder(WORTH_KEY))
            quality = with_ablation(quality, ablation, specification)
        write_quality(quality, results)
        bless(run.output(BLESSING_KEY), quality)
        return EvaluationSummary(metrics=quality.overall())

    def _predict(
        self, specification: Specification, inputs: Artifacts, results: Path
    ) -> types.Artifact:
        """The predictions of the models, written on Beam as the examples that TFMA reads."""
        models = {CANDIDATE: _serving_model(inputs[MODEL_KEY])}
        champion = inputs.get(BASELINE_KEY)
        if champion:
            models[CHAMPION] = _serving_model(champion)
        folder = predictions_folder(results)
        with self._make_beam_pipeline() as pipeline:
            write_predictions(
                pipeline,
                specification,
                models,
                artifact_utils.get_split_uri(inputs[EXAMPLES_KEY], SPLIT),
                folder,
            )
        predicted = standard_artifacts.Examples()
        predicted.uri = str(folder.parent)
        predicted.split_names = artifact_utils.encode_split_names([SPLIT])
        return predicted


def _rows_before(run: Execution) -> RowsBefore | None:
    """None where other components have read the rows or trained the model."""
    rows, trained = (summary_of([run.input(key)]) for key in (EXAMPLES_KEY, MODEL_KEY))
    if not isinstance(rows, RowsSummary) or not isinstance(trained, TrainingSummary):
        return None
    read = rows.train + rows.eval + rows.rejected
    return RowsBefore(read, rows.rejected + trained.rejected_train)


def _serving_model(artifacts: list[types.Artifact]) -> Path:
    return Path(path_utils.serving_model_path(artifact_utils.get_single_uri(artifacts)))


def bless(blessing: types.Artifact, quality: Quality) -> None:
    """Writes the blessing in the form that the Pusher reads; TFX's own no stays a no.

    TFX itself gives neither where it knows of no bound: those of a change, while there is no
    champion, and of the fusion's worth are none to it.
    """
    blessed, not_blessed = (
        Path(blessing.uri, name)
        for name in (constants.BLESSED_FILE_NAME, constants.NOT_BLESSED_FILE_NAME)
    )
    good = quality.is_bounded and not quality.missed and not not_blessed.exists()
    (not_blessed if good else blessed).unlink(missing_ok=True)
    write_text(blessed if good else not_blessed, "")
    blessing.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY,
        constants.BLESSED_VALUE if good else constants.NOT_BLESSED_VALUE,
    )
