"""How the nodes that KFP tells are the stages of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from kfp_api import WORKFLOW, node_number, task_details
from kfp_server_api import ApiClient, V2beta1PipelineTaskDetail

from tfx_fusion.kubeflow.pods import pod_names
from tfx_fusion.kubeflow.task_states import StageState, stage_states, workflow_of

BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NEVER = datetime(1, 1, 1, tzinfo=UTC)


def detail(name: str, state: str, start: int, end: int | None = None) -> V2beta1PipelineTaskDetail:
    return V2beta1PipelineTaskDetail(
        display_name=name,
        state=state,
        start_time=BEGIN + timedelta(seconds=start),
        end_time=NEVER if end is None else BEGIN + timedelta(seconds=end),
    )


def parsed(frames: list[dict[str, str]]) -> list[V2beta1PipelineTaskDetail]:
    """What the API client makes of the server's answer."""
    client = ApiClient()
    deserialize = client._ApiClient__deserialize
    return deserialize(task_details("run", frames), "list[V2beta1PipelineTaskDetail]")


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        ("driver", "running"),
        ("pending", "running"),
        ("running", "running"),
        ("done", "done"),
        ("cached", "reused"),
        ("failed", "failed"),
        ("driver failed", "failed"),
        ("omitted", "waiting"),
    ],
)
def test_each_phase_of_a_workflow_has_its_status(phase: str, status: str) -> None:
    states = stage_states(["Rows", "Train"], parsed([{"Rows": phase}]))
    assert (states["Rows"].status, states["Train"].status) == (status, "waiting")


def test_a_stage_between_its_driver_and_its_pod_runs() -> None:
    states = stage_states(["Rows"], [detail("Rows-driver", "SUCCEEDED", 0, 5)])
    assert states["Rows"].status == "running"


def test_a_run_of_which_nothing_is_told_yet_waits() -> None:
    assert stage_states(["Rows"], None) == {"Rows": StageState("waiting")}


def test_seconds_are_from_the_drivers_start_to_the_end() -> None:
    told = [detail("Rows-driver", "SUCCEEDED", 10, 15), detail("Rows", "SUCCEEDED", 16, 40)]
    assert stage_states(["Rows"], told)["Rows"] == StageState("done", 30.0)


@pytest.mark.parametrize("long", ["A", "B"])
def test_of_stages_side_by_side_the_one_that_was_reused_is_found(long: str) -> None:
    short = "B" if long == "A" else "A"
    told = [
        detail(long, "SUCCEEDED", 0, 300),
        detail("executor", "SUCCEEDED", 0, 299),
        detail("executor", "SKIPPED", 100, 100),
        detail(short, "SUCCEEDED", 100, 101),
    ]
    states = stage_states(["A", "B"], told)
    assert (states[long].status, states[short].status) == ("done", "reused")


def test_of_stages_that_start_together_the_reused_one_ends_at_once() -> None:
    told = [
        detail("A", "SUCCEEDED", 0, 300),
        detail("B", "SUCCEEDED", 0, 1),
        detail("executor", "SKIPPED", 0, 0),
        detail("executor", "SUCCEEDED", 0, 299),
    ]
    states = stage_states(["A", "B"], told)
    assert (states["A"].status, states["B"].status) == ("done", "reused")


def test_what_was_tried_last_counts_where_a_run_was_tried_again() -> None:
    told = [detail("Rows", "SUCCEEDED", 90, 99), detail("Rows", "FAILED", 0, 9)]
    assert stage_states(["Rows"], told)["Rows"].status == "done"


def test_the_names_of_pods_are_those_that_argo_gives() -> None:
    workflow = workflow_of(parsed([{"Rows": "running"}]))
    assert workflow == WORKFLOW
    executor = node_number(f"{WORKFLOW}.root.Rows.executor")
    assert pod_names(WORKFLOW, "Rows", 0)[1] == f"{WORKFLOW}-system-container-impl-{executor}"


def test_numbers_of_nodes_are_fnv_1a_of_32_bits() -> None:
    # Of the function's authors: the hashes of "" and "foobar".
    assert node_number("") == 0x811C9DC5
    assert node_number("foobar") == 0xBF9CF968
