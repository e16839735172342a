"""One submission to Kubeflow: checked, uploaded, started, followed, its report fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fetching import fetch, report_uri
from following import Following, Pace
from kfp_server import Server
from pods import ClusterPods, InterfacePods, Pods
from preflight import cluster_of_run
from rich.console import Console

from modules.errors import SpecificationError
from modules.spec import Specification
from modules.spec.kubeflow import Kubeflow
from pipeline.live import StageTable
from pipeline.stage import Stage


class Compiled(Protocol):
    """A specification, compiled for Kubeflow."""

    specification: Specification
    name: str
    stages: list[str]

    def text(self) -> str:
        """The YAML of both documents."""


class Submission:
    """What is submitted, and where."""

    def __init__(
        self,
        compiled: Compiled,
        server: Server,
        root: str,
        namespace: str,
        folder: Path,
        console: Console,
        pace: Pace | None = None,
    ) -> None:
        self._compiled = compiled
        self._server = server
        self._root = root
        self._namespace = namespace
        self._folder = folder
        self._console = console
        self._pace = pace or Pace()
        self._kubeflow = _section(compiled.specification)
        self._run_id = ""
        self._pods: Pods

    def check(self) -> None:
        """Refuses secrets and claims that are not there, where that can be seen."""
        cluster, unchecked = cluster_of_run(self._kubeflow, self._namespace)
        if unchecked is not None:
            self._tell(unchecked)
        if cluster is not None:
            self._pods = ClusterPods(cluster)
        else:
            self._pods = InterfacePods(self._server, self._namespace, self._retries)

    def start(self, experiment: str) -> str:
        """Uploads the pipeline and starts a run, whose identifier it returns."""
        name = self._compiled.name
        pipeline_id, version_id, new = self._server.upload(name, self._compiled.text())
        self._tell(f"pipeline {name} {'uploaded' if new else 'was there, unchanged'}")
        run = self._server.start(name, experiment, pipeline_id, version_id, self._root)
        self._run_id = run.run_id
        self._tell(f"run {self._server.run_url(self._run_id)}")
        return self._run_id

    def follow(self) -> None:
        """Shows the stages until the run has ended; raises RunError where it did not end well."""
        stages = {name: Stage(name, name) for name in self._compiled.stages}
        following = Following(
            self._server, self._run_id, stages, self._pods, self._kubeflow.image, self._pace
        )
        with StageTable(self._console, stages) as table:
            run = following.until_ended(table.changed, self._tell)
        if run.state != "SUCCEEDED":
            kubectl = f"kubectl logs -n {self._namespace}"
            raise following.failure(run, self._folder / self._run_id, kubectl)

    def fetch_report(self, target: Path | None) -> None:
        """Fetches the report, or tells where it lies."""
        target = target or self._folder / self._run_id / "report.html"
        uri = report_uri(self._root, self._compiled.name, self._run_id)
        problem = fetch(self._server, uri, target)
        if problem is None:
            self._tell(f"report {target}")
        else:
            self._tell(f"report {uri} (it was not fetched: {problem})")

    def _retries(self, stage: str) -> int:
        return self._kubeflow.of_stage(stage).retries or 0

    def _tell(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)


def _section(specification: Specification) -> Kubeflow:
    if specification.kubeflow is None:
        raise SpecificationError(
            ["kubeflow: missing: say at least the image that holds the project, `image: …`"]
        )
    return specification.kubeflow
