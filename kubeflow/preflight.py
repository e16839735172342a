"""What is checked before a pipeline is submitted: the root, the server, secrets and claims."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import requests

from tfx_fusion.kubeflow.cluster_state import ClosedClusterError, Cluster
from tfx_fusion.kubeflow.kfp_server import ASK_FOR_TOKEN, Server
from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.modules.spec.kubeflow import Kubeflow

ROOT = re.compile(
    r"(?P<scheme>s3|minio|gs)://(?P<bucket>[a-z0-9][a-z0-9.-]*)(?P<prefix>(/[^?#]*)?)"
)
SINGLE_USER_NAMESPACE = "kubeflow"  # where KFP runs what it is given when it has one user


def check_root(root: str) -> str:
    """The pipeline root without a slash at its end; refuses what is no bucket."""
    if not ROOT.fullmatch(root):
        raise RunError(
            f"--root: expected a bucket, s3://, minio:// or gs:// with its name and a path, found "
            f"'{root}': for instance minio://mlpipeline/fusion"
        )
    return root.rstrip("/")


def check_server(server: Server) -> str:
    """The namespace that a run's pods are in.

    Refuses a server that is none of KFP, that has no version 2, that asks for a token, or that has
    several users while no namespace is given.
    """
    answer = server.get("apis/v2beta1/healthz")
    if answer.status_code in (301, 302, 303, 307, 308, 401, 403):
        raise RunError(
            f"{server.host} lets nobody in unknown ({answer.status_code}): {ASK_FOR_TOKEN}"
        )
    if answer.status_code >= 500:
        raise RunError(
            f"KFP at {server.host} is not sound ({answer.status_code}): {answer.text.strip()[:300]}"
        )
    health = _json(answer)
    if health is None:
        _refuse_other_server(server)
    if not health.get("multi_user"):
        namespace = server.namespace or SINGLE_USER_NAMESPACE
        server.namespace = None  # such a server refuses to be told one
        return namespace
    if server.namespace is None:
        raise RunError(
            f"KFP at {server.host} has several users: say whose namespace the run belongs to, with "
            "--namespace or FUSION_KFP_NAMESPACE"
        )
    return server.namespace


def _refuse_other_server(server: Server) -> NoReturn:
    """Raises: there is no version 2 of KFP; its user interface answers with a page instead."""
    old = _json(server.get("apis/v1beta1/healthz"))
    if old is not None:
        version = old.get("tag_name") or "1"
        raise RunError(
            f"KFP at {server.host} is version {version}, which has no API v2beta1: expected 2.0 or "
            "newer; upgrade Kubeflow Pipelines"
        )
    raise RunError(
        f"{server.host} answers, but not as Kubeflow Pipelines: expected /apis/v2beta1/healthz; "
        "is --host the address of ml-pipeline-ui or ml-pipeline (with Kubeflow's dashboard: its "
        "address and /pipeline)?"
    )


def _json(answer: requests.Response) -> dict[str, Any] | None:
    if answer.status_code != 200:
        return None
    try:
        value = answer.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def check_objects(kubeflow: Kubeflow, cluster: Cluster) -> None:
    """Refuses secrets, keys of secrets and claims that are not in the namespace."""
    namespace, problems = cluster.namespace, []
    for place, secret in kubeflow.all_secrets():
        keys = cluster.keys_of_secret(secret.secret)
        if keys is None:
            problems.append(
                f"{place}: there is no secret '{secret.secret}' in namespace {namespace}: make it, "
                f"`kubectl create secret generic {secret.secret} -n {namespace} "
                f"--from-literal={secret.key}=…`"
            )
        elif secret.key not in keys:
            problems.append(
                f"{place}: secret '{secret.secret}' has no key '{secret.key}' in namespace "
                f"{namespace}, it has {', '.join(sorted(keys)) or 'none'}: make it with "
                f"`kubectl create secret generic`, or name one of these"
            )
    for place, volume in kubeflow.all_volumes():
        if not cluster.has_claim(volume.claim):
            problems.append(
                f"{place}.claim: there is no claim '{volume.claim}' in namespace {namespace}: make "
                "it with `kubectl apply`, or name another; `kubectl get pvc` lists them"
            )
    if problems:
        raise SpecificationError(problems)


def cluster_of_run(kubeflow: Kubeflow, namespace: str) -> tuple[Cluster | None, str | None]:
    """The cluster, once secrets and claims are found in it; else what to tell of that."""
    try:
        cluster = Cluster.at_hand(namespace)
        check_objects(kubeflow, cluster)
    except ClosedClusterError as error:
        named = any(True for _ in kubeflow.all_secrets()) or any(
            True for _ in kubeflow.all_volumes()
        )
        return None, f"secrets and claims were not checked: {error}" if named else None
    return cluster, None
