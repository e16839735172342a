"""Pods of a run: which belong to a step, why one cannot start, and the cause of a failure."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from kfp_api import ALL_DONE, WORKFLOW, FakeKfp, node_number
from kubernetes_api import FakeKubernetes, ended, pod, waiting
from submissions import Submit, error_of, parsed_details, started

from tfx_fusion.kubeflow.pods import pod_names
from tfx_fusion.kubeflow.run_monitor import workflow_of
from tfx_fusion.modules.errors import RunError

FAILED = [
    {"Rows": "running"},
    {"Rows": "done", "Train": "running"},
    {"Rows": "done", "Train": "failed", "Report": "omitted"},
]
EXECUTOR = f"{WORKFLOW}-system-container-impl-{node_number(f'{WORKFLOW}.root.Train.executor')}"
INVALID = RunError("labels.digit: row 7 has '12'; expected one of 0, 1\nwrite it as one of them")
# `fusion step` prints a user's error for `fusion submit` and for people; then the launcher fails.
LOG = f"""\
I1124 09:00:01.123456      17 main.go:79] Setting log level to: '1'
INFO epoch 1
{INVALID.line}
failed
{INVALID}
F1124 09:00:09.123456      17 main.go:60] failed to execute component: exit status 1
"""


def test_pods_have_the_names_that_argo_gives_them() -> None:
    workflow = workflow_of(parsed_details([{"Rows": "running"}]))
    assert workflow == WORKFLOW
    executor = node_number(f"{WORKFLOW}.root.Rows.executor")
    assert pod_names(WORKFLOW, "Rows", 0)[1] == f"{WORKFLOW}-system-container-impl-{executor}"


def test_node_numbers_are_fnv_1a_of_32_bits() -> None:
    # Of the function's authors: the hashes of "" and "foobar".
    assert node_number("") == 0x811C9DC5
    assert node_number("foobar") == 0xBF9CF968


def test_a_failed_step_is_reported_with_the_last_error_of_its_log(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    kfp.script, kfp.final = FAILED, "FAILED"
    submission = submit()
    run_id = started(submission)
    kfp.pods = {EXECUTOR: pod(EXECUTOR, "root.Train.executor", run_id, ended(1))}
    kfp.logs = {EXECUTOR: LOG}
    file = tmp_path / "runs" / "kubeflow" / run_id / "Train.log"
    assert error_of(submission).splitlines() == [
        "step Train failed: labels.digit: row 7 has '12'; expected one of 0, 1",
        "write it as one of them",
        f"log: {file}",
        f"run: {submission.server.run_url(run_id)}",
    ]
    assert file.read_text() == LOG


@pytest.mark.parametrize("through", ["kubernetes", "interface"])
def test_the_pod_that_failed_last_is_read_where_a_step_is_retried(
    kfp: FakeKfp, submit: Submit, request: pytest.FixtureRequest, through: str
) -> None:
    kfp.script, kfp.final = FAILED, "FAILED"
    fake = request.getfixturevalue("cluster") if through == "kubernetes" else None
    submission = submit(retries=2)
    run_id = started(submission)
    for attempt in (2, 0, 1):
        node = f"root.Train.executor({attempt})"
        name = f"{WORKFLOW}-retry-system-container-impl-{node_number(f'{WORKFLOW}.{node}')}"
        of_attempt = pod(name, node, run_id, ended(1, minute=attempt))
        if fake:
            fake.pods.append(of_attempt)
        else:
            kfp.pods[name] = of_attempt
        (fake or kfp).logs[name] = f"ValueError: attempt {attempt}\n"
    assert error_of(submission).startswith("step Train failed: ValueError: attempt 2\n")


def test_pods_are_read_from_kubernetes_where_there_is_a_kubeconfig(
    kfp: FakeKfp, submit: Submit, cluster: FakeKubernetes
) -> None:
    kfp.script, kfp.final, kfp.interface = FAILED, "FAILED", False
    submission = submit()
    run_id = started(submission)
    cluster.pods = [
        pod("of-train", "root.Train.executor", run_id, ended(1)),
        pod("of-another-run", "root.Train.executor", "another", ended(2)),
    ]
    cluster.logs = {"of-train": LOG}
    assert "step Train failed: labels.digit: row 7 has '12'" in error_of(submission)


@pytest.mark.parametrize(
    ("status", "log", "message"),
    [
        (
            ended(1),
            'F1124 09:00:00.1 1 main.go:60] failed to execute component: exec: "fusion": '
            "executable file not found in $PATH\n",
            "kubeflow.image: registry.example/fusion:1 has no command `fusion`: build it with "
            "kubeflow/Dockerfile",
        ),
        (ended(127), "sh: 1: fusion: not found\n", "has no command `fusion`: build it with"),
        (ended(137, "OOMKilled"), "epoch 3\n", "OOMKilled (exit code 137): killed, most"),
        (
            ended(1),
            "F1124 09:00:00.1 1 main.go:60] failed to execute component: signal: killed\n",
            "Error (exit code 1): killed, most likely out of memory: raise kubeflow.mem",
        ),
        (
            ended(1),
            "Traceback (most recent call last):\n  File x\nValueError: a shape\n  of two\n"
            "F1124 09:00:00.1 1 main.go:60] failed to execute component: exit status 1\n",
            "step Train failed: ValueError: a shape\nof two\nlog: ",
        ),
        (
            ended(1),
            f"RuntimeError: {RunError('row 7 has no image').line} [while running 'Rows']\n",
            "step Train failed: row 7 has no image\nlog: ",
        ),
        (ended(1), "a line\nthe last line\n\n", "step Train failed: the last line\n"),
        (
            ended(1),
            "epoch 3\nF1124 09:00:00.1 1 main.go:60] failed to upload output artifact: Denied\n",
            "step Train failed: failed to upload output artifact: Denied\n",
        ),
        (ended(2), "", "step Train failed: Error (exit code 2)\nlog: kubectl logs -n kubeflow x "),
    ],
)
def test_the_cause_of_a_failure_names_the_key_to_change(
    kfp: FakeKfp, submit: Submit, cluster: FakeKubernetes, status: dict, log: str, message: str
) -> None:
    kfp.script, kfp.final = FAILED, "FAILED"
    submission = submit()
    cluster.pods = [pod("x", "root.Train.executor", started(submission), status)]
    cluster.logs = {"x": log}
    assert message in error_of(submission)


def test_a_failure_without_a_readable_pod_names_the_step(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script, kfp.final, kfp.interface = FAILED, "FAILED", False
    submission = submit()
    started(submission)
    message = error_of(submission)
    assert "step Train failed: KFP gives no reason; see its log" in message
    assert "log: the Logs of the step on the run's page" in message


@pytest.mark.parametrize(
    ("reason", "detail", "message"),
    [
        (
            "ImagePullBackOff",
            'Back-off pulling image "registry.example/fusion:1"',
            "step Rows cannot start: kubeflow.image: registry.example/fusion:1 cannot be pulled: ",
        ),
        (
            "CreateContainerConfigError",
            'secret "store" not found',
            'step Rows cannot start: kubeflow.secrets: CreateContainerConfigError: secret "store"',
        ),
    ],
)
@pytest.mark.parametrize("through", ["kubernetes", "interface"])
def test_a_step_that_cannot_start_is_reported_and_not_waited_for_for_ever(
    kfp: FakeKfp, submit: Submit, printed: StringIO, request: pytest.FixtureRequest,
    through: str, reason: str, detail: str, message: str,
) -> None:  # fmt: skip
    kfp.script = [{"Rows": "pending"}] * 1000
    fake = request.getfixturevalue("cluster") if through == "kubernetes" else None
    submission = submit()
    run_id = started(submission)
    name = f"{WORKFLOW}-system-container-impl-{node_number(f'{WORKFLOW}.root.Rows.executor')}"
    stuck = pod(name, "root.Rows.executor", run_id, waiting(reason, detail))
    if fake:
        fake.pods = [stuck]
    else:
        kfp.pods = {name: stuck}
    failure = error_of(submission)
    assert failure.startswith(message)
    assert f"pod: {name}\n" in failure
    assert printed.getvalue().count(f"Rows cannot start yet: {reason}: {detail}") == 1


def test_a_run_whose_first_driver_cannot_start_is_reported(
    kfp: FakeKfp, submit: Submit, printed: StringIO, cluster: FakeKubernetes
) -> None:
    kfp.script = [{}] * 1000
    submission = submit()
    status = waiting("ErrImagePull", "manifest unknown")
    cluster.pods = [pod("x", "root-driver", started(submission), status)]
    message = (
        "the run cannot start: KFP's own driver waits: ErrImagePull: manifest unknown\npod: x\n"
    )
    assert error_of(submission).startswith(message)
    assert printed.getvalue().count("root cannot start yet: ErrImagePull: manifest unknown") == 1


def test_a_step_without_room_on_any_node_is_reported_and_waited_for(
    kfp: FakeKfp, submit: Submit, printed: StringIO, cluster: FakeKubernetes
) -> None:
    kfp.script = [{"Rows": "pending"}] * 30 + ALL_DONE
    submission = submit()
    message = "0/3 nodes are available: insufficient nvidia.com/gpu"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    status = {"phase": "Pending", "conditions": [{**condition, "message": message}]}
    cluster.pods = [pod("x", "root.Rows.executor", started(submission), status)]
    submission.follow(None)
    assert printed.getvalue().count(f"Rows cannot start yet: Unschedulable: {message}") == 1
