"""VersionPusher's work."""

import json
from pathlib import Path

from tfx.components.pusher import executor
from tfx.types import standard_component_specs

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import described_champion, described_data
from tfx_fusion.modules.data.checks.gate import STATISTICS_FILE
from tfx_fusion.modules.evaluation.quality import read_quality
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.publish import publish
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.report.summaries import PublishSummary

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

# Properties that `fusion lineage` reads in ML Metadata; the version's name is Pusher's own.
PUSHED_VERSION_KEY = "pushed_version"
STATUS_KEY = "status"
METRICS_KEY = "metrics"

RECORD_COPY = "version.json"


class Executor(StepExecutor, executor.Executor):
    """Pusher's: it asks for the blessings and marks the artifact; the registry publishes.

    Pusher itself would copy straight into the version folder, where a server may find half a
    model, and keep another copy of it among the artifacts.
    """

    def execute(self, run: Execution) -> PublishSummary:
        pushed = run.output(PUSHED_KEY)
        if not self.CheckBlessing(run.inputs):
            self._MarkNotPushed(pushed)
            return PublishSummary(status="not blessed")

        gate = run.input(GATE_KEY)
        provenance = run.parameter(PROVENANCE_KEY, Provenance)
        metrics = read_quality(run.input_folder(EVALUATION_KEY)).overall()
        outcome = publish(
            model=Path(self.GetModelPath(run.inputs)),
            folder=Path(run.parameters[FOLDER_KEY]),
            provenance=provenance.of_run(run.parameters[RUN_KEY], described_data(gate)),
            metrics=metrics,
            champion=described_champion(run.input(CHAMPION_KEY)),
            keep=run.parameters[KEEP_KEY] or None,
            statistics=Path(gate.uri, STATISTICS_FILE),
        )

        version, place = outcome.version.name, str(outcome.version.path)
        pushed.set_string_custom_property(STATUS_KEY, outcome.status)
        if outcome.status == "rolled back":
            self._MarkNotPushed(pushed)
            pushed.set_string_custom_property(PUSHED_VERSION_KEY, version)
        else:
            self._MarkPushed(pushed, place, version)
        if outcome.record:
            pushed.set_string_custom_property(METRICS_KEY, json.dumps(metrics))
            text = outcome.record.model_dump_json(indent=1)
            write_text(Path(pushed.uri, RECORD_COPY), text)
        return PublishSummary(status=outcome.status, version=version, path=place)
