"""Following a run on Kubeflow: its stages kept up to date until it has ended, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kfp_server_api import V2beta1Run

from tfx_fusion.kubeflow.kfp_server import LostServerError, Server
from tfx_fusion.kubeflow.pods import ROOT, Pod, Pods
from tfx_fusion.kubeflow.stage_failure import cause, stuck_message
from tfx_fusion.kubeflow.task_states import ENDED, StageState, stage_states, workflow_of
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.pipeline.steps import Step


@dataclass(frozen=True)
class Pace:
    """Seconds: between two looks at the run and at its pods, and how long trouble is borne."""

    run: float = 2.0
    pods: float = 10.0
    stuck: float = 120.0
    lost: float = 120.0


class Following:
    """One run, and what of it was last seen."""

    def __init__(
        self,
        server: Server,
        run_id: str,
        stages: Mapping[str, Step],
        pods: Pods,
        image: str,
        pace: Pace,
    ) -> None:
        self._server = server
        self._run_id = run_id
        self._stages = stages
        self._pods = pods
        self._image = image
        self._pace = pace
        self._workflow: str | None = None
        self._looked = time.monotonic()  # at the pods
        self._notes: dict[str, str] = {}  # what keeps stages from starting
        self._stuck_since: float | None = None

    def until_ended(
        self, changed: Callable[[Step], None], tell: Callable[[str], None]
    ) -> V2beta1Run:
        """The run once it has ended, well or not.

        Raises RunError where the server is lost for long, or a stage cannot start for long: the run
        itself is left as it is.
        """
        while True:
            run = self._seen()
            details = run.run_details.task_details if run.run_details else None
            self._workflow = self._workflow or workflow_of(details)
            for name, state in stage_states(self._stages, details).items():
                if _update(self._stages[name], state):
                    changed(self._stages[name])
            if run.state in ENDED:
                return run
            if time.monotonic() - self._looked >= self._pace.pods:
                self._look_at_pods(tell)
            time.sleep(self._pace.run)

    def failure(self, run: V2beta1Run, folder: Path, kubectl: str) -> RunError:
        """Why the run failed. The log of the stage goes into a folder, where it is to be had."""
        failed = [name for name, stage in self._stages.items() if stage.status == "failed"]
        if not failed:
            if run.state == "CANCELED":
                return RunError(f"the run was stopped\nrun: {self._server.run_url(self._run_id)}")
            return RunError(
                f"the run failed before a step did: {_told(run)}\n"
                f"run: {self._server.run_url(self._run_id)}"
            )
        stage = failed[0]
        pods = self._pods.of_stages([stage], self._run_id, self._workflow)
        # A stage that is tried again has several: what failed last tells.
        pod = max(pods, key=lambda pod: pod.ended_at, default=None)
        log = self._pods.log(pod.name) if pod else None
        place = f"{kubectl} {pod.name} -c main" if pod else "the stage's Logs on its page"
        if log:
            file = folder / f"{stage}.log"
            write_text(file, log)
            place = str(file)
        return RunError(
            f"step {stage} failed: {cause(pod, log, self._image)}\nlog: {place}\n"
            f"run: {self._server.run_url(self._run_id)}"
        )

    def _seen(self) -> V2beta1Run:
        """What the server tells, which a port-forward that is made anew may interrupt."""
        lost = time.monotonic() + self._pace.lost
        while True:
            try:
                return self._server.run(self._run_id)
            except RunError as error:
                away = isinstance(error, LostServerError)
                if not away or time.monotonic() >= lost:
                    raise RunError(
                        f"{error}\nthe run may go on: {self._server.run_url(self._run_id)}"
                    ) from error
            time.sleep(self._pace.run)

    def _look_at_pods(self, tell: Callable[[str], None]) -> None:
        """Tells what keeps pods from starting; raises where nothing but the user can help."""
        self._looked = time.monotonic()
        running = [name for name, stage in self._stages.items() if stage.status == "running"]
        looked_for = running or [ROOT]
        pods = self._pods.of_stages(looked_for, self._run_id, self._workflow)
        waiting = {pod.stage: pod for pod in pods if pod.waiting}
        for name in looked_for:
            pod = waiting.get(name)
            note = (pod.waiting or "") if pod else ""
            if note and note != self._notes.get(name):
                tell(f"{name} cannot start yet: {note}")
            self._notes[name] = note
            if name in self._stages:
                self._stages[name].note = note
        self._refuse_stuck([pod for pod in waiting.values() if pod.stuck])

    def _refuse_stuck(self, stuck: list[Pod]) -> None:
        if not stuck:
            self._stuck_since = None
            return
        if self._stuck_since is None:
            self._stuck_since = time.monotonic()
        if time.monotonic() - self._stuck_since >= self._pace.stuck:
            raise RunError(
                f"{stuck_message(stuck[0], self._image)}\n"
                f"pod: {stuck[0].name}\n"
                f"the run still waits for it: {self._server.run_url(self._run_id)}"
            )


def _update(stage: Step, state: StageState) -> bool:
    """Whether a stage's status has changed."""
    if state.status == stage.status:
        return False
    if state.status == "running":
        stage.started = time.monotonic()
    elif state.status != "waiting":
        stage.note = ""
    stage.status, stage.seconds = state.status, state.seconds
    return state.status != "waiting"


def _told(run: V2beta1Run) -> str:
    """What KFP says of a run's end, if it says anything."""
    errors = [run.error, *(status.error for status in run.state_history or ())]
    messages = [error.message for error in errors if error is not None and error.message]
    return messages[-1] if messages else "KFP does not say why"
