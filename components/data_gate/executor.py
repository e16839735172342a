"""DataGate's work."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import (
    EXISTS_KEY,
    MEDIA_KEY,
    VERSION_KEY,
    describe_data,
    described_data,
)
from tfx_fusion.modules.data.checks.gate import CheckedData, DataReport, check_data
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.registry.version_record import STATISTICS_FILE as CHAMPION_STATISTICS
from tfx_fusion.modules.report.summaries import DataGateSummary, DriftedFeature
from tfx_fusion.modules.spec import DataChecks

SOURCE_KEY = "source"
CHECKS_KEY = "checks"
EXAMPLES_KEY = "examples"
STATISTICS_KEY = "statistics"
ANOMALIES_KEY = "anomalies"
CHAMPION_KEY = "champion"
GATE_KEY = "data_gate"

STATISTICS_FILE = "FeatureStats.pb"


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Fails where the data must not be trained on."""

    def execute(self, run: Execution) -> DataGateSummary:
        data = described_data(run.input(EXAMPLES_KEY))
        source = run.parameter(SOURCE_KEY, RowSource)
        media = run.input(EXAMPLES_KEY).get_string_custom_property(MEDIA_KEY)
        champion = run.input(CHAMPION_KEY)
        exists = champion.get_int_custom_property(EXISTS_KEY)
        published = Path(path_utils.serving_model_path(champion.uri), CHAMPION_STATISTICS)
        given = CheckedData(
            anomalies=run.input_folder(ANOMALIES_KEY),
            statistics=Path(run.split(STATISTICS_KEY, "train"), STATISTICS_FILE),
            splits=run.splits(EXAMPLES_KEY),
            media=json.loads(media or "[]"),
            champion=published if exists else None,
            version=champion.get_string_custom_property(VERSION_KEY),
        )
        checks = run.parameter(CHECKS_KEY, DataChecks)

        report = check_data(source, checks, given, run.output_folder(GATE_KEY))
        describe_data(run.output(GATE_KEY), data)
        return summary(report)


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
