"""ServingCheck's work."""

from dataclasses import asdict
from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import MODEL_DIGEST_KEY, model_folder
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.version_record import model_digest
from tfx_fusion.modules.report.summaries import ServerSpeed, ServingSummary
from tfx_fusion.modules.serving.check.check import ServingReport, check_serving
from tfx_fusion.modules.spec import Serving

LIMITS_KEY = "limits"
SPLIT_KEY = "split"
EXAMPLES_KEY = "examples"
MODEL_KEY = "model"
BLESSING_KEY = "blessing"

# What Pusher reads of InfraValidator's blessing.
BLESSED_KEY = "blessed"
HAS_MODEL_KEY = "has_model"
BLESSED_FILES = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Checks, and blesses the model or not."""

    def execute(self, run: Execution) -> ServingSummary:
        blessing, model = run.output(BLESSING_KEY), model_folder(run.input(MODEL_KEY))
        report = check_serving(
            model,
            folders=run.split_folders(EXAMPLES_KEY, run.parameters[SPLIT_KEY]),
            limits=run.parameter(LIMITS_KEY, Serving),
            folder=Path(blessing.uri),
            candidate=Path(path_utils.stamped_model_path(blessing.uri)),
        )
        passed = not report.problems
        write_text(Path(blessing.uri, BLESSED_FILES[passed]), "")
        blessing.set_int_custom_property(BLESSED_KEY, int(passed))
        blessing.set_int_custom_property(HAS_MODEL_KEY, int(passed))
        blessing.set_string_custom_property(MODEL_DIGEST_KEY, model_digest(model))
        return summary(report)


def summary(report: ServingReport) -> ServingSummary:
    """What came of the check."""
    return ServingSummary(
        rows=report.rows,
        server=report.server,
        problems=tuple(report.problems),
        speed=ServerSpeed(**asdict(report.speed)) if report.speed else None,
    )
