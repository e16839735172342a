"""The pods of a run's steps: whether one cannot start, why it failed, and its log.

They are read from the Kubernetes API where there is a kubeconfig, else through KFP's user
interface, which shows one pod at a time by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tfx_fusion.kubeflow.kfp_server import LostServerError, Server
from tfx_fusion.modules.errors import user_error

# Argo writes on each pod which node of the workflow it is.
NODE_NAME = "workflows.argoproj.io/node-name"
STEP = re.compile(r"\.root\.(?P<step>[^.]+?)(?:-driver|\.executor)(?:\(\d+\))?")
ROOT = "root"  # KFP's task around all steps, whose driver has a pod as well
# A container that waits for one of these reasons never starts until somebody acts.
STUCK = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip

# Lines in the format of glog come from KFP's launcher around the step.
LAUNCHER = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d|^time=\"")
RAISED = re.compile(r"^(?:\w+\.)*(?:\w*(?:Error|Exception|Interrupt|Exit))(?:: |$)")
DIED = re.compile(r"^F\d{4} [^\]]*\] (?P<reason>.+)")
EXITED = re.compile(r"exit status \d+$")  # says only that the step failed
KILLED = re.compile(r"failed to execute component: signal: killed")
NO_COMMAND = re.compile(
    r'exec: "?fusion"?: (?:executable file not found|no such file)|fusion: (?:command )?not found'
    r"|exec: .*\bfusion\b.*(?:executable file not found|no such file)"
)
LONGEST = 1500


@dataclass(frozen=True)
class Pod:
    """A pod: why it does not start (for good, where it is `stuck`), or how its container failed."""

    name: str
    step: str
    driver: bool  # KFP's own, in its own image
    waiting: str | None
    stuck: bool
    ended: str | None
    ended_at: str = ""  # as Kubernetes writes it, which sorts by time

    @classmethod
    def of(cls, seen: dict[str, Any]) -> Pod | None:
        """A pod as Kubernetes writes it; None where it belongs to no step."""
        about, status = seen.get("metadata") or {}, seen.get("status") or {}
        node = (about.get("annotations") or {}).get(NODE_NAME, "")
        found = STEP.search(node)
        if found is None and not node.endswith(".root-driver"):
            return None
        waiting, stuck = _unscheduled(status), False
        ended, ended_at = None, ""
        containers = [
            *(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())
        ]  # fmt: skip
        for container in containers:
            state = container.get("state") or {}
            if (state.get("waiting") or {}).get("reason") in STUCK:
                waiting, stuck = _message(state["waiting"]), True
            last = state.get("terminated") or {}
            if last.get("exitCode"):
                ended = f"{_message(last)} (exit code {last['exitCode']})"
                ended_at = last.get("finishedAt") or ""
        step, driver = (found["step"], "-driver" in found[0]) if found else (ROOT, True)
        return cls(about.get("name", ""), step, driver, waiting, stuck, ended, ended_at)


def _unscheduled(status: dict[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _message(condition)
    return None


def _message(status: dict[str, Any]) -> str:
    return ": ".join(part for part in (status.get("reason"), status.get("message")) if part)


class Pods(Protocol):
    """A source of pods."""

    def of_steps(self, steps: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        """The pods of some steps of a run."""

    def log(self, pod: str) -> str | None:
        """The log of a pod's main container; None where it cannot be read."""


class UserInterfacePods:
    """Pods read through KFP's user interface, by the names that Argo gives them."""

    def __init__(self, server: Server, namespace: str, retries: Callable[[str], int]) -> None:
        self._server = server
        self._namespace = namespace
        self._retries = retries

    def of_steps(self, steps: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        if workflow is None:
            return []
        names = [n for step in steps for n in pod_names(workflow, step, self._retries(step))]
        return [pod for pod in map(self._pod, names) if pod is not None]

    def log(self, pod: str) -> str | None:
        answer = self._get("k8s/pod/logs", pod)
        return None if answer is None else str(answer.text)

    def _pod(self, name: str) -> Pod | None:
        answer = self._get("k8s/pod", name)
        if answer is None:
            return None
        try:
            seen = answer.json()
        except ValueError:  # the page of a user interface that has no such address
            return None
        return Pod.of(seen) if isinstance(seen, dict) else None

    def _get(self, path: str, pod: str) -> Any:
        try:
            answer = self._server.get(path, podname=pod, podnamespace=self._namespace)
        except LostServerError:
            return None
        return answer if answer.status_code == 200 else None


def pod_names(workflow: str, step: str, retries: int) -> list[str]:
    """The names of the pods of a step: the template that they are made from, then a hash."""
    if step == ROOT:
        return [_pod_name(workflow, "system-dag-driver", "root-driver")]
    driver = _pod_name(workflow, "system-container-driver", f"root.{step}-driver")
    if not retries:
        return [driver, _pod_name(workflow, "system-container-impl", f"root.{step}.executor")]
    template = "retry-system-container-impl"
    return [driver] + [
        _pod_name(workflow, template, f"root.{step}.executor({attempt})")
        for attempt in range(retries + 1)
    ]


def _pod_name(workflow: str, template: str, node: str) -> str:
    return f"{workflow}-{template}-{_fnv1a(f'{workflow}.{node}'.encode())}"


def _fnv1a(data: bytes) -> int:
    """FNV-1a of 32 bits, by which Argo numbers the nodes of a workflow."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 % 2**32
    return value


def cause(pod: Pod | None, log: str | None, image: str) -> str:
    """The cause of a failure in one paragraph, with the key to change where it is known.

    Args:
        pod: the failed pod; None where it cannot be read.
        log: that of its main container; None where it cannot be read.
        image: `kubeflow.image`.
    """
    ended = pod.ended if pod else None
    text = " ".join(part for part in (log, ended) if part)
    if NO_COMMAND.search(text) or (ended and "exit code 127" in ended):
        return f"kubeflow.image: {image} has no command `fusion`: build it with kubeflow/Dockerfile"
    if ended and (ended.startswith("OOMKilled") or KILLED.search(log or "")):
        return f"{ended}: killed, most likely out of memory: raise kubeflow.memory"
    return _reported(log or "") or ended or "KFP gives no reason; see its log"


def stuck_message(pod: Pod, image: str) -> str:
    """The reason why a pod does not start, with the key to change where it is known."""
    waiting = pod.waiting or ""
    if pod.driver:
        subject = "the run" if pod.step == ROOT else f"step {pod.step}"
        return f"{subject} cannot start: KFP's own driver waits: {waiting}"
    if "Image" in waiting.split(":")[0]:
        waiting = f"kubeflow.image: {image} cannot be pulled: {waiting}"
    elif "secret" in waiting:
        waiting = f"kubeflow.secrets: {waiting}"
    return f"step {pod.step} cannot start: {waiting}"


def _reported(log: str) -> str | None:
    """The error in a log: a user's, another exception, the launcher's, or the last line."""
    error = user_error(log)
    if error is not None:
        return str(error)[:LONGEST]
    lines = [line.rstrip() for line in log.splitlines()]
    own = [number for number, line in enumerate(lines) if line and not LAUNCHER.match(line)]
    raised = [number for number in own if RAISED.match(lines[number])]
    if raised:
        return _paragraph(lines, raised[-1])
    died = [found["reason"] for line in lines if (found := DIED.match(line))]
    if died and not EXITED.search(died[-1]):
        return str(died[-1])[:LONGEST]
    return lines[own[-1]][:LONGEST] if own else None


def _paragraph(lines: list[str], start: int) -> str:
    """Lines from one on, up to the launcher's own."""
    end = start + 1
    while end < len(lines) and lines[end] and not LAUNCHER.match(lines[end]):
        end += 1
    return "\n".join(line.strip() for line in lines[start:end])[:LONGEST]
