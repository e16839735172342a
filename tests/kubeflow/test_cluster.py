"""Secrets and claims that a cluster must have before a pipeline is submitted."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from kubernetes_api import FakeKubernetes
from submissions import Submit

from tfx_fusion.modules.errors import SpecificationError

SECRETS = {"ACCESS": {"secret": "store", "key": "access"}}
VOLUMES = [{"claim": "rows", "mount": "/data"}]


def test_secrets_and_claims_that_exist_pass(
    submit: Submit, cluster: FakeKubernetes, printed: StringIO
) -> None:
    cluster.secrets, cluster.claims = {"store": ["access", "other"]}, ["rows"]
    submit(secrets=SECRETS, volumes=VOLUMES).check()
    assert "not checked" not in printed.getvalue()


def test_every_missing_secret_key_and_claim_is_reported_with_its_key(
    submit: Submit, cluster: FakeKubernetes
) -> None:
    cluster.secrets = {"store": ["other"]}
    steps = {"Train": {"secrets": {"TOKEN": {"secret": "hub", "key": "t"}}, "volumes": VOLUMES}}
    with pytest.raises(SpecificationError) as caught:
        submit(secrets=SECRETS, steps=steps).check()
    key, secret, claim = caught.value.problems
    assert key.startswith(
        "kubeflow.secrets.ACCESS: secret 'store' has no key 'access' in namespace kubeflow, "
        "it has other: create it with `kubectl create secret generic`"
    )
    assert secret.startswith(
        "kubeflow.steps.Train.secrets.TOKEN: there is no secret 'hub' in namespace kubeflow: "
        "create it, `kubectl create secret generic hub -n kubeflow --from-literal=t="
    )
    assert claim.startswith(
        "kubeflow.steps.Train.volumes.0.claim: there is no claim 'rows' in namespace kubeflow"
    )


def test_without_a_kubeconfig_one_line_warns_that_nothing_was_checked(
    submit: Submit, printed: StringIO
) -> None:
    submit(secrets=SECRETS).check()
    assert printed.getvalue() == "secrets and claims were not checked: there is no kubeconfig\n"


def test_nothing_is_printed_where_nothing_needs_a_check(submit: Submit, printed: StringIO) -> None:
    submit().check()
    assert printed.getvalue() == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"namespace": "other"}, "current context has no namespace 'kubeflow'"),
        ({"forbidden": ("secrets",)}, "the cluster does not let you read 'store' (403)"),
    ],
)
def test_a_cluster_without_access_is_not_checked(
    submit: Submit, cluster: FakeKubernetes, printed: StringIO, changes: dict, reason: str
) -> None:
    for name, value in changes.items():
        setattr(cluster, name, value)
    submit(secrets=SECRETS).check()
    assert "secrets and claims were not checked: " in printed.getvalue()
    assert reason in printed.getvalue()


def test_a_namespace_that_may_not_be_read_itself_is_still_checked(
    submit: Submit, cluster: FakeKubernetes
) -> None:
    cluster.forbidden = ("namespaces",)
    with pytest.raises(SpecificationError, match="there is no secret 'store'"):
        submit(secrets=SECRETS).check()


def test_a_cluster_that_does_not_answer_is_not_checked(
    submit: Submit, kubeconfig: Path, printed: StringIO
) -> None:
    kubeconfig.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    }))  # fmt: skip
    submit(volumes=VOLUMES).check()
    assert "not checked: the cluster of the kubeconfig does not answer" in printed.getvalue()
