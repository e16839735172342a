"""The pods of a run's stages: whether one cannot start, how it ended, and its log.

They are seen through the Kubernetes API where a kubeconfig is at hand, else through KFP's user
interface, which shows one pod at a time by its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from tfx_fusion.kubeflow.cluster_state import ClosedClusterError, Cluster
from tfx_fusion.kubeflow.kfp_server import LostServerError, Server

# Argo writes on each pod which node of the workflow it is.
NODE_NAME = "workflows.argoproj.io/node-name"
STAGE = re.compile(r"\.root\.(?P<stage>[^.]+?)(?:-driver|\.executor)(?:\(\d+\))?")
ROOT = "root"  # what comes before the first stage, whose driver has a pod as well
# Without somebody's doing a container that waits for one of these reasons never starts.
STUCK = (
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip


@dataclass(frozen=True)
class Pod:
    """What a pod tells: why it does not start (for good, where it is `stuck`) or why it failed."""

    name: str
    stage: str
    driver: bool  # KFP's own, in its own image
    waiting: str | None
    stuck: bool
    ended: str | None
    ended_at: str = ""  # as Kubernetes writes it, which sorts by time

    @classmethod
    def of(cls, seen: dict[str, Any]) -> Pod | None:
        """A pod as Kubernetes writes it; None where it belongs to no stage."""
        about, status = seen.get("metadata") or {}, seen.get("status") or {}
        node = (about.get("annotations") or {}).get(NODE_NAME, "")
        found = STAGE.search(node)
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
                waiting, stuck = _said(state["waiting"]), True
            last = state.get("terminated") or {}
            if last.get("exitCode"):
                ended = f"{_said(last)} (exit code {last['exitCode']})"
                ended_at = last.get("finishedAt") or ""
        stage, driver = (found["stage"], "-driver" in found[0]) if found else (ROOT, True)
        return cls(about.get("name", ""), stage, driver, waiting, stuck, ended, ended_at)


def _unscheduled(status: dict[str, Any]) -> str | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _said(condition)
    return None


def _said(status: dict[str, Any]) -> str:
    return ": ".join(part for part in (status.get("reason"), status.get("message")) if part)


class Pods(Protocol):
    """Where pods are seen."""

    def of_stages(self, stages: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        """The pods of some stages of a run."""

    def log(self, pod: str) -> str | None:
        """What a pod's main container has written; None where it is not to be had."""


class ClusterPods:
    """Pods seen through the Kubernetes API."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def of_stages(self, stages: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        wanted = set(stages)
        try:
            seen = self._cluster.pods_of_run(run_id)
        except ClosedClusterError:
            return []
        return [pod for pod in map(Pod.of, seen) if pod is not None and pod.stage in wanted]

    def log(self, pod: str) -> str | None:
        return self._cluster.log(pod)


class InterfacePods:
    """Pods seen through KFP's user interface, by the names that Argo gives them."""

    def __init__(self, server: Server, namespace: str, retries: Callable[[str], int]) -> None:
        self._server = server
        self._namespace = namespace
        self._retries = retries

    def of_stages(self, stages: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        if workflow is None:
            return []
        names = [n for stage in stages for n in pod_names(workflow, stage, self._retries(stage))]
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


def pod_names(workflow: str, stage: str, retries: int) -> list[str]:
    """What the pods of a stage are called: the template that they are made from, then a hash."""
    if stage == ROOT:
        return [_pod_name(workflow, "system-dag-driver", "root-driver")]
    driver = _pod_name(workflow, "system-container-driver", f"root.{stage}-driver")
    if not retries:
        return [driver, _pod_name(workflow, "system-container-impl", f"root.{stage}.executor")]
    template = "retry-system-container-impl"
    return [driver] + [
        _pod_name(workflow, template, f"root.{stage}.executor({attempt})")
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
