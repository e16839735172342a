"""Kubernetes objects that serve a publish folder, as plain dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

GRPC, REST = 8500, 8501
IMAGE = "tensorflow/serving:2.19.1"  # of the version of the interface that this project speaks
USER = 1000  # TF Serving's image names none, so it would run as root


@dataclass(frozen=True)
class OnVolume:
    """A publish folder on a claim; `folder` is its path where the claim is mounted at `mount`."""

    claim: str
    mount: PurePosixPath
    folder: PurePosixPath

    @property
    def uri(self) -> str:
        """As KServe names it, from the top of the claim."""
        return f"pvc://{self.claim}/{self.folder.relative_to(self.mount)}".removesuffix("/.")


@dataclass(frozen=True)
class InBucket:
    """A copy of a publish folder in an object store."""

    uri: str


@dataclass(frozen=True)
class Served:
    """A model that is served under a name, with what each of its servers is given."""

    name: str
    source: OnVolume | InBucket
    namespace: str | None
    replicas: int
    cpu: float
    memory: str

    @property
    def labels(self) -> dict[str, str]:
        """By which its objects are found."""
        return {"app.kubernetes.io/name": "model-server", "app.kubernetes.io/instance": self.name}

    @property
    def metadata(self) -> dict[str, Any]:
        """What every object carries."""
        about: dict[str, Any] = {"name": self.name, "labels": self.labels}
        return about if self.namespace is None else {**about, "namespace": self.namespace}

    def resources(self, limit_cpu: bool) -> dict[str, Any]:
        """What each server is promised, and what it gets at most."""
        promised = {"cpu": f"{self.cpu:g}", "memory": self.memory}
        return {
            "requests": promised,
            "limits": dict(promised) if limit_cpu else {"memory": self.memory},
        }


def tf_serving(served: Served, image: str) -> list[dict[str, Any]]:
    """A Deployment of TF Serving and the Service before it."""
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_server(served, image)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if isinstance(served.source, OnVolume):
        claim = {"claimName": served.source.claim}
        pod["volumes"].append({"name": "models", "persistentVolumeClaim": claim})
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": served.metadata,
            "spec": {
                "replicas": served.replicas,
                "selector": {"matchLabels": served.labels},
                "template": {"metadata": {"labels": served.labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": served.metadata,
            "spec": {
                "selector": served.labels,
                "ports": [
                    {"name": "grpc", "port": GRPC, "targetPort": "grpc"},
                    {"name": "http", "port": REST, "targetPort": "http"},
                ],
            },
        },
    ]


def _server(served: Served, image: str) -> dict[str, Any]:
    """TF Serving's container. It listens once a version is loaded and has been warmed up."""
    source = served.source
    base = source.folder if isinstance(source, OnVolume) else source.uri
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if isinstance(source, OnVolume):
        # The whole claim: a `subPath` would be made, as root, where nothing is published yet.
        mounts.append({"name": "models", "mountPath": str(source.mount), "readOnly": True})
    return {
        "name": "tf-serving",
        "image": image,
        "command": ["tensorflow_model_server"],
        "args": [
            f"--port={GRPC}",
            f"--rest_api_port={REST}",
            f"--model_name={served.name}",
            f"--model_base_path={base}",
        ],
        "ports": [
            {"name": "grpc", "containerPort": GRPC},
            {"name": "http", "containerPort": REST},
        ],
        # Ten minutes to load the first version.
        "startupProbe": _asked(served, every=5, failures=120),
        "readinessProbe": _asked(served, every=5, failures=3),
        "livenessProbe": _asked(served, every=20, failures=6),
        # A server that is throttled answers late, while others idle.
        "resources": served.resources(limit_cpu=False),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }  # fmt: skip


def _asked(served: Served, every: int, failures: int) -> dict[str, Any]:
    """A probe that asks TF Serving for the state of the model."""
    return {
        "httpGet": {"path": f"/v1/models/{served.name}", "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def kserve(served: Served) -> list[dict[str, Any]]:
    """An InferenceService, served by KServe's runtime for TF Serving."""
    model = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "storageUri": served.source.uri,
        # Its runtime limits the CPU to 1, which must not be below what is promised.
        "resources": served.resources(limit_cpu=True),
    }
    return [
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": served.metadata,
            "spec": {
                "predictor": {
                    "minReplicas": served.replicas,
                    "maxReplicas": served.replicas,
                    "model": model,
                }
            },
        }
    ]
