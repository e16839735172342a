"""A server that answers as the API server and the user interface of Kubeflow Pipelines 2 do.

Only what `fusion submit` and kfp's client ask for. A pipeline is checked as the API server checks
it (apiserver/template/v2_template.go), and a run's tasks are those that it makes of the nodes of an
Argo workflow (apiserver/server/api_converter.go): each with a name and a state, and its children by
the numbers of their nodes, but without a number of its own.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from web_fake import Answer, Request, WebFake

BEGIN = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
FRAME = 10  # seconds between two frames of a script
NEVER = "0001-01-01T00:00:00Z"  # Go's zero time, which KFP gives for an end that has not come
WORKFLOW = "colours-x7k2p"

# The phases of a step: the states of its driver, of the whole, and of its executor.
PHASES = {
    "driver": ("RUNNING", None, None),
    "driver failed": ("FAILED", None, None),
    "pending": ("SUCCEEDED", "RUNNING", "PENDING"),
    "running": ("SUCCEEDED", "RUNNING", "RUNNING"),
    "done": ("SUCCEEDED", "SUCCEEDED", "SUCCEEDED"),
    "cached": ("SUCCEEDED", "SUCCEEDED", "SKIPPED"),
    "failed": ("SUCCEEDED", "FAILED", "FAILED"),
    # Argo's Omitted, which KFP has no state for.
    "omitted": ("RUNTIME_STATE_UNSPECIFIED", "RUNTIME_STATE_UNSPECIFIED", None),
}
OVER = ("done", "cached", "failed", "driver failed")
# The script of a run that succeeds.
ALL_DONE = [
    {},
    {"Rows": "driver"},
    {"Rows": "running"},
    {"Rows": "done", "Train": "driver"},
    {"Rows": "done", "Train": "running"},
    {"Rows": "done", "Train": "done", "Report": "running"},
    {"Rows": "done", "Train": "done", "Report": "done"},
]


@dataclass
class FakeKfp(WebFake):
    """The server; `script` holds the phases of the steps for each request for the run."""

    multi_user: bool = False
    version_1: bool = False
    interface: bool = True  # ml-pipeline-ui, which also serves the API of ml-pipeline
    token: str | None = None
    script: list[dict[str, str]] = field(default_factory=list)
    final: str = "SUCCEEDED"
    error: str | None = None  # in the run's history
    losses: list[int] = field(default_factory=list)  # looks at a run that fail with 503
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    bucket: dict[tuple[str, str, str], bytes] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    looks: int = 0

    def answer(self, request: Request) -> Answer:
        if request.path.startswith("/apis/"):
            if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
                return Answer(401, {"error": "Request header error", "code": 16})
            return self._api(request)
        if not self.interface:
            return Answer(404, "404 page not found")
        return self._interface(request)

    def _api(self, request: Request) -> Answer:
        if self.version_1:
            if request.path == "/apis/v1beta1/healthz":
                return Answer(200, {"tag_name": "1.8.5", "multi_user": False})
            return self._page() if self.interface else Answer(404, {"error": "Not Found"})
        route = (request.method, request.path.removeprefix("/apis/v2beta1"))
        listing = re.fullmatch(r"/pipelines/([^/]+)/versions", route[1])
        one_run = re.fullmatch(r"/runs/([^/]+)", route[1])
        if route == ("GET", "/healthz"):
            return Answer(200, {"multi_user": self.multi_user})
        if route == ("POST", "/pipelines/upload"):
            return self._upload(request)
        if route == ("POST", "/pipelines/upload_version"):
            return self._upload_version(request)
        if route == ("GET", "/pipelines"):
            return Answer(200, {"pipelines": self._found(self.pipelines, request)})
        if request.method == "GET" and listing:
            own = [v for v in self.versions if v["pipeline_id"] == listing[1]]
            return Answer(200, {"pipeline_versions": self._found(own, request)})
        if route == ("GET", "/experiments"):
            return Answer(200, {"experiments": self._found(self.experiments, request)})
        if route == ("POST", "/experiments"):
            return self._made(self.experiments, "experiment_id", json.loads(request.body))
        if route == ("POST", "/runs"):
            return self._start(json.loads(request.body))
        if request.method == "GET" and one_run:
            return self._run(one_run[1])
        return Answer(404, {"error": "Not Found", "code": 5, "message": "Not Found"})

    def _found(self, items: list[dict[str, Any]], request: Request) -> list[dict[str, Any]] | None:
        """The items that a filter leaves, of the namespace that is asked for; null where none."""
        namespace = request.query.get("namespace") or None
        for predicate in json.loads(request.query.get("filter") or "{}").get("predicates", []):
            assert predicate["operation"] in ("EQUALS", 1)
            key, value = predicate["key"], predicate["stringValue"]
            items = [item for item in items if item[key] == value]
        return [item for item in items if (item.get("namespace") or None) == namespace] or None

    def _made(self, items: list[dict[str, Any]], key: str, item: dict[str, Any]) -> Answer:
        items.append({**item, key: str(uuid.uuid4())})
        return Answer(200, items[-1])

    def _upload(self, request: Request) -> Answer:
        name, problem = request.query["name"], self._refused(request)
        if problem:
            return problem
        made = {"display_name": name, "namespace": request.query.get("namespace", "")}
        if any(made.items() <= pipeline.items() for pipeline in self.pipelines):
            return Answer(409, {"error_message": "exists", "error_details": f"{name} exists"})
        answer = self._made(self.pipelines, "pipeline_id", made)
        version = {"display_name": name, "pipeline_id": self.pipelines[-1]["pipeline_id"]}
        self._made(self.versions, "pipeline_version_id", version)
        return answer

    def _upload_version(self, request: Request) -> Answer:
        problem = self._refused(request)
        if problem:
            return problem
        made = {"display_name": request.query["name"], "pipeline_id": request.query["pipelineid"]}
        return self._made(self.versions, "pipeline_version_id", made)

    def _refused(self, request: Request) -> Answer | None:
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        [part] = message_from_bytes(head + request.body).get_payload()  # type: ignore[misc]
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        text = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        problem = problem_of_pipeline(text)
        if problem is None:
            self.uploads.append(text)
            return None
        return Answer(
            400, {"error_message": "Failed to create a pipeline", "error_details": problem}
        )

    def _start(self, run: dict[str, Any]) -> Answer:
        reference = run["pipeline_version_reference"]["pipeline_version_id"]
        known = any(version["pipeline_version_id"] == reference for version in self.versions)
        if not known or run["experiment_id"] not in [e["experiment_id"] for e in self.experiments]:
            return Answer(404, {"error": "not found", "code": 5, "message": "not found"})
        run = {**run, "run_id": str(uuid.uuid4()), "state": "PENDING"}
        self.runs[run["run_id"]] = run
        return Answer(200, run)

    def _run(self, run_id: str) -> Answer:
        if run_id not in self.runs:
            return Answer(
                404, {"error": "not found", "code": 5, "message": f"Run {run_id} not found"}
            )
        self.looks += 1
        if self.looks in self.losses:
            return Answer(503, "upstream connect error")
        frames = self.script[: self.looks]
        over = self.looks >= len(self.script)
        history: list[dict[str, Any]] = [{"update_time": _written(BEGIN), "state": "PENDING"}]
        if over and self.error:
            history.append({"state": self.final, "error": {"code": 13, "message": self.error}})
        return Answer(200, {
            **self.runs[run_id],
            "state": self.final if over else "RUNNING" if frames[-1] else "PENDING",
            "finished_at": _written(BEGIN) if over else "1970-01-01T00:00:00Z",
            "state_history": history,
            "run_details": {"task_details": task_details(run_id, frames)} if frames[-1] else None,
        })  # fmt: skip

    def _interface(self, request: Request) -> Answer:
        query = request.query
        if request.path == "/artifacts/get":
            if self.multi_user and not query.get("namespace"):
                return Answer(400, "Namespace parameter is required when authentication is enabled")
            found = self.bucket.get((query["source"], query["bucket"], query["key"]))
            if found is None:
                return Answer(500, "Failed to get object in bucket: NoSuchKey")
            return Answer(200, found)
        if request.path == "/k8s/pod":
            pod = self.pods.get(query["podname"])
            return Answer(200, pod) if pod else Answer(500, "Could not get pod")
        if request.path == "/k8s/pod/logs":
            log = self.logs.get(query["podname"])
            return Answer(200, log) if log else Answer(404, "pod not found")
        return self._page()

    def _page(self) -> Answer:
        """What the user interface answers to an address that it does not know."""
        page = "<!doctype html><html><head><title>Kubeflow Pipelines</title></head></html>"
        return Answer(200, page)


def problem_of_pipeline(text: str) -> str | None:
    """Why the API server refuses a pipeline; None where it takes it."""
    documents = list(yaml.safe_load_all(text))
    spec = pipeline_spec_pb2.PipelineSpec()
    try:
        json_format.ParseDict(documents[0], spec)
        for document in documents[1:]:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        return f"invalid v2 pipeline spec: {error}"
    if spec.schema_version != "2.1.0":
        version = spec.schema_version
        return (
            f"KFP only supports schema version 2.1.0, but the pipeline spec has version {version}"
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,127}", spec.pipeline_info.name):
        return "pipeline's name must contain only lowercase alphanumeric characters or '-'"
    if not spec.HasField("root"):
        return "invalid v2 pipeline spec: root component is empty"
    return None


def node_number(name: str) -> int:
    """The number of a node of an Argo workflow, from its name (FNV-1a of 32 bits)."""
    number = 2166136261
    for byte in name.encode():
        number = ((number ^ byte) * 16777619) & 0xFFFFFFFF
    return number


def task_details(run_id: str, frames: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The tasks of a run whose steps have gone through some frames, as KFP returns them."""
    nodes: dict[str, dict[str, Any]] = {}

    def add(
        name: str, shown: str, state: str | None, start: int, end: int | None, *children: str
    ) -> None:
        if state is None:
            return
        nodes[f"{WORKFLOW}-{node_number(name)}"] = {
            "run_id": run_id,
            "task_id": str(uuid.uuid4()),
            "display_name": shown,
            "create_time": _written(BEGIN),
            "start_time": _at(start),
            "end_time": NEVER if end is None else _at(end),
            "state": state,
            "child_tasks": [{"pod_name": f"{WORKFLOW}-{node_number(c)}"} for c in children],
        }

    phases = frames[-1].items()
    first = next(number for number, frame in enumerate(frames) if frame)
    over = all(phase in (*OVER, "omitted") for _, phase in phases)
    add(WORKFLOW, WORKFLOW, "RUNNING", first, None, f"{WORKFLOW}.root-driver")
    add(f"{WORKFLOW}.root-driver", "root-driver", "SUCCEEDED", first, first, f"{WORKFLOW}.root")
    add(f"{WORKFLOW}.root", "root", "SUCCEEDED" if over else "RUNNING", first, None)
    for step, phase in phases:
        driver, whole, executor = PHASES[phase]
        came = next(n for n, frame in enumerate(frames) if step in frame)
        ended = next((n for n, frame in enumerate(frames) if frame.get(step) in OVER), None)
        begun = ended if phase == "cached" else came + (driver == "SUCCEEDED" and came != ended)
        base = f"{WORKFLOW}.root.{step}"
        add(f"{base}-driver", f"{step}-driver", driver, came, begun or came, base)
        add(base, step, whole, begun or came, ended, f"{base}.executor")
        add(f"{base}.executor", "executor", executor, begun or came, ended)
    return [nodes[key] for key in sorted(nodes)]


def _at(frame: int) -> str:
    return _written(BEGIN + timedelta(seconds=FRAME * frame))


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
