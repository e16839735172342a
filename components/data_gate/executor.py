"""DataGate's work."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_executor

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import (
    MEDIA_KEY,
    describe_data,
    described_champion,
    is_of_resolver,
    model_folder,
)
from tfx_fusion.components.data_source import data_source
from tfx_fusion.modules.data.checks.gate import CheckedData, DataReport, check_data
from tfx_fusion.modules.registry.version_record import STATISTICS_FILE as CHAMPION_STATISTICS
from tfx_fusion.modules.registry.versions import holds_model
from tfx_fusion.modules.report.summaries import DataGateSummary, DriftedFeature
from tfx_fusion.modules.spec import DataChecks
from tfx_fusion.modules.spec.views import ColumnsView

COLUMNS_KEY = "columns"
CHECKS_KEY = "checks"
SPLITS_KEY = "splits"  # the names of `train` and `eval`, in JSON
PLACES_KEY = "data_places"  # what the ExampleGen reads, in JSON
EXAMPLES_KEY = "examples"
STATISTICS_KEY = "statistics"
ANOMALIES_KEY = "anomalies"
CHAMPION_KEY = "champion"
GATE_KEY = "data_gate"

STATISTICS_FILE = "FeatureStats.pb"


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Fails where the data must not be trained on."""

    def execute(self, run: Execution) -> DataGateSummary:
        examples = run.inputs[EXAMPLES_KEY]
        columns = run.parameter(COLUMNS_KEY, ColumnsView)
        splits: dict[str, str] = json.loads(run.parameters[SPLITS_KEY])
        media = examples[0].get_string_custom_property(MEDIA_KEY)
        published, version = _champion(run)
        given = CheckedData(
            anomalies=run.input_folder(ANOMALIES_KEY) if run.has_input(ANOMALIES_KEY) else None,
            statistics=Path(run.split(STATISTICS_KEY, splits["train"]), STATISTICS_FILE),
            splits={split: run.split_folders(EXAMPLES_KEY, name) for split, name in splits.items()},
            media=json.loads(media or "[]"),
            champion=published,
            version=version,
        )
        checks = run.parameter(CHECKS_KEY, DataChecks)

        report = check_data(columns, checks, given, run.output_folder(GATE_KEY))
        describe_data(run.output(GATE_KEY), data_source(examples, run.parameters[PLACES_KEY]))
        return summary(report)


def _champion(run: Execution) -> tuple[Path | None, str]:
    """The statistics of the last published model, and its version; none where there is none."""
    if not run.has_input(CHAMPION_KEY):
        return None, ""
    artifact = run.input(CHAMPION_KEY)
    champion = described_champion(artifact)
    folder = model_folder(artifact)
    if champion is None and (is_of_resolver(artifact) or not holds_model(folder)):
        return None, ""
    return folder / CHAMPION_STATISTICS, champion.version if champion else artifact.uri


def summary(report: DataReport) -> DataGateSummary:
    """What the checks found, without every single row."""
    largest = max(report.drift.measured, key=lambda item: item.value, default=None)
    found = report.leakage
    return DataGateSummary(
        anomalies=tuple(report.anomalies),
        eval_rows=None if found is None else found.rows,
        leaked_rows=None if found is None else len(found.leaked),
        drift=largest and DriftedFeature(name=largest.name, distance=largest.value),
        drift_skipped=report.drift_skipped,
        not_compared=tuple(report.drift.not_compared),
        version=report.version,
    )
