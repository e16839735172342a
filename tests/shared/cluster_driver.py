"""The driver of Kubeflow Pipelines 2.17: what a task is given, its ExecutorInput."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

from cluster_spec import Pipeline, RefusedError, Task
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

OUTPUT_FILE = "/tmp/kfp_outputs/output_metadata.json"  # noqa: S108 the launcher's, in the pod
LOGS = "executor-logs"
SESSION = '{"Provider":"minio","Params":{"fromEnv":"true"}}'  # ML Metadata keeps it by the artifact
TYPES = {
    "number_value": {"NUMBER_DOUBLE", "NUMBER_INTEGER"},
    "bool_value": {"BOOLEAN"},
    "list_value": {"LIST"},
    "struct_value": {"STRUCT"},
}


class TaskFailedError(Exception):
    """The driver or the launcher has given a task up; the message says why."""


@dataclass
class RunState:
    """What the server knows of a run: its inputs and what its tasks have made so far."""

    pipeline: str
    id: str
    root: str
    parameters: dict[str, Value]
    artifacts: dict[tuple[str, str], pb.RuntimeArtifact] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Value] = field(default_factory=dict)
    ids: Iterator[int] = field(default_factory=partial(count, 1))

    @property
    def folder(self) -> str:
        """Where the run's artifacts lie."""
        return f"{self.root.rstrip('/')}/{self.pipeline}/{self.id}"

    def record(self, task: str, key: str, artifact: pb.RuntimeArtifact) -> None:
        """Keeps an artifact as ML Metadata would, which knows neither lists nor null."""
        title = artifact.type.schema_title or artifact.type.instance_schema
        if not title:
            raise TaskFailedError(f"output {key!r}: its type has no title")
        # The type is not given back: only an empty instanceSchema.
        recorded = pb.RuntimeArtifact(name=str(next(self.ids)), uri=artifact.uri)
        recorded.type.instance_schema = ""
        recorded.metadata.update({})
        for name, value in artifact.metadata.fields.items():
            recorded.metadata.fields[name].CopyFrom(_recorded(key, name, value))
        for name, text in (("display_name", key), ("store_session_info", SESSION)):
            if name not in recorded.metadata.fields:
                recorded.metadata.fields[name].string_value = text
        self.artifacts[task, key] = recorded


def _recorded(key: str, name: str, value: Value) -> Value:
    kind = value.WhichOneof("kind")
    if kind == "null_value" or kind is None:
        raise TaskFailedError(
            f"unable to produce MLMD artifact for output {key!r}: metadata {name!r}: "
            "unknown/unsupported value type null"
        )
    if kind == "bool_value":
        return Value(number_value=int(value.bool_value))
    if kind in ("list_value", "struct_value"):
        inner = {kind.removesuffix("_value"): value}
        return Value(struct_value=Struct(fields=inner))
    return value


def root_parameters(pipeline: Pipeline, given: Mapping[str, Any]) -> dict[str, Value]:
    """The parameters of a run: what was given, else the defaults; null where optional."""
    unknown = sorted(set(given) - set(pipeline.parameters))
    if unknown:
        raise RefusedError(f"the pipeline has no parameters {unknown}")
    values = {}
    for name, definition in pipeline.parameters.items():
        if name in given:
            values[name] = json_format.ParseDict(given[name], Value())
        elif definition.HasField("default_value"):
            values[name] = definition.default_value
        elif definition.is_optional:
            values[name] = Value(null_value=0)
        else:
            raise RefusedError(f"the pipeline's parameter {name!r} is required and has no value")
    return values


def executor_input(task: Task, state: RunState) -> pb.ExecutorInput:
    """What the driver hands to the launcher."""
    given = pb.ExecutorInput()
    definitions = task.component.input_definitions.parameters
    for name, spec in task.spec.inputs.parameters.items():
        value = parameter_value(spec, task, state)
        if value.WhichOneof("kind") != "null_value":
            given.inputs.parameter_values[name].CopyFrom(value)
        elif name not in definitions or not definitions[name].is_optional:
            raise TaskFailedError(f"the resolved input parameter is null: {name}")
    for name, definition in definitions.items():
        _fit(name, definition, given.inputs.parameter_values)
    for name, spec in task.spec.inputs.artifacts.items():
        if spec.WhichOneof("kind") != "task_output_artifact":
            raise TaskFailedError(f"input artifact {name!r}: the root has no artifacts to give")
        source = spec.task_output_artifact
        key = (source.producer_task, source.output_artifact_key)
        if key not in state.artifacts:
            raise TaskFailedError(
                f"cannot find output artifact key {key[1]!r} in producer task {key[0]!r}"
            )
        given.inputs.artifacts[name].artifacts.append(state.artifacts[key])
    _outputs(task, state, given.outputs)
    return given


def parameter_value(
    spec: pb.TaskInputsSpec.InputParameterSpec, task: Task, state: RunState
) -> Value:
    """The value of a task's parameter; a placeholder counts only where it is the whole value."""
    kind = spec.WhichOneof("kind")
    if kind == "component_input_parameter":
        name = spec.component_input_parameter
        if name not in state.parameters:
            raise TaskFailedError(f"parent DAG does not have input parameter {name}")
        return state.parameters[name]
    if kind == "task_output_parameter":
        source = spec.task_output_parameter
        key = (source.producer_task, source.output_parameter_key)
        if key not in state.outputs:
            raise TaskFailedError(
                f"cannot find output parameter key {key[1]!r} in producer task {key[0]!r}"
            )
        return state.outputs[key]
    if kind != "runtime_value" or spec.runtime_value.WhichOneof("value") != "constant":
        raise TaskFailedError(f"parameter spec of kind {kind} not implemented: {spec}")
    constant = spec.runtime_value.constant
    placeholders = {
        "{{$.pipeline_job_name}}": f"Run of {state.pipeline}",
        "{{$.pipeline_job_resource_name}}": f"{state.pipeline}-{state.id[:5]}",
        "{{$.pipeline_job_uuid}}": state.id,
        "{{$.pipeline_task_name}}": task.name,
        "{{$.pipeline_task_uuid}}": "1",  # the id of the execution of the root
    }
    if constant.string_value in placeholders:
        return Value(string_value=placeholders[constant.string_value])
    return constant


def _fit(
    name: str, definition: pb.ComponentInputsSpec.ParameterSpec, values: Mapping[str, Value]
) -> None:
    """Checks a parameter against its type; whatever shall be a string becomes one."""
    wanted = pb.ParameterType.ParameterTypeEnum.Name(definition.parameter_type)
    if name not in values:
        if definition.is_optional:
            return  # the launcher takes the default
        if not definition.HasField("default_value"):
            raise TaskFailedError(
                f"neither value nor default value provided for non-optional parameter {name!r}"
            )
        if wanted != "STRING":
            raise TaskFailedError(f"parameter {name} has unknown protobuf.Value type")
        values[name].string_value = ""  # as the driver does, though a default is there
        return
    kind = values[name].WhichOneof("kind")
    if wanted == "STRING":
        values[name].string_value = as_text(values[name])
    elif wanted not in TYPES.get(kind, ()):
        raise TaskFailedError(
            f"input parameter {name!r} type mismatch: expect {wanted}, "
            f"got {kind.removesuffix('_value')}"
        )


def as_text(value: Value) -> str:
    """A value as the driver and the launcher write it into a text."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "number_value":
        return f"{Decimal(repr(value.number_value)):f}".removesuffix(".0")
    if kind == "bool_value":
        return str(value.bool_value).lower()
    return as_json(value)


def as_json(message: Message) -> str:
    """A message as Go writes it: compact, whole numbers without a point, no escapes."""
    plain = _whole(json_format.MessageToDict(message))
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _outputs(task: Task, state: RunState, outputs: pb.ExecutorInput.Outputs) -> None:
    salt = uuid4()
    definitions = dict(task.component.output_definitions.artifacts.items())
    logs = pb.ComponentOutputsSpec.ArtifactSpec()
    logs.artifact_type.schema_title = "system.Artifact"
    for key, definition in {**definitions, LOGS: logs}.items():
        artifact = outputs.artifacts[key].artifacts.add()
        artifact.uri = f"{state.folder}/{task.name}/{salt}/{key}"
        artifact.type.CopyFrom(definition.artifact_type)
        if definition.HasField("metadata"):
            artifact.metadata.CopyFrom(definition.metadata)
    for key in task.component.output_definitions.parameters:
        outputs.parameters[key].output_file = f"/tmp/kfp/outputs/{key}"  # noqa: S108
    outputs.output_file = OUTPUT_FILE
