"""A server that answers as Kubernetes does when it is asked for a namespace's objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from web_fake import Answer, Request, WebFake


@dataclass
class FakeKubernetes(WebFake):
    """The server, with one namespace. `forbidden` are the kinds that it does not let be read."""

    namespace: str = "kubeflow"
    secrets: dict[str, list[str]] = field(default_factory=dict)  # with the keys of each
    claims: list[str] = field(default_factory=list)
    pods: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()

    @contextmanager
    def with_kubeconfig(self, folder: Path) -> Iterator[Path]:
        """Serves, with a kubeconfig file that names the server."""
        with self.serving() as address:
            file = folder / "kubeconfig"
            file.write_text(json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "here",
                "clusters": [{"name": "c", "cluster": {"server": address}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            }))  # fmt: skip
            yield file

    def answer(self, request: Request) -> Answer:
        found = re.fullmatch(
            r"/api/v1/namespaces/(?P<n>[^/]+)(/(?P<kind>\w+)(/(?P<name>[^/]+)(/(?P<more>\w+))?)?)?",
            request.path,
        )
        assert found is not None, request.path
        kind, name = found["kind"] or "namespaces", found["name"]
        if kind in self.forbidden:
            return _status(403, "Forbidden")
        if found["n"] != self.namespace:
            return _status(404, "NotFound")
        if kind == "pods" and found["more"] == "log" and name in self.logs:
            assert request.query["container"] == "main"
            return Answer(200, self.logs[name])
        if kind == "pods" and name is None:
            label, _, value = request.query["labelSelector"].partition("=")
            chosen = [p for p in self.pods if p["metadata"]["labels"].get(label) == value]
            return Answer(200, {"kind": "PodList", "items": chosen})
        if kind == "secrets" and name in self.secrets:
            data = dict.fromkeys(self.secrets[name], "c2VjcmV0")
            return Answer(200, {"kind": "Secret", "metadata": {"name": name}, "data": data})
        if (kind == "persistentvolumeclaims" and name in self.claims) or kind == "namespaces":
            return Answer(200, {"metadata": {"name": name}})
        return _status(404, "NotFound")


def _status(code: int, reason: str) -> Answer:
    return Answer(code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason})


def pod(
    name: str, node: str, run_id: str, status: dict[str, Any], workflow: str = "colours-x7k2p"
) -> dict[str, Any]:
    """A pod as Argo makes it for a node of a workflow."""
    return {
        "metadata": {
            "name": name,
            "labels": {"pipeline/runid": run_id, "workflows.argoproj.io/workflow": workflow},
            "annotations": {"workflows.argoproj.io/node-name": f"{workflow}.{node}"},
        },
        "status": status,
    }


def waiting(reason: str, message: str) -> dict[str, Any]:
    """The status of a pod whose container does not start."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]}


def ended(code: int, reason: str = "Error", minute: int = 0) -> dict[str, Any]:
    """The status of a pod whose container ended with an exit code."""
    at = f"2026-11-24T09:{minute:02}:00Z"
    state = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}
    return {"phase": "Failed", "containerStatuses": [{"name": "main", "state": state}]}
