"""Running a pipeline with LocalDagRunner while watching its stages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

from tfx_fusion.pipeline.beam_aside import beam_arguments_aside
from tfx_fusion.pipeline.stage import Stage, Status

STARTED = "Component %s is running."
FINISHED = "Component %s is finished."


class _Watcher(logging.Handler):
    """Hears LocalDagRunner say that a component starts and ends: it has no other hook."""

    def __init__(self, on_start: Callable[[str], None], on_end: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._reactions = {STARTED: on_start, FINISHED: on_end}

    def emit(self, record: logging.LogRecord) -> None:
        reaction = self._reactions.get(str(record.msg))
        if reaction and record.args:
            reaction(str(record.args[0] if isinstance(record.args, tuple) else record.args))


class _Progress(logging.Handler):
    """Hears the components tell how far they are."""

    def __init__(self, on_progress: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._on_progress = on_progress

    def emit(self, record: logging.LogRecord) -> None:
        self._on_progress(record.getMessage())


class StageRun:
    """The stages of one pipeline run, kept up to date while it goes on."""

    def __init__(self, pipeline: tfx.dsl.Pipeline, on_change: Callable[[Stage], None]) -> None:
        self._pipeline = pipeline
        self._on_change = on_change
        self.stages = {node.id: Stage(node.id, type(node).__name__) for node in pipeline.components}

    def run(self) -> None:
        """Runs every stage in order; an exception of a stage passes through, its status kept."""
        watcher = _Watcher(self._start, self._finish)
        progress = _Progress(self._tell)
        absl, own = logging.getLogger("absl"), logging.getLogger("fusion.progress")
        own.setLevel(logging.INFO)
        absl.addHandler(watcher)
        own.addHandler(progress)
        try:
            with beam_arguments_aside(self._pipeline):
                tfx.orchestration.LocalDagRunner().run(self._pipeline)
        except BaseException:
            for stage in self.stages.values():
                if stage.status == "running":
                    self._end(stage, "failed")
            raise
        finally:
            absl.removeHandler(watcher)
            own.removeHandler(progress)

    def _start(self, name: str) -> None:
        stage = self.stages[name]
        stage.status, stage.started = "running", time.monotonic()
        self._on_change(stage)

    def _tell(self, message: str) -> None:
        for stage in self.stages.values():
            if stage.status == "running":
                stage.note = message
                self._on_change(stage)

    def _finish(self, name: str) -> None:
        stage = self.stages[name]
        store = mlmd.MetadataStore(self._pipeline.metadata_connection_config)
        execution = _last_execution(store, self._pipeline.pipeline_info.pipeline_name, name)
        stage.artifacts = _outputs(store, execution)
        stage.note = ""
        reused = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        if reused:
            stage.saved = _seconds_to_make(store, list(stage.artifacts.values()))
        self._end(stage, "reused" if reused else "done")

    def _end(self, stage: Stage, status: Status) -> None:
        stage.status, stage.seconds = status, time.monotonic() - stage.started
        self._on_change(stage)


def _last_execution(
    store: mlmd.MetadataStore, pipeline: str, node: str
) -> metadata_store_pb2.Execution:
    context = store.get_context_by_type_and_name("node", f"{pipeline}.{node}")
    executions = store.get_executions_by_context(context.id)
    return max(executions, key=lambda execution: execution.id)


def _outputs(
    store: mlmd.MetadataStore, execution: metadata_store_pb2.Execution
) -> dict[str, metadata_store_pb2.Artifact]:
    found = {}
    for event in store.get_events_by_execution_ids([execution.id]):
        if event.type == metadata_store_pb2.Event.OUTPUT:
            [artifact] = store.get_artifacts_by_id([event.artifact_id])
            found[event.path.steps[0].key] = artifact
    return dict(sorted(found.items()))


def _seconds_to_make(
    store: mlmd.MetadataStore, artifacts: list[metadata_store_pb2.Artifact]
) -> float:
    """How long the execution took that made some artifacts, before others reused them."""
    events = store.get_events_by_artifact_ids([artifact.id for artifact in artifacts])
    makers = {
        event.execution_id for event in events if event.type == metadata_store_pb2.Event.OUTPUT
    }
    return sum(
        (execution.last_update_time_since_epoch - execution.create_time_since_epoch) / 1000
        for execution in store.get_executions_by_id(sorted(makers))
        if execution.last_known_state == metadata_store_pb2.Execution.COMPLETE
    )
