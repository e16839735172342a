"""How the tasks that KFP tells of a run are the stages of `fusion run`.

KFP tells the nodes of the Argo workflow behind a run. A stage `Rows` has three: `Rows-driver`,
which decides what it is given and whether it is reused, `Rows`, the whole of it, and `executor`,
its pod, of which KFP does not tell whose it is. A reused stage is one whose executor was skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from kfp_server_api import V2beta1PipelineTaskDetail

from tfx_fusion.modules.report.record import Status

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")  # of a run
FAILED = ("FAILED", "CANCELED")
GOING_ON = ("PENDING", "RUNNING", "PAUSED", "CANCELING")
FIRST_YEAR = 1971  # KFP writes year 1 or 1970 for a time that has not come yet


@dataclass(frozen=True)
class Node:
    """One node of the workflow; times that have not come are None."""

    name: str
    state: str
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, detail: V2beta1PipelineTaskDetail) -> Node:
        """The node that a detail tells of."""
        start, end = _time(detail.start_time), _time(detail.end_time)
        return cls(detail.display_name or "", detail.state or "", start, end)


@dataclass(frozen=True)
class StageState:
    """How a stage is, and its seconds once it has ended."""

    status: Status
    seconds: float = 0.0


def stage_states(
    names: Iterable[str], details: Iterable[V2beta1PipelineTaskDetail] | None
) -> dict[str, StageState]:
    """How each stage is. What KFP has not told of waits, and so does what it left out."""
    nodes = [Node.of(detail) for detail in details or ()]
    # A retried run tells a node twice: what started last counts.
    by_name = {node.name: node for node in sorted(nodes, key=_started)}
    wholes = {name: by_name[name] for name in names if name in by_name}
    reused = _reused(wholes, [n for n in nodes if n.name == "executor" and n.state == "SKIPPED"])
    return {
        name: _state(wholes.get(name), by_name.get(f"{name}-driver"), name in reused)
        for name in names
    }


def _state(whole: Node | None, driver: Node | None, reused: bool) -> StageState:
    told = [node for node in (driver, whole) if node is not None]
    seconds = _seconds(told)
    if any(node.state in FAILED for node in told):
        return StageState("failed", seconds)
    if whole is not None and whole.state == "SUCCEEDED":
        return StageState("reused" if reused else "done", seconds)
    if whole is None and driver is not None and driver.state == "SUCCEEDED":
        return StageState("running")
    last = told[-1] if told else None
    return StageState("running" if last is not None and last.state in GOING_ON else "waiting")


def _reused(wholes: dict[str, Node], skipped: list[Node]) -> set[str]:
    """The stages whose executor was skipped: it starts as its stage does, which then ends at once.

    Each skipped executor stands for the stage that started nearest to it, the shortest of those.
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
