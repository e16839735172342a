"""Kubeflow Pipelines without a cluster: runs a compiled pipeline step by step, each in a pod.

It imitates version 2.17, read in its source: `cluster_spec` does what the server does,
`cluster_driver` prepares a step's inputs, `cluster_pod` its file system, `cluster_launcher` handles
its outputs; this file does what Argo does: order and retries. Images are ignored (the pod holds
this environment and this source), nothing is cached, and steps run one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from cluster_driver import (
    RunState,
    TaskFailedError,
    executor_input,
    parameter_value,
    root_parameters,
)
from cluster_launcher import ObjectStore, Outcome, launch
from cluster_pod import Pod, need_pods
from cluster_spec import Pipeline, Task, read_pipeline, strictly
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from tfx_fusion.modules.errors import suggestion

ROOT = "minio://mlpipeline/v2/artifacts"


@dataclass
class Attempt:
    """One pod of a step. Without an exit code its command was not started."""

    exit_code: int | None
    seconds: float
    log: str
    error: str = ""


@dataclass
class Step:
    """What became of a task. `status` is succeeded, failed, or omitted after another's failure."""

    name: str
    status: str = "omitted"
    error: str = ""
    given: pb.ExecutorInput = field(default_factory=pb.ExecutorInput, repr=False)
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    uris: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def executor_input(self) -> dict[str, Any]:
        return json_format.MessageToDict(self.given)

    @property
    def log(self) -> str:
        """Everything that its attempts have printed."""
        return "".join(attempt.log for attempt in self.attempts)

    @property
    def seconds(self) -> float:
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def retries(self) -> int:
        return max(len(self.attempts) - 1, 0)

    def __str__(self) -> str:
        facts = [f"{self.name}: {self.status}"]
        if self.attempts:
            facts.append(f"{self.seconds:.1f} s")
        if self.retries:
            facts.append(f"retries: {self.retries}")
        return ", ".join([*facts, *filter(None, [self.error]), *self.warnings])


@dataclass
class Run:
    """A run of a pipeline and what came of it."""

    cluster: Cluster
    pipeline: Pipeline
    state: RunState
    steps: dict[str, Step] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return all(step.status == "succeeded" for step in self.steps.values())

    def __str__(self) -> str:
        return "\n".join(str(step) for step in self.steps.values())

    def artifact(self, task: str, key: str) -> Path:
        """An output in the object store: the folder or file that was uploaded."""
        return self.cluster.store.path(self.steps[task].uris[key])

    def repeat(self, task: str) -> Step:
        """Runs a task once more, with the same ExecutorInput in a new pod."""
        return self._step(self.pipeline.tasks[task], self.steps[task].given, None)

    def _go_on(self, kill_first_attempt: Mapping[str, float | str]) -> None:
        for name, task in self.pipeline.tasks.items():
            step = Step(name)
            if all(other.status == "succeeded" for other in self.steps.values()):
                try:
                    given = executor_input(task, self.state)
                    step = self._step(task, given, kill_first_attempt.get(name))
                except TaskFailedError as error:
                    step = Step(name, "failed", f"driver: {error}")
            self.steps[name] = step
            print(step)

    def _step(self, task: Task, given: pb.ExecutorInput, kill: float | str | None) -> Step:
        step = Step(task.name, "failed", given=given)
        for number in range(1 + task.spec.retry_policy.max_retry_count):
            self._attempt(task, given, step, kill if number == 0 else None)
            # A pod that cannot start is not tried again.
            if step.status == "succeeded" or step.attempts[-1].exit_code is None:
                break
        return step

    def _attempt(
        self, task: Task, given: pb.ExecutorInput, step: Step, kill: float | str | None
    ) -> None:
        outcome = Outcome()
        start = time.monotonic()
        step.error = ""
        try:
            pod = self.cluster.pod(task, self.state)
            try:
                stop = _killer(kill)
                launch(task, given, pod, self.cluster.store, self.state, stop, outcome)
            finally:
                pod.remove()
            for key, artifact in outcome.artifacts.items():
                self.state.record(task.name, key, artifact)
        except TaskFailedError as error:
            step.error = str(error)
        seconds = time.monotonic() - start
        step.attempts.append(Attempt(outcome.exit_code, seconds, outcome.log, step.error))
        step.warnings = outcome.warnings
        if step.error:
            return
        step.status = "succeeded"
        for key in outcome.artifacts:
            found = self.state.artifacts[task.name, key]
            step.uris[key] = found.uri
            step.metadata[key] = json_format.MessageToDict(found.metadata)
        for key, value in outcome.parameters.items():
            self.state.outputs[task.name, key] = value
            step.parameters[key] = json_format.MessageToDict(value)


def _killer(kill: float | str | None) -> Callable[[float, Path], bool]:
    """Says when to kill a step: after so many seconds, or when its log holds a text."""
    if isinstance(kill, str):
        return lambda seconds, log: kill in log.read_text(errors="replace")
    return lambda seconds, log: kill is not None and seconds > kill


@dataclass(frozen=True)
class Cluster:
    """Claims are folders that play volumes, secrets are keys with their values, both by name."""

    folder: Path
    claims: Mapping[str, Path] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.folder / "store")

    def run(
        self,
        compiled: Path,
        parameters: Mapping[str, Any] | None = None,
        root: str = ROOT,
        kill_first_attempt: Mapping[str, float | str] | None = None,
    ) -> Run:
        """Runs a compiled pipeline; a step's line is printed when it has ended.

        The first attempt of a task in `kill_first_attempt` is killed after so many seconds, or
        when its log holds a text.
        """
        pipeline = read_pipeline(compiled)
        values = root_parameters(pipeline, parameters or {})
        kill_first_attempt = kill_first_attempt or {}
        for name in set(kill_first_attempt) - set(pipeline.tasks):
            raise ValueError(f"no task '{name}': {suggestion(name, pipeline.tasks)}")
        need_pods()
        run = Run(self, pipeline, RunState(pipeline.name, str(uuid4()), root, values))
        run._go_on(kill_first_attempt)
        return run

    def pod(self, task: Task, state: RunState) -> Pod:
        """A new pod with a task's volumes and variables; refused like Kubernetes refuses it."""
        name = f"{task.name.lower()}-{uuid4().hex[:8]}"
        volumes = {}
        for mount in task.kubernetes.get("pvcMount", []):
            claim = self._named(mount, "pvcNameParameter", "constant", task, state)
            if claim not in self.claims:
                raise TaskFailedError(f'persistentvolumeclaim "{claim}" not found')
            volumes[mount["mountPath"]] = self.claims[claim] / mount.get("subPath", "")
        environment = {"HOSTNAME": name, "KFP_POD_NAME": name}
        environment |= {variable.name: variable.value for variable in task.container.env}
        for entry in task.kubernetes.get("secretAsEnv", []):
            secret = self._named(entry, "secretNameParameter", "secretName", task, state)
            for pair in entry["keyToEnv"]:
                if pair["secretKey"] in self.secrets.get(secret, {}):
                    environment[pair["envVar"]] = self.secrets[secret][pair["secretKey"]]
                elif secret not in self.secrets and not entry.get("optional"):
                    raise TaskFailedError(f'secret "{secret}" not found')
                elif not entry.get("optional"):
                    raise TaskFailedError(
                        f"couldn't find key {pair['secretKey']} in Secret {secret}"
                    )
        return Pod(self.folder / "pods" / name, volumes, environment)

    def _named(
        self, entry: dict[str, Any], parameter: str, constant: str, task: Task, state: RunState
    ) -> str:
        if parameter in entry:
            spec = strictly(entry[parameter], pb.TaskInputsSpec.InputParameterSpec(), parameter)
            return parameter_value(spec, task, state).string_value
        if constant not in entry:
            raise TaskFailedError(f"{constant} is missing among {sorted(entry)}")
        return entry[constant]
