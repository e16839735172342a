"""Reading a compiled pipeline as the API server of Kubeflow Pipelines 2.17 reads it.

The first YAML document is a PipelineSpec, the second, if any, a PlatformSpec; both are parsed
strictly. Whatever the server or its compiler to Argo refuses raises `RefusedError`; what they take
and this imitation lacks raises `NotImitatedError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

SCHEMA_VERSION = "2.1.0"
TASK_NAME = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
# What concerns where a pod is placed and how its image is fetched: nothing to imitate.
PLACEMENT = {
    "nodeSelector", "tolerations", "nodeAffinity", "podAffinity", "podMetadata",
    "imagePullSecret", "imagePullPolicy",
}  # fmt: skip
IMITATED = {"pvcMount", "secretAsEnv"}


class RefusedError(Exception):
    """The server does not take this pipeline or this run of it."""


class NotImitatedError(Exception):
    """Kubeflow takes this, the imitation does not know how."""


@dataclass(frozen=True)
class Task:
    """A task of the root, with all that its driver is given."""

    name: str
    spec: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    container: pb.PipelineDeploymentConfig.PipelineContainerSpec
    kubernetes: dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """A pipeline that the server has taken; its tasks come after those they depend on."""

    name: str
    parameters: dict[str, pb.ComponentInputsSpec.ParameterSpec]
    tasks: dict[str, Task]


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline in a compiled file."""
    documents = list(yaml.safe_load_all(path.read_text()))
    if not 1 <= len(documents) <= 2:
        raise RefusedError(
            f"{path.name}: one or two YAML documents expected, found {len(documents)}"
        )
    spec = strictly(documents[0], pb.PipelineSpec(), "the first document")
    if spec.schema_version != SCHEMA_VERSION:
        raise RefusedError(
            f"schemaVersion {SCHEMA_VERSION} expected, found {spec.schema_version!r}"
        )
    if not PIPELINE_NAME.fullmatch(spec.pipeline_info.name):
        raise RefusedError(
            f"pipeline name {spec.pipeline_info.name!r}: lower-case letters, digits and '-' "
            "expected, starting with a letter or digit"
        )
    deployment = strictly(
        json_format.MessageToDict(spec.deployment_spec),
        pb.PipelineDeploymentConfig(),
        "deploymentSpec",
    )
    kubernetes = _kubernetes(documents[1]) if len(documents) == 2 else {}
    unknown = sorted(set(kubernetes) - set(deployment.executors))
    if unknown:
        raise RefusedError(f"platforms.kubernetes names executors that are not there: {unknown}")
    if spec.root.WhichOneof("implementation") != "dag" or not spec.root.dag.tasks:
        raise RefusedError("root has no dag with tasks")
    tasks = {}
    for name in _order(spec.root.dag):
        tasks[name] = _task(name, spec, deployment, kubernetes)
    return Pipeline(
        spec.pipeline_info.name, dict(spec.root.input_definitions.parameters.items()), tasks
    )


def strictly(document: Any, message: Any, what: str) -> Any:
    """The document as a protocol buffer; unknown fields are refused."""
    try:
        return json_format.ParseDict(document, message)
    except (json_format.ParseError, AttributeError, TypeError) as error:
        name = message.DESCRIPTOR.name if isinstance(message, Message) else type(message).__name__
        raise RefusedError(f"{what} is no {name}: {error}") from error


def _kubernetes(document: Any) -> dict[str, dict[str, Any]]:
    """The settings for Kubernetes of each executor."""
    platforms = strictly(document, pb.PlatformSpec(), "the second document").platforms
    if set(platforms) != {"kubernetes"}:
        raise RefusedError(f"platforms: only kubernetes expected, found {sorted(platforms)}")
    settings = {}
    for label, struct in platforms["kubernetes"].deployment_spec.executors.items():
        config = json_format.MessageToDict(struct)
        if find_spec("kfp.kubernetes"):
            proto = import_module("kfp.kubernetes.kubernetes_executor_config_pb2")
            strictly(config, proto.KubernetesExecutorConfig(), f"platforms.kubernetes, {label}")
        beyond = sorted(set(config) - PLACEMENT - IMITATED)
        if beyond:
            raise NotImitatedError(f"platforms.kubernetes, {label}: {', '.join(beyond)}")
        settings[label] = config
    return settings


def _order(dag: pb.DagSpec) -> list[str]:
    """The names of the tasks, each after those that it waits for."""
    waits: dict[str, set[str]] = {}
    for name, task in sorted(dag.tasks.items()):
        if not TASK_NAME.fullmatch(name):
            raise RefusedError(f"task name {name!r}: Argo allows letters, digits and '-' only")
        producers = {
            parameter.task_output_parameter.producer_task
            for parameter in task.inputs.parameters.values()
            if parameter.WhichOneof("kind") == "task_output_parameter"
        } | {
            artifact.task_output_artifact.producer_task
            for artifact in task.inputs.artifacts.values()
            if artifact.WhichOneof("kind") == "task_output_artifact"
        }
        for producer in sorted(producers - set(dag.tasks)):
            raise RefusedError(f"task {name}: unknown producer task {producer!r} in DAG")
        for other in sorted(set(task.dependent_tasks) - set(dag.tasks)):
            raise RefusedError(f"task {name}: dependency {other!r} not found")
        waits[name] = producers | set(task.dependent_tasks)
    try:
        return list(TopologicalSorter(waits).static_order())
    except CycleError as error:
        raise RefusedError(f"tasks wait for one another: {error.args[1]}") from error


def _task(
    name: str,
    spec: pb.PipelineSpec,
    deployment: pb.PipelineDeploymentConfig,
    kubernetes: dict[str, dict[str, Any]],
) -> Task:
    task = spec.root.dag.tasks[name]
    if task.component_ref.name not in spec.components:
        raise RefusedError(f"task {name}: component {task.component_ref.name!r} not found")
    if not task.task_info.name:
        raise RefusedError(f"task {name}: taskInfo.name is required")
    component = spec.components[task.component_ref.name]
    if component.WhichOneof("implementation") != "executor_label":
        raise NotImitatedError(f"task {name}: a component that is a DAG")
    label = component.executor_label
    if label not in deployment.executors:
        raise RefusedError(f"task {name}: executor with label {label!r} not found")
    executor = deployment.executors[label]
    kind = executor.WhichOneof("spec")
    if kind == "resolver":
        raise RefusedError(f"task {name}: resolver executors not implemented")
    if kind != "container":
        raise NotImitatedError(f"task {name}: an executor of kind {kind}")
    if task.trigger_policy.condition or task.trigger_policy.strategy > 1:
        raise NotImitatedError(f"task {name}: a trigger policy")
    if task.WhichOneof("iterator"):
        raise NotImitatedError(f"task {name}: an iterator")
    for key, parameter in task.inputs.parameters.items():
        constant = parameter.runtime_value.constant.string_value
        if parameter.parameter_expression_selector or "{{$.inputs.parameters[" in constant:
            raise NotImitatedError(f"task {name}: an expression in the parameter {key}")
    return Task(name, task, component, executor.container, kubernetes.get(label, {}))
