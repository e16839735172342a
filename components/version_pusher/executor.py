"""VersionPusher's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.components.pusher import executor
from tfx.types import artifact_utils, standard_component_specs

from tfx_fusion.components.champion_channel import compared_version
from tfx_fusion.components.data_channel import described_data
from tfx_fusion.modules.data.checks.gate import STATISTICS_FILE
from tfx_fusion.modules.evaluation.quality import read_quality
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.publish import publish
from tfx_fusion.modules.registry.version_record import Provenance

FOLDER_KEY = "publish_folder"
KEEP_KEY = "keep"
PROVENANCE_KEY = "provenance"
RUN_KEY = "run"
MODEL_BLESSING_KEY = standard_component_specs.MODEL_BLESSING_KEY
INFRA_BLESSING_KEY = standard_component_specs.INFRA_BLESSING_KEY
EVALUATION_KEY = "evaluation"
CHAMPION_KEY = "champion"
GATE_KEY = "data_gate"
PUSHED_KEY = standard_component_specs.PUSHED_MODEL_KEY

# Properties of the artifact; the version's name is Pusher's own.
PUSHED_VERSION_KEY = "pushed_version"
STATUS_KEY = "status"
METRICS_KEY = "metrics"

RECORD_COPY = "version.json"


class Executor(executor.Executor):
    """Pusher's: it asks for the blessings and marks the artifact; the registry publishes.

    Pusher itself would copy straight into the version folder, where a server may find half a
    model, and keep another copy of it among the artifacts.
    """

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        known = Provenance.model_validate_json(exec_properties[PROVENANCE_KEY])
        evaluation = artifact_utils.get_single_uri(input_dict[EVALUATION_KEY])
        champion = artifact_utils.get_single_instance(input_dict[CHAMPION_KEY])
        gate = artifact_utils.get_single_instance(input_dict[GATE_KEY])
        pushed = artifact_utils.get_single_instance(output_dict[PUSHED_KEY])
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return

        metrics = read_quality(Path(evaluation)).overall()
        outcome = publish(
            model=Path(self.GetModelPath(input_dict)),
            folder=Path(exec_properties[FOLDER_KEY]),
            provenance=known.of_run(exec_properties[RUN_KEY], described_data(gate)),
            metrics=metrics,
            champion=compared_version(champion),
            keep=exec_properties[KEEP_KEY] or None,
            statistics=Path(gate.uri, STATISTICS_FILE),
        )

        pushed.set_string_custom_property(STATUS_KEY, outcome.status)
        if outcome.status == "rolled back":
            self._MarkNotPushed(pushed)
            pushed.set_string_custom_property(PUSHED_VERSION_KEY, outcome.version.name)
            return
        self._MarkPushed(pushed, str(outcome.version.path), outcome.version.name)
        if outcome.record:
            pushed.set_string_custom_property(METRICS_KEY, json.dumps(metrics))
            text = outcome.record.model_dump_json(indent=1)
            write_text(Path(pushed.uri, RECORD_COPY), text)
