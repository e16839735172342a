"""FusionEvaluator's work."""

from pathlib import Path

from tfx import types
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as evaluator
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.standard_component_specs import (
    BASELINE_MODEL_KEY,
    BLESSING_KEY,
    EXAMPLE_SPLITS_KEY,
    EXAMPLES_KEY,
    MODEL_KEY,
)
from tfx.utils import json_utils

from tfx_fusion.components.base import Execution, StepExecutor, summary_of
from tfx_fusion.components.channels import BOUNDS_KEY, MODEL_DIGEST_KEY, model_folder
from tfx_fusion.components.fusion_evaluator.baseline import no_champion
from tfx_fusion.modules.errors import user_error
from tfx_fusion.modules.evaluation.ablation import read_ablation, with_ablation
from tfx_fusion.modules.evaluation.labels import read_labels
from tfx_fusion.modules.evaluation.predictions import (
    CANDIDATE,
    CHAMPION,
    SPLIT,
    RowsBefore,
    check_predictions,
    predictions_folder,
    write_predictions,
)
from tfx_fusion.modules.evaluation.quality import NoChampion, Quality, assess, write_quality
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.version_record import model_digest
from tfx_fusion.modules.report.summaries import EvaluationSummary, RowsSummary, TrainingSummary
from tfx_fusion.modules.spec.evaluated import EvaluationView
from tfx_fusion.modules.training.exported import ExportedModel, first_rows

TASK_KEY = "specification"
WORTH_KEY = "worth"


class Executor(StepExecutor, evaluator.Executor):
    """Predicts once on Beam, measures with TFMA as TFX does, judges, blesses the model or not."""

    def execute(self, run: Execution) -> EvaluationSummary:
        task = run.parameter(TASK_KEY, EvaluationView)
        [split] = json_utils.loads(run.parameters[EXAMPLE_SPLITS_KEY])
        examples = run.split_folders(EXAMPLES_KEY, split)
        candidate = run.input(MODEL_KEY)
        baseline = run.inputs.get(BASELINE_MODEL_KEY, [])
        rows = first_rows(examples)
        if not isinstance(summary_of([candidate]), TrainingSummary):
            # Before Beam, whose workers would each say what does not fit.
            model = ExportedModel(model_folder(candidate), list(task.outputs))
            read_labels(task, model, rows)
            check_predictions(task, model, rows)
        absent = no_champion(candidate, baseline, task, rows)

        results = run.output_folder(constants.EVALUATION_KEY)
        inputs = {MODEL_KEY: [candidate]}
        models = {CANDIDATE: model_folder(candidate)}
        if absent is None:
            inputs[BASELINE_MODEL_KEY] = baseline
            models[CHAMPION] = model_folder(baseline[0])
        inputs[EXAMPLES_KEY] = [self._predict(task, models, examples, results)]
        parameters = {**run.parameters, EXAMPLE_SPLITS_KEY: json_utils.dumps([SPLIT])}
        # By its class: `super().Do` would come back here.
        evaluator.Executor.Do(self, inputs, run.outputs, parameters)
        quality = assess(task, results, _rows_before(run), absent or NoChampion())
        if run.has_input(WORTH_KEY):
            ablation = read_ablation(run.input_folder(WORTH_KEY))
            quality = with_ablation(quality, ablation, task)
        write_quality(quality, results)
        blessing = run.output(BLESSING_KEY)
        bless(blessing, quality)
        # So that nobody publishes another model by it.
        blessing.set_string_custom_property(MODEL_DIGEST_KEY, model_digest(models[CANDIDATE]))
        blessing.set_string_custom_property(BOUNDS_KEY, task.evaluation.model_dump_json())
        return EvaluationSummary(metrics=quality.overall())

    def _predict(
        self, task: EvaluationView, models: dict[str, Path], examples: list[str], results: Path
    ) -> types.Artifact:
        """The predictions of the models, written on Beam as the examples that TFMA reads."""
        folder = predictions_folder(results)
        try:
            with self._make_beam_pipeline() as pipeline:
                write_predictions(pipeline, task, models, examples, folder)
        except RuntimeError as failure:  # Beam wraps what its workers raise
            error = user_error(failure)
            if error is None:
                raise
            raise error from None
        predicted = standard_artifacts.Examples()
        predicted.uri = str(folder.parent)
        predicted.split_names = artifact_utils.encode_split_names([SPLIT])
        return predicted


def _rows_before(run: Execution) -> RowsBefore | None:
    """None where other components have read the rows or trained the model."""
    rows, trained = (summary_of(run.inputs[key]) for key in (EXAMPLES_KEY, MODEL_KEY))
    if not isinstance(rows, RowsSummary) or not isinstance(trained, TrainingSummary):
        return None
    read = rows.train + rows.eval + rows.rejected
    return RowsBefore(read, rows.rejected + trained.rejected_train)


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
