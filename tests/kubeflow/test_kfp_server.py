"""Requests to a server of Kubeflow Pipelines: what is checked, uploaded, started and refused."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
import yaml
from kfp_api import ALL_DONE, FakeKfp
from small_pipeline import PIPELINE
from submissions import Submit, started
from web_fake import Answer, Request

from tfx_fusion.kubeflow.kfp_server import Server, check_root
from tfx_fusion.modules.errors import RunError


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("minio://mlpipeline/fusion/", "minio://mlpipeline/fusion"),
        ("s3://models", "s3://models"),
        ("gs://my.bucket/a/b", "gs://my.bucket/a/b"),
    ],
)
def test_a_root_is_a_bucket_and_perhaps_a_path(root: str, expected: str) -> None:
    assert check_root(root) == expected


@pytest.mark.parametrize(
    "root", ["/mnt/data", "file:///data", "s3:/models", "s3://", "http://x/y", "s3://m/a?region=b"]
)
def test_a_root_outside_of_a_bucket_is_refused(root: str) -> None:
    with pytest.raises(RunError, match="--root: expected a bucket, s3://, minio:// or gs://") as e:
        check_root(root)
    assert f"found '{root}'" in str(e.value)


def test_pods_of_a_server_with_one_user_are_in_its_own_namespace(kfp: FakeKfp, host: str) -> None:
    assert Server(host).check() == "kubeflow"
    server = Server(host, "pipelines")
    assert server.check() == "pipelines"
    assert server.namespace is None  # the API of such a server takes none


def test_a_server_with_several_users_needs_a_namespace(kfp: FakeKfp, host: str) -> None:
    kfp.multi_user = True
    assert Server(host, "anna").check() == "anna"
    with pytest.raises(RunError, match=r"has several users.*--namespace or FUSION_KFP_NAMESPACE"):
        Server(host).check()


def test_a_token_is_sent_and_required(kfp: FakeKfp, host: str) -> None:
    kfp.token = "right"  # noqa: S105
    assert Server(host, token=kfp.token).check() == "kubeflow"
    for token in (None, "wrong"):
        with pytest.raises(RunError, match=r"\(HTTP 401\): give a token.* or FUSION_KFP_TOKEN"):
            Server(host, token=token).check()


def test_a_token_is_sent_with_an_upload(kfp: FakeKfp, host: str) -> None:
    kfp.token = "right"  # noqa: S105
    Server(host, token=kfp.token).upload("colours", "1", PIPELINE)
    assert kfp.uploads == [PIPELINE]
    with pytest.raises(RunError, match=r"to upload the pipeline 'x' \(HTTP 401\): give a token"):
        Server(host).upload("x", "1", "")


def test_a_login_page_asks_for_a_token(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(request: Request) -> Answer:
        return Answer(302, "", {"Location": "/dex/auth"})

    monkeypatch.setattr(kfp, "answer", login)
    with pytest.raises(RunError, match=r"requires authentication \(HTTP 302\): give a token"):
        Server(host).check()


@pytest.mark.parametrize("interface", [True, False])
def test_a_server_of_version_1_is_refused(kfp: FakeKfp, host: str, interface: bool) -> None:
    kfp.version_1, kfp.interface = True, interface
    with pytest.raises(RunError, match=r"is version 1\.8\.5, which has no API v2beta1: expected 2"):
        Server(host).check()


@pytest.mark.parametrize("status", [200, 404])
def test_another_server_than_kfp_is_refused(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(kfp, "answer", lambda request: Answer(status, "<html>shop</html>"))
    with pytest.raises(RunError, match="answers, but not as Kubeflow Pipelines"):
        Server(host).check()


def test_an_unhealthy_server_is_refused(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfp, "answer", lambda request: Answer(503, "no healthy upstream"))
    with pytest.raises(RunError, match=r"is unhealthy \(HTTP 503\): no healthy upstream"):
        Server(host).check()


def test_a_host_where_nothing_answers_is_refused_with_a_command_to_forward_it() -> None:
    with pytest.raises(RunError, match=r"nothing answers at http://127\.0\.0\.1:9") as caught:
        Server("127.0.0.1:9").check()
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80" in str(caught.value)


def test_a_first_submission_uploads_the_pipeline_and_starts_a_run_of_it(
    kfp: FakeKfp, submit: Submit, printed: StringIO, host: str
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
    assert f"run {host}/#/runs/details/{run_id}" in printed.getvalue()


def test_a_changed_pipeline_becomes_a_version_and_the_same_one_is_uploaded_once(
    kfp: FakeKfp, submit: Submit, printed: StringIO
) -> None:
    changed = PIPELINE.replace("fusion:1", "fusion:2")
    runs = [started(submit(yaml=text)) for text in (PIPELINE, changed, changed)]
    assert [len(kfp.pipelines), len(kfp.experiments)] == [1, 1]
    assert [text.count("fusion:2") for text in kfp.uploads] == [0, 1]
    used = [kfp.runs[run]["pipeline_version_reference"]["pipeline_version_id"] for run in runs]
    assert used == [kfp.versions[n]["pipeline_version_id"] for n in (0, 1, 1)]
    assert "pipeline colours is unchanged" in printed.getvalue()


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
def test_the_reason_why_the_server_refuses_a_pipeline_is_reported(
    submit: Submit, old: str, new: str, problem: str
) -> None:
    with pytest.raises(
        RunError, match=r"could not upload the pipeline '[cC]olours' \(HTTP 400\)"
    ) as caught:
        started(submit(yaml=PIPELINE.replace(old, new)))
    assert problem in str(caught.value)


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
    names = [task.display_name for task in client.get_run(run.run_id).run_details.task_details]
    assert {"root-driver", "root", "Rows-driver", "Rows", "executor"} <= set(names)


def test_the_variables_of_kfps_own_client_are_not_read(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://elsewhere.invalid")
    monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "x")
    monkeypatch.setenv("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "other")
    server = Server(host)
    server.start("colours", "digits", *server.upload("colours", "1", PIPELINE)[:2], "s3://models")
    assert [experiment["display_name"] for experiment in kfp.experiments] == ["digits"]
    assert capsys.readouterr() == ("", "")
