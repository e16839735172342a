"""A submission, from the upload to the report, against a server that answers as KFP does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import yaml
from kfp_api import WORKFLOW, FakeKfp, node_number
from kubernetes_api import FakeKubernetes, ended, pod, waiting
from small_pipeline import PIPELINE

from tfx_fusion.kubeflow.kfp_server import Server
from tfx_fusion.kubeflow.submission import Submission
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.record import RunRecord

Submit = Callable[..., Submission]
ALL_DONE = [
    {},
    {"Rows": "driver"},
    {"Rows": "running"},
    {"Rows": "done", "Train": "driver"},
    {"Rows": "done", "Train": "running"},
    {"Rows": "done", "Train": "done", "Report": "running"},
    {"Rows": "done", "Train": "done", "Report": "done"},
]
FAILED = [
    {"Rows": "running"},
    {"Rows": "done", "Train": "running"},
    {"Rows": "done", "Train": "failed", "Report": "omitted"},
]
EXECUTOR = f"{WORKFLOW}-system-container-impl-{node_number(f'{WORKFLOW}.root.Train.executor')}"
REFUSED = RunError("labels.digit: row 7 has '12'; expected one of 0, 1\nwrite it as one of them")
# `fusion step` prints a user's error for `fusion submit` and for people; then the launcher fails.
LOG = f"""\
I1124 09:00:01.123456      17 main.go:79] Setting log level to: '1'
INFO epoch 1
{REFUSED.line}
failed
{REFUSED}
F1124 09:00:09.123456      17 main.go:60] failed to execute component: exit status 1
"""


def started(submission: Submission) -> str:
    submission.check()
    return submission.start("digits")


def followed(submission: Submission) -> str:
    with pytest.raises(RunError) as caught:
        submission.follow(None)
    return str(caught.value)


# Upload and start


def test_a_first_submission_uploads_the_pipeline_and_starts_a_run_of_it(
    kfp: FakeKfp, submit: Submit, said: StringIO, host: str
) -> None:
    run_id = started(submit())
    [pipeline], [version], [experiment] = kfp.pipelines, kfp.versions, kfp.experiments
    assert list(yaml.safe_load_all(kfp.uploads[0])) == list(yaml.safe_load_all(PIPELINE))
    assert (pipeline["display_name"], experiment["display_name"]) == ("colours", "digits")
    run = kfp.runs[run_id]
    assert run["experiment_id"] == experiment["experiment_id"]
    assert run["pipeline_version_reference"] == {
        "pipeline_id": pipeline["pipeline_id"],
        "pipeline_version_id": version["pipeline_version_id"],
    }
    assert run["runtime_config"]["pipeline_root"] == "minio://mlpipeline/fusion"
    assert f"run {host}/#/runs/details/{run_id}" in said.getvalue()


def test_a_changed_pipeline_becomes_a_version_and_the_same_one_is_uploaded_once(
    kfp: FakeKfp, submit: Submit, said: StringIO
) -> None:
    changed = PIPELINE.replace("fusion:1", "fusion:2")
    runs = [started(submit(yaml=text)) for text in (PIPELINE, changed, changed)]
    assert [len(kfp.pipelines), len(kfp.experiments)] == [1, 1]
    assert [text.count("fusion:2") for text in kfp.uploads] == [0, 1]
    used = [kfp.runs[run]["pipeline_version_reference"]["pipeline_version_id"] for run in runs]
    assert used == [kfp.versions[n]["pipeline_version_id"] for n in (0, 1, 1)]
    assert "pipeline colours was there, unchanged" in said.getvalue()


def test_several_users_have_their_own_pipelines_and_experiments(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.multi_user = True
    for namespace in ("anna", "ben"):
        started(submit(namespace))
    assert [pipeline["namespace"] for pipeline in kfp.pipelines] == ["anna", "ben"]
    assert [experiment["namespace"] for experiment in kfp.experiments] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("2.1.0", "2.0.0", "only supports schema version 2.1.0"),
        ("componentRef", "componentReef", 'no field named "componentReef"'),
        ("name: colours", "name: Colours", "only lowercase alphanumeric characters"),
    ],
)
def test_what_the_server_refuses_of_a_pipeline_is_told(
    submit: Submit, old: str, new: str, problem: str
) -> None:
    with pytest.raises(
        RunError, match=r"could not upload the pipeline '[cC]olours' \(400\)"
    ) as caught:
        started(submit(yaml=PIPELINE.replace(old, new)))
    assert problem in str(caught.value)


# Following


def test_a_run_is_followed_stage_by_stage_to_its_end(
    kfp: FakeKfp, submit: Submit, said: StringIO
) -> None:
    kfp.script = ALL_DONE
    submission = submit()
    started(submission)
    submission.follow(None)
    lines = [line for line in said.getvalue().splitlines() if line.split(":")[0] in
             ("Rows", "Train", "Report")]  # fmt: skip
    assert lines == [
        "Rows: running",
        "Rows: done in 20.0 s",
        "Train: running",
        "Train: done in 20.0 s",
        "Report: running",
        "Report: done in 10.0 s",
    ]


def test_a_stage_whose_executor_was_skipped_is_told_as_reused(
    kfp: FakeKfp, submit: Submit, said: StringIO
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
    assert "Rows: reused in 10.0 s" in said.getvalue()
    assert "Train: done in" in said.getvalue()


def test_a_server_that_is_away_for_a_moment_is_asked_again(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script, kfp.losses = ALL_DONE, [2, 3]
    submission = submit()
    started(submission)
    submission.follow(None)
    assert kfp.looks >= len(ALL_DONE)


def test_a_server_that_stays_away_ends_the_command_and_not_the_run(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script, kfp.losses = ALL_DONE, list(range(2, 1000))
    submission = submit()
    run_id = started(submission)
    message = followed(submission)
    assert "could not tell of the run (503)" in message
    assert f"the run may go on: {submission._server.run_url(run_id)}" in message


# Failures


def test_a_failed_stage_is_told_with_the_last_exception_of_its_log(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    kfp.script, kfp.final = FAILED, "FAILED"
    submission = submit()
    run_id = started(submission)
    kfp.pods = {EXECUTOR: pod(EXECUTOR, "root.Train.executor", run_id, ended(1))}
    kfp.logs = {EXECUTOR: LOG}
    file = tmp_path / "runs" / "kubeflow" / run_id / "Train.log"
    assert followed(submission).splitlines() == [
        "step Train failed: labels.digit: row 7 has '12'; expected one of 0, 1",
        "write it as one of them",
        f"log: {file}",
        f"run: {submission._server.run_url(run_id)}",
    ]
    assert file.read_text() == LOG


@pytest.mark.parametrize("through", ["kubernetes", "interface"])
def test_the_pod_that_failed_last_is_read_where_a_stage_is_tried_again(
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
    assert followed(submission).startswith("step Train failed: ValueError: attempt 2\n")


def test_pods_are_read_through_kubernetes_where_a_kubeconfig_is_at_hand(
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
    assert "step Train failed: labels.digit: row 7 has '12'" in followed(submission)


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
        (ended(137, "OOMKilled"), "epoch 3\n", "OOMKilled (exit code 137): it was killed, most"),
        (
            ended(1),
            "F1124 09:00:00.1 1 main.go:60] failed to execute component: signal: killed\n",
            "Error (exit code 1): it was killed, most likely for its memory: give it more, kub",
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
def test_the_cause_of_a_failure_names_what_to_change(
    kfp: FakeKfp, submit: Submit, cluster: FakeKubernetes, status: dict, log: str, message: str
) -> None:
    kfp.script, kfp.final = FAILED, "FAILED"
    submission = submit()
    cluster.pods = [pod("x", "root.Train.executor", started(submission), status)]
    cluster.logs = {"x": log}
    assert message in followed(submission)


def test_a_failure_without_a_pod_in_sight_still_names_the_stage(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script, kfp.final, kfp.interface = FAILED, "FAILED", False
    submission = submit()
    started(submission)
    message = followed(submission)
    assert "step Train failed: KFP does not say why; its log does" in message
    assert "log: the stage's Logs on its page" in message


def test_a_stage_whose_driver_failed_has_failed(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script = [{"Rows": "driver"}, {"Rows": "driver failed", "Train": "omitted"}]
    kfp.final = "FAILED"
    submission = submit()
    started(submission)
    assert followed(submission).startswith("step Rows failed: ")


def test_a_run_that_fails_before_any_stage_tells_what_kfp_says(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script, kfp.final, kfp.said = [{}], "FAILED", "quota exceeded"
    submission = submit()
    started(submission)
    assert followed(submission).startswith("the run failed before a step did: quota exceeded\n")


def test_a_run_that_was_stopped_is_told_so(kfp: FakeKfp, submit: Submit) -> None:
    kfp.script, kfp.final = [{"Rows": "running"}], "CANCELED"
    submission = submit()
    started(submission)
    assert followed(submission).startswith("the run was stopped\n")


@pytest.mark.parametrize(
    ("reason", "told", "message"),
    [
        (
            "ImagePullBackOff",
            'Back-off pulling image "registry.example/fusion:1"',
            "stage Rows cannot start: kubeflow.image: registry.example/fusion:1 cannot be had: ",
        ),
        (
            "CreateContainerConfigError",
            'secret "store" not found',
            'stage Rows cannot start: kubeflow.secrets: CreateContainerConfigError: secret "store"',
        ),
    ],
)
@pytest.mark.parametrize("through", ["kubernetes", "interface"])
def test_a_stage_that_cannot_start_is_told_and_not_waited_for_for_ever(
    kfp: FakeKfp, submit: Submit, said: StringIO, request: pytest.FixtureRequest,
    through: str, reason: str, told: str, message: str,
) -> None:  # fmt: skip
    kfp.script = [{"Rows": "pending"}] * 1000
    fake = request.getfixturevalue("cluster") if through == "kubernetes" else None
    submission = submit()
    run_id = started(submission)
    name = f"{WORKFLOW}-system-container-impl-{node_number(f'{WORKFLOW}.root.Rows.executor')}"
    stuck = pod(name, "root.Rows.executor", run_id, waiting(reason, told))
    if fake:
        fake.pods = [stuck]
    else:
        kfp.pods = {name: stuck}
    failure = followed(submission)
    assert failure.startswith(message)
    assert f"pod: {name}\n" in failure
    assert said.getvalue().count(f"Rows cannot start yet: {reason}: {told}") == 1


def test_a_run_whose_first_driver_cannot_start_is_told(
    kfp: FakeKfp, submit: Submit, said: StringIO, cluster: FakeKubernetes
) -> None:
    kfp.script = [{}] * 1000
    submission = submit()
    status = waiting("ErrImagePull", "manifest unknown")
    cluster.pods = [pod("x", "root-driver", started(submission), status)]
    message = (
        "the run cannot start: KFP's own driver waits: ErrImagePull: manifest unknown\npod: x\n"
    )
    assert followed(submission).startswith(message)
    assert said.getvalue().count("root cannot start yet: ErrImagePull: manifest unknown") == 1


def test_a_token_that_is_no_longer_valid_ends_the_command_and_not_the_run(
    kfp: FakeKfp, submit: Submit
) -> None:
    kfp.script = ALL_DONE
    submission = submit()
    run_id = started(submission)
    kfp.token = "another"  # noqa: S105
    message = followed(submission)
    assert "refuses to tell of the run (401): give a token" in message
    assert f"the run may go on: {submission._server.run_url(run_id)}" in message


def test_a_stage_that_no_node_has_room_for_is_told_and_waited_for(
    kfp: FakeKfp, submit: Submit, said: StringIO, cluster: FakeKubernetes
) -> None:
    kfp.script = [{"Rows": "pending"}] * 30 + ALL_DONE
    submission = submit()
    message = "0/3 nodes are available: insufficient nvidia.com/gpu"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    status = {"phase": "Pending", "conditions": [{**condition, "message": message}]}
    cluster.pods = [pod("x", "root.Rows.executor", started(submission), status)]
    submission.follow(None)
    assert said.getvalue().count(f"Rows cannot start yet: Unschedulable: {message}") == 1


# The report


PAGE = b"<!doctype html>\n<html><title>colours, run 1</title></html>"
PUBLISHED = RunRecord(name="colours", status="published", published="/data/serving/1763975000")


def reported(
    kfp: FakeKfp, submission: Submission, record: RunRecord = PUBLISHED, scheme: str = "minio"
) -> str:
    """A run that ended well, with a report and a record in the bucket."""
    kfp.script = ALL_DONE
    run_id = started(submission)
    source = {"gs": "gcs"}.get(scheme, scheme)
    folder = f"fusion/colours/{run_id}/Report"
    kfp.bucket = {
        (source, "models", f"{folder}/report.html"): PAGE,
        (source, "models", f"{folder}/run.json"): record.model_dump_json().encode(),
    }
    return run_id


@pytest.mark.parametrize("scheme", ["minio", "s3", "gs"])
def test_the_report_and_the_record_are_fetched_through_the_user_interface(
    kfp: FakeKfp, submit: Submit, said: StringIO, tmp_path: Path, scheme: str
) -> None:
    submission = submit(root=f"{scheme}://models/fusion")
    run_id = reported(kfp, submission, scheme=scheme)
    submission.follow(None)
    folder = tmp_path / "runs" / "kubeflow" / run_id
    assert (folder / "report.html").read_bytes() == PAGE
    assert RunRecord.read(folder) == PUBLISHED
    lines = [f"report {folder / 'report.html'}", f"record {folder / 'run.json'}"]
    lines.append("published /data/serving/1763975000")
    assert "\n".join(lines) in said.getvalue()


def test_the_report_goes_where_it_is_asked_for(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    kfp.multi_user = True
    submission = submit("anna", root="s3://models/fusion")
    reported(kfp, submission, scheme="s3")
    submission.follow(tmp_path / "here.html")
    assert (tmp_path / "here.html").read_bytes() == PAGE


def test_a_run_that_published_nothing_is_refused_with_its_reason_after_the_report(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    submission = submit(root="s3://models/fusion")
    error = "the model was not published: digit.accuracy: 0.3 is below 0.9"
    record = RunRecord(name="colours", status="not published", error=error)
    run_id = reported(kfp, submission, record, "s3")
    with pytest.raises(RunError) as caught:
        submission.follow(tmp_path / "here.html")
    assert str(caught.value) == f"{error}\nrun: {submission._server.run_url(run_id)}"
    assert (tmp_path / "here.html").read_bytes() == PAGE


def test_a_record_of_another_version_is_reported_and_left(
    kfp: FakeKfp, submit: Submit, said: StringIO, tmp_path: Path
) -> None:
    submission = submit(root="s3://models/fusion")
    run_id = reported(kfp, submission, scheme="s3")
    kfp.bucket["s3", "models", f"fusion/colours/{run_id}/Report/run.json"] = b'{"stages": []}'
    submission.follow(None)
    assert "the record cannot be read: " in said.getvalue()


@pytest.mark.parametrize("interface", [True, False])
def test_a_report_that_cannot_be_fetched_is_named_with_its_place(
    kfp: FakeKfp, submit: Submit, said: StringIO, tmp_path: Path, interface: bool
) -> None:
    kfp.script, kfp.interface = ALL_DONE, interface
    submission = submit(root="s3://models")
    run_id = started(submission)
    submission.follow(tmp_path / "here.html")
    for name, file in (("report", "report.html"), ("record", "run.json")):
        place = f"{name} s3://models/colours/{run_id}/Report/{file} (it was not fetched: "
        assert place in said.getvalue()
    assert not (tmp_path / "here.html").exists()


# The servers that stand for KFP and Kubernetes, and the command


def test_the_fake_server_satisfies_the_client_of_kfp_itself(
    kfp: FakeKfp, host: str, tmp_path: Path
) -> None:
    import kfp as kfp_library

    kfp.script = ALL_DONE
    client = kfp_library.Client(host)
    file = tmp_path / "pipeline.yaml"
    file.write_text(PIPELINE)
    pipeline = client.upload_pipeline(str(file), "colours")
    version = client.upload_pipeline_version(str(file), "two", pipeline_id=pipeline.pipeline_id)
    assert client.get_pipeline_id("colours") == pipeline.pipeline_id
    run = client.run_pipeline(
        client.create_experiment("digits").experiment_id, "one",
        pipeline_id=pipeline.pipeline_id, version_id=version.pipeline_version_id,
    )  # fmt: skip
    client.wait_for_run_completion(run.run_id, timeout=10, sleep_duration=0)
    told = [task.display_name for task in client.get_run(run.run_id).run_details.task_details]
    assert {"root-driver", "root", "Rows-driver", "Rows", "executor"} <= set(told)


def test_the_variables_and_files_of_kfps_own_client_are_not_read(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://elsewhere.invalid")
    monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "x")
    monkeypatch.setenv("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "other")
    server = Server(host)
    server.start("colours", "digits", *server.upload("colours", "1", PIPELINE)[:2], "s3://models")
    assert [experiment["display_name"] for experiment in kfp.experiments] == ["digits"]
    assert capsys.readouterr() == ("", "")


def test_the_command_explains_itself_without_importing_kfp_or_tfx() -> None:
    code = (
        "import sys; sys.path.insert(0, 'kubeflow')\n"
        "import submit\n"
        "print('imported:', sorted({'kfp', 'tfx', 'kfp_server_api', 'kubernetes', 'tensorflow'}"
        " & set(sys.modules)), flush=True)\n"
        "submit.command(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stdout
    for word in ("FUSION_KFP_HOST", "--root", "--no-wait", "runs/kubeflow/RUN_ID/report.html"):
        assert word in done.stdout
