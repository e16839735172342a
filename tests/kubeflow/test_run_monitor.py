"""A run's steps, from the nodes that KFP returns, until it has ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from kfp_api import ALL_DONE, FakeKfp
from kfp_server_api import V2beta1PipelineTaskDetail
from submissions import Submit, error_of, parsed_details, started

from tfx_fusion.kubeflow.run_monitor import StepState, step_states

BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NEVER = datetime(1, 1, 1, tzinfo=UTC)


def detail(name: str, state: str, start: int, end: int | None = None) -> V2beta1PipelineTaskDetail:
    return V2beta1PipelineTaskDetail(
        display_name=name,
        state=state,
        start_time=BEGIN + timedelta(seconds=start),
        end_time=NEVER if end is None else BEGIN + timedelta(seconds=end),
    )


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
    states = step_states(["Rows", "Train"], parsed_details([{"Rows": phase}]))
    assert (states["Rows"].status, states["Train"].status) == (status, "waiting")


def test_a_step_between_its_driver_and_its_pod_is_running() -> None:
    states = step_states(["Rows"], [detail("Rows-driver", "SUCCEEDED", 0, 5)])
    assert states["Rows"].status == "running"


def test_the_steps_of_a_run_without_nodes_wait() -> None:
    assert step_states(["Rows"], None) == {"Rows": StepState("waiting")}


def test_seconds_are_from_the_drivers_start_to_the_end() -> None:
    nodes = [detail("Rows-driver", "SUCCEEDED", 10, 15), detail("Rows", "SUCCEEDED", 16, 40)]
    assert step_states(["Rows"], nodes)["Rows"] == StepState("done", 30.0)


@pytest.mark.parametrize("long", ["A", "B"])
def test_of_parallel_steps_the_reused_one_is_found(long: str) -> None:
    short = "B" if long == "A" else "A"
    nodes = [
        detail(long, "SUCCEEDED", 0, 300),
        detail("executor", "SUCCEEDED", 0, 299),
        detail("executor", "SKIPPED", 100, 100),
        detail(short, "SUCCEEDED", 100, 101),
    ]
    states = step_states(["A", "B"], nodes)
    assert (states[long].status, states[short].status) == ("done", "reused")


def test_of_steps_that_start_together_the_reused_one_ends_at_once() -> None:
    nodes = [
        detail("A", "SUCCEEDED", 0, 300),
        detail("B", "SUCCEEDED", 0, 1),
        detail("executor", "SKIPPED", 0, 0),
        detail("executor", "SUCCEEDED", 0, 299),
    ]
    states = step_states(["A", "B"], nodes)
    assert (states["A"].status, states["B"].status) == ("done", "reused")


def test_the_last_attempt_counts_where_a_run_was_retried() -> None:
    nodes = [detail("Rows", "SUCCEEDED", 90, 99), detail("Rows", "FAILED", 0, 9)]
    assert step_states(["Rows"], nodes)["Rows"].status == "done"


def test_a_run_is_monitored_step_by_step_to_its_end(
    kfp: FakeKfp, submit: Submit, printed: StringIO
) -> None:
    kfp.script = ALL_DONE
    submission = submit()
    started(submission)
    submission.follow(None)
    lines = [line for line in printed.getvalue().splitlines() if line.split(":")[0] in
             ("Rows", "Train", "Report")]  # fmt: skip
    assert lines == [
        "Rows: running",
        "Rows: done in 20.0 s",
        "Train: running",
        "Train: done in 20.0 s",
        "Report: running",
        "Report: done in 10.0 s",
    ]


def test_a_step_whose_executor_was_skipped_is_shown_as_reused(
    kfp: FakeKfp, submit: Submit, printed: StringIO
) -> None:
    kfp.script = [
        {"Rows": "driver"},
        {"Rows": "cached", "Train": "driver"},
        {"Rows": "cached", "Train": "running"},
        {"Rows": "cached", "Train": "done"},
    ]
    submission = submit()
    started(submission)
    submission.follow(None)
    assert "Rows: reused in 10.0 s" in printed.getvalue()
    assert "Train: done in" in printed.getvalue()


def test_a_short_interruption_of_the_server_is_waited_out(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script, kfp.losses = ALL_DONE, [2, 3]
    submission = submit()
    started(submission)
    submission.follow(None)
    assert kfp.looks >= len(ALL_DONE)


def test_a_long_interruption_of_the_server_ends_the_command_and_not_the_run(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script, kfp.losses = ALL_DONE, list(range(2, 1000))
    submission = submit()
    run_id = started(submission)
    message = error_of(submission)
    assert "could not show the run (HTTP 503)" in message
    assert f"the run may still be active: {submission.server.run_url(run_id)}" in message


def test_a_token_that_is_no_longer_valid_ends_the_command_and_not_the_run(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script = ALL_DONE
    submission = submit()
    run_id = started(submission)
    kfp.token = "another"  # noqa: S105
    message = error_of(submission)
    assert "refuses to show the run (HTTP 401): give a token" in message
    assert f"the run may still be active: {submission.server.run_url(run_id)}" in message


def test_a_step_whose_driver_failed_has_failed(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script = [{"Rows": "driver"}, {"Rows": "driver failed", "Train": "omitted"}]
    kfp.final = "FAILED"
    submission = submit()
    started(submission)
    assert error_of(submission).startswith("step Rows failed: ")


def test_a_run_that_fails_before_any_step_reports_the_error_of_kfp(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script, kfp.final, kfp.error = [{}], "FAILED", "quota exceeded"
    submission = submit()
    started(submission)
    assert error_of(submission).startswith("the run failed before any step: quota exceeded\n")


def test_a_run_that_was_stopped_is_reported_as_such(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script, kfp.final = [{"Rows": "running"}], "CANCELED"
    submission = submit()
    started(submission)
    assert error_of(submission).startswith("the run was stopped\n")
