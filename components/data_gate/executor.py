"""DataGate's work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_fusion.components.champion_channel import EXISTS_KEY, VERSION_KEY
from tfx_fusion.components.data_channel import describe_data, described_data
from tfx_fusion.modules.data.checks.gate import CheckedData, check_data
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.registry.version_record import STATISTICS_FILE as CHAMPION_STATISTICS
from tfx_fusion.modules.spec import DataChecks

SOURCE_KEY = "source"
CHECKS_KEY = "checks"
EXAMPLES_KEY = "examples"
STATISTICS_KEY = "statistics"
ANOMALIES_KEY = "anomalies"
CHAMPION_KEY = "champion"
GATE_KEY = "data_gate"

# What a run tells its user.
TOLD_KEY = "told"
STATISTICS_FILE = "FeatureStats.pb"


class Executor(base_executor.BaseExecutor):
    """Fails where the data must not be trained on."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = input_dict[EXAMPLES_KEY]
        data = described_data(artifact_utils.get_single_instance(examples))
        # A run on a cluster may have read another file than its pipeline was compiled for.
        source = RowSource.model_validate_json(exec_properties[SOURCE_KEY]).at(Path(data.path))
        checks = DataChecks.model_validate_json(exec_properties[CHECKS_KEY])
        statistics = artifact_utils.get_split_uri(input_dict[STATISTICS_KEY], "train")
        champion = artifact_utils.get_single_instance(input_dict[CHAMPION_KEY])
        gate = artifact_utils.get_single_instance(output_dict[GATE_KEY])

        exists = champion.get_int_custom_property(EXISTS_KEY)
        given = CheckedData(
            anomalies=Path(artifact_utils.get_single_uri(input_dict[ANOMALIES_KEY])),
            statistics=Path(statistics, STATISTICS_FILE),
            splits={split: artifact_utils.get_split_uri(examples, split) for split in SPLITS},
            champion=(
                Path(path_utils.serving_model_path(champion.uri), CHAMPION_STATISTICS)
                if exists
                else None
            ),
            version=champion.get_string_custom_property(VERSION_KEY),
        )
        report = check_data(source, checks, given, Path(gate.uri))

        gate.set_string_custom_property(TOLD_KEY, report.summary())
        describe_data(gate, data)
