"""The launcher of Kubeflow Pipelines 2.17: what happens in a step's pod around its command."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster_driver import LOGS, RunState, TaskFailedError, as_json, as_text
from cluster_pod import Pod
from cluster_spec import Task
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

PREFIXES = {"gs://": "/gcs/", "minio://": "/minio/", "s3://": "/s3/"}
KUBERNETES_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


def local_path(uri: str) -> str | None:
    """Where the launcher keeps an artifact in the pod; None for a URI that it does not know."""
    for scheme, folder in PREFIXES.items():
        if uri.startswith(scheme):
            return folder + uri.removeprefix(scheme)
    return None


@dataclass(frozen=True)
class ObjectStore:
    """A folder that plays every object store: it holds objects, so no empty folders."""

    folder: Path

    def path(self, uri: str) -> Path:
        return self.folder / uri.replace("://", "/", 1)

    def download(self, uri: str, target: Path) -> None:
        """Copies the objects below a URI; none is no error."""
        source = self.path(uri)
        for path in [source, *source.rglob("*")]:
            if path.is_file():
                _copy(path, target / path.relative_to(source))

    def upload(self, source: Path, uri: str) -> None:
        for path in [source, *source.rglob("*")]:
            if path.is_symlink():
                raise TaskFailedError(f"{path}: the imitation follows no symbolic links")
            if path.is_file():
                _copy(path, self.path(uri) / path.relative_to(source))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)  # objects have no mode bits


@dataclass
class Outcome:
    """What an attempt of a step left."""

    exit_code: int | None = None
    log: str = ""
    warnings: list[str] = field(default_factory=list)
    artifacts: dict[str, pb.RuntimeArtifact] = field(default_factory=dict)
    parameters: dict[str, Value] = field(default_factory=dict)


def launch(
    task: Task,
    given: pb.ExecutorInput,
    pod: Pod,
    store: ObjectStore,
    state: RunState,
    stop: Callable[[float, Path], bool],
    outcome: Outcome,
) -> None:
    """Runs a step in a pod; what is learned on the way is put into `outcome`."""
    command = command_line(task, given, pod.environment)
    _prepare(given.outputs, pod)
    for artifacts in given.inputs.artifacts.values():
        uri = artifacts.artifacts[0].uri
        if inside := local_path(uri):
            store.download(uri, pod.path(inside))
    log = pod.path(str(local_path(given.outputs.artifacts[LOGS].artifacts[0].uri)))
    log.touch()
    try:
        outcome.exit_code = pod.run(command, log, lambda seconds: stop(seconds, log))
    finally:
        outcome.log = log.read_text(errors="replace")
    if outcome.exit_code:
        raise TaskFailedError(f"exit status {outcome.exit_code}")
    written = _executor_output(pod.path(given.outputs.output_file))
    _collect_parameters(task, given, written, pod, outcome)
    for key, artifacts in sorted(given.outputs.artifacts.items()):
        artifact = pb.RuntimeArtifact()
        artifact.CopyFrom(artifacts.artifacts[0])
        if written.artifacts[key].artifacts:
            _merge(written.artifacts[key].artifacts[0], artifact)
        _upload(key, artifact, pod, store, state, outcome)
        outcome.artifacts[key] = artifact


def command_line(task: Task, given: pb.ExecutorInput, environment: Mapping[str, str]) -> list[str]:
    """The container's command and arguments, first as Kubernetes, then as the launcher fills them.

    Kubernetes makes `$(NAME)` the variable's value where there is such a variable, and `$$` a `$`.
    """

    def variable(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else environment.get(found[2], found[0])

    words = [*task.container.command, *task.container.args]
    if not words:
        raise TaskFailedError("command and arguments are empty")
    words = [KUBERNETES_REFERENCE.sub(variable, word) for word in words]
    for placeholder, text in _placeholders(task, given).items():
        words = [word.replace(placeholder, text) for word in words]
    return words


def _placeholders(task: Task, given: pb.ExecutorInput) -> dict[str, str]:
    full = pb.ExecutorInput()
    full.CopyFrom(given)
    for name, definition in task.component.input_definitions.parameters.items():
        if definition.HasField("default_value") and name not in full.inputs.parameter_values:
            full.inputs.parameter_values[name].CopyFrom(definition.default_value)
    texts = {"{{$}}": as_json(full)}
    for side, artifacts in (("inputs", full.inputs.artifacts), ("outputs", full.outputs.artifacts)):
        for name, entry in artifacts.items():
            uri = entry.artifacts[0].uri
            texts[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
            if inside := local_path(uri):
                texts[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = inside
    for name, value in full.inputs.parameter_values.items():
        texts[f"{{{{$.inputs.parameters['{name}']}}}}"] = as_text(value)
    for name, parameter in full.outputs.parameters.items():
        texts[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = parameter.output_file
    return texts


def _prepare(outputs: pb.ExecutorInput.Outputs, pod: Pod) -> None:
    """Makes the parents of the outputs, not the outputs."""
    paths = [parameter.output_file for parameter in outputs.parameters.values()]
    for key, artifacts in outputs.artifacts.items():
        uri = artifacts.artifacts[0].uri
        inside = local_path(uri)
        if inside is None:
            raise TaskFailedError(
                f"failed to generate local storage path for output artifact {key!r}: {uri}: "
                "unsupported storage scheme"
            )
        paths.append(inside)
    for path in paths:
        pod.path(path).parent.mkdir(parents=True, exist_ok=True)


def _executor_output(path: Path) -> pb.ExecutorOutput:
    if not path.exists():
        return pb.ExecutorOutput()
    try:
        return json_format.Parse(path.read_text(), pb.ExecutorOutput())
    except json_format.ParseError as error:
        raise TaskFailedError(f"failed to unmarshall ExecutorOutput: {error}") from error


def _collect_parameters(
    task: Task, given: pb.ExecutorInput, written: pb.ExecutorOutput, pod: Pod, outcome: Outcome
) -> None:
    outcome.parameters.update(written.parameter_values)
    for name, parameter in given.outputs.parameters.items():
        if name in outcome.parameters:
            continue
        definition = task.component.output_definitions.parameters[name]
        kind = pb.ParameterType.ParameterTypeEnum.Name(definition.parameter_type)
        try:
            text = pod.path(parameter.output_file).read_text()
            outcome.parameters[name] = _value(text, kind)
        except (OSError, ValueError) as error:
            raise TaskFailedError(
                f"failed to read output parameter name={name!r} type={kind!r} "
                f"path={parameter.output_file!r}: {error}"
            ) from error


def _value(text: str, kind: str) -> Value:
    if kind == "STRING":
        return Value(string_value=text)
    if kind == "NUMBER_INTEGER":
        return Value(number_value=int(text))
    if kind == "NUMBER_DOUBLE":
        return Value(number_value=float(text))
    parsed = json.loads(text.lower() if kind == "BOOLEAN" else text)
    if type(parsed) is not {"BOOLEAN": bool, "LIST": list, "STRUCT": dict}.get(kind):
        raise ValueError(f"{kind} expected, found {text!r}")
    return json_format.ParseDict(parsed, Value())


def _merge(written: pb.RuntimeArtifact, artifact: pb.RuntimeArtifact) -> None:
    artifact.uri = written.uri or artifact.uri
    for name, value in written.metadata.fields.items():
        artifact.metadata.fields[name].CopyFrom(value)


def _upload(
    key: str,
    artifact: pb.RuntimeArtifact,
    pod: Pod,
    store: ObjectStore,
    state: RunState,
    outcome: Outcome,
) -> None:
    inside = local_path(artifact.uri)
    if inside is None:
        outcome.warnings.append(
            f"Output Artifact {key!r} does not have a recognized storage URI {artifact.uri!r}. "
            "Skipping uploading to remote storage."
        )
        return
    if not artifact.uri.startswith(state.folder):
        raise TaskFailedError(
            f"failed to upload output artifact {key!r}: URI {artifact.uri!r} does not have "
            f"expected bucket prefix {state.folder!r}"
        )
    if pod.path(inside).exists():
        store.upload(pod.path(inside), artifact.uri)
    else:
        outcome.warnings.append(f"Local filepath {inside!r} does not exist (output {key!r})")
