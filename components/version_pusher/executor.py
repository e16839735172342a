"""VersionPusher's work."""

from __future__ import annotations

import json
from pathlib import Path

from tfx import types
from tfx.components.evaluator import constants
from tfx.components.pusher import executor
from tfx.types import standard_artifacts, standard_component_specs
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import (
    BOUNDS_KEY,
    MODEL_DIGEST_KEY,
    described_champion,
    described_data,
    is_of_resolver,
    model_folder,
)
from tfx_fusion.components.data_source import UNKNOWN, data_source
from tfx_fusion.modules.data.checks.gate import STATISTICS_FILE
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.overall import overall_metrics
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.origin import origin_of
from tfx_fusion.modules.registry.publish import NOT_COMPARED, NotCompared, publish, version_of
from tfx_fusion.modules.registry.version_record import (
    DataSource,
    Metrics,
    Provenance,
    model_digest,
)
from tfx_fusion.modules.registry.versions import Champion, holds_model
from tfx_fusion.modules.report.summaries import PublishSummary

FOLDER_KEY = "publish_folder"
KEEP_KEY = "keep"
PROVENANCE_KEY = "provenance"  # empty where the model itself says what it came from
RUN_KEY = "run"
PLACES_KEY = "data_places"  # what each ExampleGen reads, in JSON
CONNECTED_KEY = "connected"  # the optional inputs that must not be empty when it runs, in JSON
MODEL_KEY = standard_component_specs.MODEL_KEY
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
RECORD_KEY = "version_record"

NO_BOUNDS = '{"unknown": "the blessing does not say by which bounds it was given"}'
RECORD_COPY = "version.json"


def examples_key(place: int) -> str:
    """The input of the examples of an ExampleGen, by its place among those before the model."""
    return f"examples_{place}"


class Executor(StepExecutor, executor.Executor):
    """Pusher's: it asks for the blessings and marks the artifact; the registry publishes.

    Pusher itself would copy straight into the version folder, where a server may find half a
    model, and keep another copy of it among the artifacts.
    """

    def execute(self, run: Execution) -> PublishSummary:
        pushed = run.output(PUSHED_KEY)
        connected = json.loads(run.parameters[CONNECTED_KEY])
        blessings = [MODEL_BLESSING_KEY, *({INFRA_BLESSING_KEY} & set(connected))]
        # Pusher takes a blessing that nobody gave as given.
        if not all(map(run.has_input, blessings)) or not self.CheckBlessing(run.inputs):
            self._MarkNotPushed(pushed)
            return PublishSummary(status="not blessed")

        model = _model(run)
        for key in blessings:
            check_blessing(run.input(key), model, run)
        folder = Path(run.parameters[FOLDER_KEY])
        provenance = self._provenance(run, model)
        evaluated = run.has_input(EVALUATION_KEY)
        metrics = overall_metrics(run.input_folder(EVALUATION_KEY)) if evaluated else {}
        gate = run.input_folder(GATE_KEY) if run.has_input(GATE_KEY) else None
        outcome = publish(
            model=model,
            folder=folder,
            provenance=provenance,
            metrics=metrics,
            champion=_champion(run, folder) if CHAMPION_KEY in connected else NOT_COMPARED,
            keep=run.parameters[KEEP_KEY] or None,
            statistics=gate / STATISTICS_FILE if gate else None,
        )
        if outcome.status == "rolled back":
            self._MarkNotPushed(pushed)
            pushed.set_string_custom_property(PUSHED_VERSION_KEY, outcome.version.name)
        else:
            self._MarkPushed(pushed, str(outcome.version.path), outcome.version.name)
        pushed.set_string_custom_property(STATUS_KEY, outcome.status)
        if outcome.record:
            _write_record(pushed, outcome.record.model_dump_json(indent=1), metrics)
        return PublishSummary(
            status=outcome.status, version=outcome.version.name, path=str(outcome.version.path)
        )

    def _provenance(self, run: Execution, model: Path) -> Provenance:
        """What the model came from: as the pipeline knows it, or as the model and examples say."""
        name = run.parameters[RUN_KEY] or (self._context and self._context.pipeline_run_id)
        name = name or f"{UNKNOWN}the orchestrator names no run"
        if run.parameters[PROVENANCE_KEY]:
            known = run.parameter(PROVENANCE_KEY, Provenance)
        else:
            judged = run.input(MODEL_BLESSING_KEY).get_string_custom_property(BOUNDS_KEY)
            known = origin_of(model, json.loads(judged or NO_BOUNDS))
        return known.of_run(name, _data(run))


def _model(run: Execution) -> Path:
    """The model to publish, with the warm-up requests of an infra blessing that holds it."""
    if run.has_input(INFRA_BLESSING_KEY):
        blessing = run.input(INFRA_BLESSING_KEY)
        if blessing.get_int_custom_property(executor._INFRA_BLESSING_MODEL_FLAG_KEY):
            return Path(path_utils.stamped_model_path(blessing.uri))
        if not run.has_input(MODEL_KEY):
            raise RunError(
                f"{blessing.uri}: the infra blessing holds no model: give VersionPusher the "
                "`model` too, or InfraValidator `RequestSpec(make_warmup=True)`"
            )
    return model_folder(run.input(MODEL_KEY))


def check_blessing(blessing: types.Artifact, model: Path, run: Execution) -> None:
    """Raises RunError where a blessing, or what it holds, is of another model."""
    digest = blessing.get_string_custom_property(MODEL_DIGEST_KEY)
    blessed = blessing.get_string_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY)
    if not digest and blessed:
        folder = model_folder_of(blessed)
        if holds_model(folder):
            digest = model_digest(folder)
        elif not run.has_input(MODEL_KEY) or run.input(MODEL_KEY).uri != blessed:
            raise RunError(
                f"{blessing.uri}: the blessing is of {blessed}, which cannot be read here, so that "
                "nobody knows whether it is the same model: judge it by FusionEvaluator, whose "
                "blessing holds the digest"
            )
    given = [model_digest(model)]
    if run.has_input(MODEL_KEY):
        given.append(model_digest(model_folder(run.input(MODEL_KEY))))
    if len(set(given)) > 1 or (digest and digest != given[0]):
        raise RunError(
            f"{blessing.uri}: the blessing is of another model than {model}"
            f"{f', of {blessed}' if blessed else ''}: connect the blessings of this model"
        )


def model_folder_of(uri: str) -> Path:
    """The SavedModel at the URI of a Model artifact."""
    artifact = standard_artifacts.Model()
    artifact.uri = uri
    return model_folder(artifact)


def _data(run: Execution) -> DataSource:
    if run.has_input(GATE_KEY):
        data = described_data(run.input(GATE_KEY))
        if data.path and data.fingerprint:
            return data
    # They are sorted by their places, which are few.
    keys = [key for key in run.inputs if key.startswith(examples_key(0).removesuffix("0"))]
    artifacts = [artifact for key in sorted(keys) for artifact in run.inputs[key]]
    return data_source(artifacts, run.parameters[PLACES_KEY])


def _champion(run: Execution, folder: Path) -> Champion | NotCompared | None:
    """The model that the candidate was compared with; None where there was none."""
    if not run.has_input(CHAMPION_KEY):
        return None
    artifact = run.input(CHAMPION_KEY)
    if is_of_resolver(artifact):
        return described_champion(artifact)
    compared = model_folder(artifact)
    return version_of(folder, compared) if holds_model(compared) else None


def _write_record(pushed: types.Artifact, record: str, metrics: Metrics) -> None:
    pushed.set_string_custom_property(METRICS_KEY, json.dumps(metrics))
    pushed.set_string_custom_property(RECORD_KEY, record)
    write_text(Path(pushed.uri, RECORD_COPY), record)
