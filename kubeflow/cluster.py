"""Secrets, claims and pods, read from Kubernetes where there is a kubeconfig."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import urllib3
from kubernetes import client, config

from tfx_fusion.kubeflow.pods import Pod
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec.kubeflow import Kubeflow

TIMEOUT = (5, 15)  # seconds to connect, to answer


class ClusterAccessError(Exception):
    """The cluster does not answer or refuses access; the message has the reason."""


class Cluster:
    """A namespace of the cluster that the kubeconfig's current context names."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        api.configuration.retries = False
        self._core = client.CoreV1Api(api)

    @classmethod
    def from_kubeconfig(cls, namespace: str) -> Cluster:
        """Raises ClusterAccessError without a kubeconfig or a namespace of that name.

        Nothing shows that the current context is the cluster that KFP runs in, but a missing
        namespace shows that it is another one.
        """
        try:
            # Read here: the library reads the variable only once, when it is imported.
            file = os.environ.get("KUBECONFIG") or None
            cluster = cls(config.new_client_from_config(file), namespace)
        except config.ConfigException as error:
            raise ClusterAccessError("there is no kubeconfig") from error
        try:
            exists = cluster._read(cluster._core.read_namespace, namespace) is not None
        except ClusterAccessError as error:
            if not isinstance(error.__cause__, client.ApiException):
                raise
            exists = True  # many users may read in a namespace, but not the namespace itself
        if not exists:
            raise ClusterAccessError(
                f"the cluster of the kubeconfig's current context has no namespace '{namespace}'"
            )
        return cluster

    def keys_of_secret(self, name: str) -> set[str] | None:
        """The keys of a secret; None where there is no such secret."""
        secret = self._read(self._core.read_namespaced_secret, name, self.namespace)
        return None if secret is None else set(secret.get("data") or {})

    def has_claim(self, name: str) -> bool:
        """Whether there is a persistent volume claim of that name."""
        read = self._core.read_namespaced_persistent_volume_claim
        return self._read(read, name, self.namespace) is not None

    def of_steps(self, steps: Iterable[str], run_id: str, workflow: str | None) -> list[Pod]:
        """The pods of some steps of a run; none where they cannot be read."""
        wanted, run = set(steps), f"pipeline/runid={run_id}"
        try:
            found = self._read(self._core.list_namespaced_pod, self.namespace, label_selector=run)
        except ClusterAccessError:
            return []
        seen = map(Pod.of, (found or {}).get("items") or ())
        return [pod for pod in seen if pod is not None and pod.step in wanted]

    def log(self, pod: str) -> str | None:
        """The log of a pod's main container; None where it is gone."""
        try:
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container="main", _preload_content=False,
                _request_timeout=TIMEOUT,
            )  # fmt: skip
        except (client.ApiException, urllib3.exceptions.HTTPError):
            return None
        return str(answer.data.decode("utf-8", "replace"))

    def _read(self, call: Any, *names: str, **more: str) -> dict[str, Any] | None:
        """The object as plain data; None where there is none."""
        try:
            answer = call(*names, **more, _preload_content=False, _request_timeout=TIMEOUT)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise ClusterAccessError(
                f"the cluster does not let you read '{names[0]}' ({error.status})"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise ClusterAccessError(
                f"the cluster of the kubeconfig does not answer ({type(error).__name__})"
            ) from error
        return dict(json.loads(answer.data))


def check_objects(kubeflow: Kubeflow, cluster: Cluster) -> None:
    """Raises SpecificationError for secrets, their keys and claims that the namespace lacks."""
    namespace, problems = cluster.namespace, []
    for place, secret in kubeflow.all_secrets():
        keys = cluster.keys_of_secret(secret.secret)
        if keys is None:
            problems.append(
                f"{place}: there is no secret '{secret.secret}' in namespace {namespace}: create "
                f"it, `kubectl create secret generic {secret.secret} -n {namespace} "
                f"--from-literal={secret.key}=…`"
            )
        elif secret.key not in keys:
            problems.append(
                f"{place}: secret '{secret.secret}' has no key '{secret.key}' in namespace "
                f"{namespace}, it has {', '.join(sorted(keys)) or 'none'}: create it with "
                f"`kubectl create secret generic`, or name one of these"
            )
    for place, volume in kubeflow.all_volumes():
        if not cluster.has_claim(volume.claim):
            problems.append(
                f"{place}.claim: there is no claim '{volume.claim}' in namespace {namespace}: "
                "create it with `kubectl apply`, or name another; `kubectl get pvc` lists them"
            )
    if problems:
        raise SpecificationError(problems)


def checked_cluster(kubeflow: Kubeflow, namespace: str) -> tuple[Cluster | None, str | None]:
    """The cluster, once its secrets and claims are checked; else None and a warning, if any."""
    try:
        cluster = Cluster.from_kubeconfig(namespace)
        check_objects(kubeflow, cluster)
    except ClusterAccessError as error:
        used = [*kubeflow.all_secrets(), *kubeflow.all_volumes()]
        return None, f"secrets and claims were not checked: {error}" if used else None
    return cluster, None
