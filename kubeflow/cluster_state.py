"""What a Kubernetes cluster tells of secrets, claims and pods, where a kubeconfig is at hand."""

from __future__ import annotations

import json
import os
from typing import Any

import urllib3
from kubernetes import client, config

SECONDS = (5, 15)  # to connect, to answer


class ClosedClusterError(Exception):
    """The cluster does not answer, or does not say; the message tells which."""


class Cluster:
    """A namespace of the cluster that the kubeconfig's current context names."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        api.configuration.retries = False
        self._core = client.CoreV1Api(api)

    @classmethod
    def at_hand(cls, namespace: str) -> Cluster:
        """Raises ClosedClusterError where there is no kubeconfig or it does not know the namespace.

        Whether the context names the cluster that KFP runs in cannot be known: a namespace that is
        not there tells that it does not.
        """
        try:
            # Read now: the library reads the variable once, when it is imported.
            file = os.environ.get("KUBECONFIG") or None
            cluster = cls(config.new_client_from_config(file), namespace)
        except config.ConfigException as error:
            raise ClosedClusterError("no kubeconfig is at hand") from error
        try:
            known = cluster._read(cluster._core.read_namespace, namespace) is not None
        except ClosedClusterError as error:
            if not isinstance(error.__cause__, client.ApiException):
                raise
            known = True  # many may read in a namespace and not the namespace itself
        if not known:
            raise ClosedClusterError(
                f"the cluster of the kubeconfig's current context has no namespace '{namespace}'"
            )
        return cluster

    def keys_of_secret(self, name: str) -> set[str] | None:
        """The keys of a secret; None where there is no such secret."""
        secret = self._read(self._core.read_namespaced_secret, name, self.namespace)
        return None if secret is None else set(secret.get("data") or {})

    def has_claim(self, name: str) -> bool:
        """Whether a persistent volume claim is there."""
        read = self._core.read_namespaced_persistent_volume_claim
        return self._read(read, name, self.namespace) is not None

    def pods_of_run(self, run_id: str) -> list[dict[str, Any]]:
        """The pods of a run, as Kubernetes writes them."""
        selector = f"pipeline/runid={run_id}"
        found = self._read(self._core.list_namespaced_pod, self.namespace, label_selector=selector)
        return list((found or {}).get("items") or [])

    def log(self, pod: str) -> str | None:
        """What the main container of a pod has written; None where that is gone."""
        try:
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container="main", _preload_content=False,
                _request_timeout=SECONDS,
            )  # fmt: skip
        except (client.ApiException, urllib3.exceptions.HTTPError):
            return None
        return str(answer.data.decode("utf-8", "replace"))

    def _read(self, call: Any, *names: str, **more: str) -> dict[str, Any] | None:
        """The object as plain data; None where there is none."""
        try:
            answer = call(*names, **more, _preload_content=False, _request_timeout=SECONDS)
        except client.ApiException as error:
            if error.status == 404:
                return None
            raise ClosedClusterError(
                f"the cluster does not let you read '{names[0]}' ({error.status})"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise ClosedClusterError(
                f"the cluster of the kubeconfig does not answer ({type(error).__name__})"
            ) from error
        return dict(json.loads(answer.data))
