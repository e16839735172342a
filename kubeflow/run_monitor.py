"""Monitors a run on Kubeflow: the status of its steps until it has ended, and why it failed.

KFP's API returns the nodes of the Argo workflow behind a run. A step `Rows` has three of them:
`Rows-driver`, which resolves its inputs and decides whether it is reused; `Rows`, the whole of it;
and its pod, whose node is always called `executor`, whatever the step. A reused step is one whose
executor was skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from tfx_fusion.kubeflow.kfp_server import LostServerError, Server
from tfx_fusion.kubeflow.pods import ROOT, Pod, Pods, cause, stuck_message
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.report.record import Status
from tfx_fusion.pipeline.steps import Step

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")  # of a run
FAILED = ("FAILED", "CANCELED")
ACTIVE = ("PENDING", "RUNNING", "PAUSED", "CANCELING")
FIRST_YEAR = 1971  # KFP writes year 1 or 1970 for a time that has not come yet


@dataclass(frozen=True)
class Pace:
    """Seconds between two requests for the run and for its pods, and until trouble is an error."""

    run: float = 2.0
    pods: float = 10.0
    stuck: float = 120.0
    lost: float = 120.0


@dataclass
class RunMonitor:
    """One run, its steps kept up to date."""

    server: Server
    run_id: str
    steps: Mapping[str, Step]
    pods: Pods
    image: str
    pace: Pace
    _workflow: str | None = None
    _pods_read: float = field(default_factory=time.monotonic)
    _notes: dict[str, str] = field(default_factory=dict)  # by step, why it does not start
    _stuck_since: float | None = None

    def until_ended(
        self, changed: Callable[[Step], None], log: Callable[[str], None]
    ) -> V2beta1Run:
        """The run once it has ended, in success or failure.

        Raises RunError where the server does not answer or a step cannot start for too long; the
        run itself continues.
        """
        while True:
            run = self._current()
            details = run.run_details.task_details if run.run_details else None
            self._workflow = self._workflow or workflow_of(details)
            for name, state in step_states(self.steps, details).items():
                if _update(self.steps[name], state):
                    changed(self.steps[name])
            if run.state in ENDED:
                return run
            if time.monotonic() - self._pods_read >= self.pace.pods:
                self._check_pods(log)
            time.sleep(self.pace.run)

    def failure(self, run: V2beta1Run, folder: Path, kubectl: str) -> RunError:
        """Why the run failed. Writes the log of the failed step into `folder` where it has one."""
        failed = [name for name, step in self.steps.items() if step.status == "failed"]
        if not failed:
            if run.state == "CANCELED":
                return RunError(f"the run was stopped\nrun: {self.server.run_url(self.run_id)}")
            return RunError(
                f"the run failed before any step: {_error_of(run)}\n"
                f"run: {self.server.run_url(self.run_id)}"
            )
        step = failed[0]
        pods = self.pods.of_steps([step], self.run_id, self._workflow)
        # A step that was retried has several pods: the last failure counts.
        pod = max(pods, key=lambda pod: pod.ended_at, default=None)
        log = self.pods.log(pod.name) if pod else None
        place = f"{kubectl} {pod.name} -c main" if pod else "the Logs of the step on the run's page"
        if log:
            file = folder / f"{step}.log"
            write_text(file, log)
            place = str(file)
        return RunError(
            f"step {step} failed: {cause(pod, log, self.image)}\nlog: {place}\n"
            f"run: {self.server.run_url(self.run_id)}"
        )

    def _current(self) -> V2beta1Run:
        """The run as it is; an interruption, as by a restarted port-forward, is waited out."""
        deadline = time.monotonic() + self.pace.lost
        while True:
            try:
                return self.server.run(self.run_id)
            except RunError as error:
                lost_server = isinstance(error, LostServerError)
                if not lost_server or time.monotonic() >= deadline:
                    raise RunError(
                        f"{error}\nthe run may still be active: {self.server.run_url(self.run_id)}"
                    ) from error
            time.sleep(self.pace.run)

    def _check_pods(self, log: Callable[[str], None]) -> None:
        """Logs why pods do not start; raises RunError where only the user can help."""
        self._pods_read = time.monotonic()
        running = [name for name, step in self.steps.items() if step.status == "running"]
        names = running or [ROOT]
        pods = self.pods.of_steps(names, self.run_id, self._workflow)
        waiting = {pod.step: pod for pod in pods if pod.waiting}
        for name in names:
            pod = waiting.get(name)
            note = (pod.waiting or "") if pod else ""
            if note and note != self._notes.get(name):
                log(f"{name} cannot start yet: {note}")
            self._notes[name] = note
            if name in self.steps:
                self.steps[name].note = note
        self._raise_if_stuck([pod for pod in waiting.values() if pod.stuck])

    def _raise_if_stuck(self, stuck: list[Pod]) -> None:
        if not stuck:
            self._stuck_since = None
            return
        if self._stuck_since is None:
            self._stuck_since = time.monotonic()
        if time.monotonic() - self._stuck_since >= self.pace.stuck:
            raise RunError(
                f"{stuck_message(stuck[0], self.image)}\n"
                f"pod: {stuck[0].name}\n"
                f"the run is still waiting for it: {self.server.run_url(self.run_id)}"
            )


def _update(step: Step, state: StepState) -> bool:
    """Writes a state into a step; returns whether its status has changed."""
    if state.status == step.status:
        return False
    if state.status == "running":
        step.started = time.monotonic()
    elif state.status != "waiting":
        step.note = ""
    step.status, step.seconds = state.status, state.seconds
    return state.status != "waiting"


def _error_of(run: V2beta1Run) -> str:
    """The error that KFP reports of a run that has ended."""
    errors = [run.error, *(status.error for status in run.state_history or ())]
    messages = [error.message for error in errors if error is not None and error.message]
    return messages[-1] if messages else "KFP gives no reason"


@dataclass(frozen=True)
class Node:
    """One node of the workflow; times that have not come are None."""

    name: str
    state: str
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, detail: V2beta1PipelineTaskDetail) -> Node:
        """The node of a detail of a run."""
        start, end = _time(detail.start_time), _time(detail.end_time)
        return cls(detail.display_name or "", detail.state or "", start, end)


@dataclass(frozen=True)
class StepState:
    """The status of a step, and its seconds once it has ended."""

    status: Status
    seconds: float = 0.0


def step_states(
    names: Iterable[str], details: Iterable[V2beta1PipelineTaskDetail] | None
) -> dict[str, StepState]:
    """The state of each step. A step without a node waits, and so does one that Argo omitted."""
    nodes = [Node.of(detail) for detail in details or ()]
    # A retried run has a node twice: the one that started last counts.
    by_name = {node.name: node for node in sorted(nodes, key=_started)}
    wholes = {name: by_name[name] for name in names if name in by_name}
    reused = _reused(wholes, [n for n in nodes if n.name == "executor" and n.state == "SKIPPED"])
    return {
        name: _state(wholes.get(name), by_name.get(f"{name}-driver"), name in reused)
        for name in names
    }


def _state(whole: Node | None, driver: Node | None, reused: bool) -> StepState:
    found = [node for node in (driver, whole) if node is not None]
    seconds = _seconds(found)
    if any(node.state in FAILED for node in found):
        return StepState("failed", seconds)
    if whole is not None and whole.state == "SUCCEEDED":
        return StepState("reused" if reused else "done", seconds)
    if whole is None and driver is not None and driver.state == "SUCCEEDED":
        return StepState("running")
    last = found[-1] if found else None
    return StepState("running" if last is not None and last.state in ACTIVE else "waiting")


def _reused(wholes: dict[str, Node], skipped: list[Node]) -> set[str]:
    """The steps whose executor was skipped.

    No executor names its step. A skipped one starts together with its step, which ends at once: it
    belongs to the step that started nearest to it, of several to the shortest.
    """
    reused: set[str] = set()
    for executor in skipped:
        candidates = [
            (abs(_started(node) - _started(executor)), _seconds([node]), name)
            for name, node in wholes.items()
            if node.state == "SUCCEEDED" and name not in reused
        ]
        if candidates:
            reused.add(min(candidates)[2])
    return reused


def workflow_of(details: Iterable[V2beta1PipelineTaskDetail] | None) -> str | None:
    """The name of the Argo workflow behind a run: each node is called by it and a number."""
    for detail in details or ():
        for child in detail.child_tasks or ():
            name, _, number = (child.pod_name or "").rpartition("-")
            if name and number.isdigit():
                return name
    return None


def _time(value: datetime | None) -> datetime | None:
    return value if value is not None and value.year >= FIRST_YEAR else None


def _started(node: Node) -> float:
    return node.start.timestamp() if node.start else 0.0


def _seconds(nodes: list[Node]) -> float:
    starts = [node.start for node in nodes if node.start]
    ends = [node.end for node in nodes if node.end]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0
