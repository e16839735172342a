"""Running a pipeline with LocalDagRunner while watching its steps."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration.executable_spec_pb2 import BeamExecutableSpec
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput
from tfx.proto.orchestration.placeholder_pb2 import PlaceholderExpression
from tfx.types import artifact_utils

from tfx_fusion.components.base import check_artifact, summary_of
from tfx_fusion.modules.errors import RunError
from tfx_fusion.pipeline import ending
from tfx_fusion.pipeline.steps import Step

log = logging.getLogger(__name__)

# LocalDagRunner's messages, by their templates: a test fails where TFX changes them.
STARTED = "Component %s is running."
FINISHED = "Component %s is finished."


class _Watcher(logging.Handler):
    """Calls back when LocalDagRunner logs that a component starts or ends: it has no other hook."""

    def __init__(self, on_start: Callable[[str], None], on_end: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._reactions = {STARTED: on_start, FINISHED: on_end}

    def emit(self, record: logging.LogRecord) -> None:
        reaction = self._reactions.get(str(record.msg))
        if reaction and record.args:
            reaction(str(record.args[0] if isinstance(record.args, tuple) else record.args))


class _Progress(logging.Handler):
    """Calls back when a component logs how far it is."""

    def __init__(self, on_progress: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._on_progress = on_progress

    def emit(self, record: logging.LogRecord) -> None:
        self._on_progress(record.getMessage())


class StepRun:
    """The steps of one pipeline run, updated while it goes on."""

    def __init__(self, pipeline: Pipeline, on_change: Callable[[Step], None]) -> None:
        self._pipeline = pipeline
        self._on_change = on_change
        self.steps = {
            node.id: Step(name=node.id, component=type(node).__name__)
            for node in pipeline.components
        }

    def run(self) -> None:
        """Runs every step in order; where one fails, it is marked, and its exception passes."""
        watcher = _Watcher(self._start, self._finish)
        progress = _Progress(self._note)
        continue_ids(self._pipeline)
        absl, own = logging.getLogger("absl"), logging.getLogger("fusion.progress")
        own.setLevel(logging.INFO)
        absl.addHandler(watcher)
        own.addHandler(progress)
        try:
            with beam_arguments_aside(self._pipeline), only_whole_artifacts_reused():
                LocalDagRunner().run(self._pipeline)
        except BaseException:
            for step in self.steps.values():
                if step.status == "running":
                    self._end(step, "interrupted" if ending.received() else "failed")
            raise
        finally:
            absl.removeHandler(watcher)
            own.removeHandler(progress)

    def _start(self, name: str) -> None:
        ending.check()
        step = self.steps[name]
        step.status, step.started = "running", time.monotonic()
        self._on_change(step)

    def _note(self, message: str) -> None:
        for step in self.steps.values():
            if step.status == "running":
                step.note = message
                self._on_change(step)

    def _finish(self, name: str) -> None:
        step = self.steps[name]
        store = mlmd.MetadataStore(self._pipeline.metadata_connection_config)
        execution = _last_execution(store, self._pipeline.pipeline_info.pipeline_name, name)
        artifacts = _outputs(store, execution)
        step.note = ""
        step.summary = summary_of(map(_as_artifact, artifacts.values()))
        step.outputs = {key: artifact.uri for key, artifact in artifacts.items()}
        reused = execution.last_known_state == metadata_store_pb2.Execution.CACHED
        if reused:
            step.seconds_saved = round(_seconds_to_make(store, list(artifacts.values())), 3)
        self._end(step, "reused" if reused else "done")

    def _end(self, step: Step, status: Literal["done", "reused", "failed", "interrupted"]) -> None:
        step.status, step.seconds = status, round(time.monotonic() - step.started, 3)
        self._on_change(step)


def _as_artifact(found: metadata_store_pb2.Artifact) -> types.Artifact:
    """An artifact of ML Metadata as TFX's, of no type: only its properties are read."""
    artifact = types.Artifact(metadata_store_pb2.ArtifactType(name=found.type or "unknown"))
    artifact.set_mlmd_artifact(found)
    return artifact


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


# How Beam runs a step, left out of TFX's cache keys. TFX takes Beam's arguments for a part of what
# a step computes, so another runner would run everything again.


@contextmanager
def beam_arguments_aside(pipeline: Pipeline) -> Iterator[None]:
    """Inside it, steps run as their components say, but their cache keys do not hold it."""
    arguments: dict[str, list[str]] = {}
    for node in pipeline.components:
        if isinstance(node.executor_spec, BeamExecutorSpec):
            arguments[node.id] = list(node.executor_spec.beam_pipeline_args)
            node.executor_spec.beam_pipeline_args.clear()

    class Operator(BeamExecutorOperator):
        """Gives a step its arguments back when it executes: its cache key is known by then."""

        def run_executor(self, execution_info: ExecutionInfo, *given: Any) -> ExecutorOutput:
            own = arguments[execution_info.pipeline_node.node_info.id]
            self.beam_pipeline_args = [_as_placeholder(argument) for argument in own]
            return super().run_executor(execution_info, *given)

    # LocalDagRunner takes no operators of its own, so the default is replaced meanwhile.
    default = launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec]
    launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec] = Operator
    try:
        yield
    finally:
        launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec] = default


def _as_placeholder(argument: str) -> PlaceholderExpression:
    expression = PlaceholderExpression()
    expression.value.string_value = argument
    return expression


@contextmanager
def only_whole_artifacts_reused() -> Iterator[None]:
    """Inside it, a step whose files are no longer as it left them runs again.

    TFX's cache asks only whether the folder of an artifact exists.
    """
    before = artifact_utils.verify_artifacts

    def verify(artifacts: dict[str, list[types.Artifact]]) -> None:
        before(artifacts)
        for given in artifacts.values():
            for artifact in given:
                try:
                    check_artifact(artifact)
                except RunError as error:
                    log.warning("%s", error)
                    raise RuntimeError(str(error)) from error  # what TFX's cache expects

    artifact_utils.verify_artifacts = verify
    try:
        yield
    finally:
        artifact_utils.verify_artifacts = before


def continue_ids(pipeline: Pipeline) -> None:
    """Lets the ids of executions begin behind those that have a folder.

    They name the folders of artifacts, and begin at 1 in a new database: where the old one was
    lost, a step would write into the folder of a former run.
    """
    root = Path(pipeline.pipeline_info.pipeline_root)
    folders = [*root.glob("*/*/*"), *root.glob("*/.system/*/*")]
    taken = [int(folder.name) for folder in folders if folder.name.isdecimal()]
    if not taken:
        return
    config = pipeline.metadata_connection_config
    mlmd.MetadataStore(config)  # makes the tables
    with closing(sqlite3.connect(config.sqlite.filename_uri)) as database, database:
        [(last,)] = database.execute(
            "SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'Execution'"
        )
        if last < max(taken):
            database.execute("DELETE FROM sqlite_sequence WHERE name = 'Execution'")
            database.execute("INSERT INTO sqlite_sequence VALUES ('Execution', ?)", (max(taken),))
