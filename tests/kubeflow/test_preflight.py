"""What is refused before a pipeline is submitted, and what is told about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from kfp_api import FakeKfp
from kubernetes_api import FakeKubernetes
from small_pipeline import PIPELINE
from web_fake import Answer, Request

from tfx_fusion.kubeflow.kfp_server import Server
from tfx_fusion.kubeflow.preflight import check_root, check_server
from tfx_fusion.kubeflow.submission import Submission
from tfx_fusion.modules.errors import RunError, SpecificationError

Submit = Callable[..., Submission]
SECRETS = {"ACCESS": {"secret": "store", "key": "access"}}
VOLUMES = [{"claim": "rows", "mount": "/data"}]


@pytest.mark.parametrize(
    ("root", "kept"),
    [
        ("minio://mlpipeline/fusion/", "minio://mlpipeline/fusion"),
        ("s3://models", "s3://models"),
        ("gs://my.bucket/a/b", "gs://my.bucket/a/b"),
    ],
)
def test_a_root_is_a_bucket_and_perhaps_a_path(root: str, kept: str) -> None:
    assert check_root(root) == kept


@pytest.mark.parametrize(
    "root", ["/mnt/data", "file:///data", "s3:/models", "s3://", "http://x/y", "s3://m/a?region=b"]
)
def test_a_root_that_is_no_bucket_is_refused(root: str) -> None:
    with pytest.raises(RunError, match="--root: expected a bucket, s3://, minio:// or gs://") as e:
        check_root(root)
    assert f"found '{root}'" in str(e.value)


def test_pods_of_a_server_with_one_user_are_in_its_own_namespace(kfp: FakeKfp, host: str) -> None:
    assert check_server(Server(host)) == "kubeflow"
    server = Server(host, "pipelines")
    assert check_server(server) == "pipelines"
    assert server.namespace is None  # the API of such a server takes none


def test_a_server_with_several_users_needs_a_namespace(kfp: FakeKfp, host: str) -> None:
    kfp.multi_user = True
    assert check_server(Server(host, "anna")) == "anna"
    with pytest.raises(RunError, match=r"has several users.*--namespace or FUSION_KFP_NAMESPACE"):
        check_server(Server(host))


def test_a_token_is_sent_and_asked_for(kfp: FakeKfp, host: str) -> None:
    kfp.token = "right"  # noqa: S105
    assert check_server(Server(host, token=kfp.token)) == "kubeflow"
    for token in (None, "wrong"):
        with pytest.raises(RunError, match=r"\(401\): give a token.*--token or FUSION_KFP_TOKEN"):
            check_server(Server(host, token=token))


def test_a_token_goes_with_the_upload_as_well(kfp: FakeKfp, host: str) -> None:
    kfp.token = "right"  # noqa: S105
    Server(host, token=kfp.token).upload("colours", "1", PIPELINE)
    assert kfp.uploads == [PIPELINE]
    with pytest.raises(RunError, match=r"refuses to upload the pipeline 'x' \(401\): give a token"):
        Server(host).upload("x", "1", "")


def test_a_login_page_asks_for_a_token(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def login(request: Request) -> Answer:
        return Answer(302, "", {"Location": "/dex/auth"})

    monkeypatch.setattr(kfp, "answer", login)
    with pytest.raises(RunError, match=r"lets nobody in unknown \(302\): give a token"):
        check_server(Server(host))


@pytest.mark.parametrize("interface", [True, False])
def test_a_server_of_version_1_is_refused(kfp: FakeKfp, host: str, interface: bool) -> None:
    kfp.version_1, kfp.interface = True, interface
    with pytest.raises(RunError, match=r"is version 1\.8\.5, which has no API v2beta1: expected 2"):
        check_server(Server(host))


@pytest.mark.parametrize("status", [200, 404])
def test_another_server_than_kfp_is_refused(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(kfp, "answer", lambda request: Answer(status, "<html>shop</html>"))
    with pytest.raises(RunError, match="answers, but not as Kubeflow Pipelines"):
        check_server(Server(host))


def test_a_server_that_is_not_sound_is_told(
    kfp: FakeKfp, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kfp, "answer", lambda request: Answer(503, "no healthy upstream"))
    with pytest.raises(RunError, match=r"is not sound \(503\): no healthy upstream"):
        check_server(Server(host))


def test_a_host_where_nothing_answers_is_told_with_how_to_forward_it() -> None:
    with pytest.raises(RunError, match=r"nothing answers at http://127\.0\.0\.1:9") as caught:
        check_server(Server("127.0.0.1:9"))
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80" in str(caught.value)


def test_secrets_and_claims_that_are_there_pass(
    submit: Submit, cluster: FakeKubernetes, said: StringIO
) -> None:
    cluster.secrets, cluster.claims = {"store": ["access", "other"]}, ["rows"]
    submit(secrets=SECRETS, volumes=VOLUMES).check()
    assert "not checked" not in said.getvalue()


def test_every_missing_secret_key_and_claim_is_told_with_its_key(
    submit: Submit, cluster: FakeKubernetes
) -> None:
    cluster.secrets = {"store": ["other"]}
    stages = {"Train": {"secrets": {"TOKEN": {"secret": "hub", "key": "t"}}, "volumes": VOLUMES}}
    with pytest.raises(SpecificationError) as caught:
        submit(secrets=SECRETS, stages=stages).check()
    key, secret, claim = caught.value.problems
    assert key.startswith(
        "kubeflow.secrets.ACCESS: secret 'store' has no key 'access' in namespace kubeflow, "
        "it has other: make it with `kubectl create secret generic`"
    )
    assert secret.startswith(
        "kubeflow.stages.Train.secrets.TOKEN: there is no secret 'hub' in namespace kubeflow: make "
        "it, `kubectl create secret generic hub -n kubeflow --from-literal=t="
    )
    assert claim.startswith(
        "kubeflow.stages.Train.volumes.0.claim: there is no claim 'rows' in namespace kubeflow"
    )


def test_without_a_kubeconfig_one_line_says_that_nothing_was_checked(
    submit: Submit, said: StringIO
) -> None:
    submit(secrets=SECRETS).check()
    assert said.getvalue() == "secrets and claims were not checked: no kubeconfig is at hand\n"


def test_nothing_is_said_where_there_is_nothing_to_check(submit: Submit, said: StringIO) -> None:
    submit().check()
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"namespace": "other"}, "current context has no namespace 'kubeflow'"),
        ({"forbidden": ("secrets",)}, "the cluster does not let you read 'store' (403)"),
    ],
)
def test_what_a_cluster_does_not_show_is_not_checked(
    submit: Submit, cluster: FakeKubernetes, said: StringIO, changes: dict, why: str
) -> None:
    for name, value in changes.items():
        setattr(cluster, name, value)
    submit(secrets=SECRETS).check()
    assert "secrets and claims were not checked: " in said.getvalue()
    assert why in said.getvalue()


def test_a_namespace_that_may_not_be_read_itself_is_still_checked(
    submit: Submit, cluster: FakeKubernetes
) -> None:
    cluster.forbidden = ("namespaces",)
    with pytest.raises(SpecificationError, match="there is no secret 'store'"):
        submit(secrets=SECRETS).check()


def test_a_cluster_that_does_not_answer_is_told(
    submit: Submit, kubeconfig: Path, said: StringIO
) -> None:
    kubeconfig.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    submit(volumes=VOLUMES).check()
    assert "not checked: the cluster of the kubeconfig does not answer" in said.getvalue()
