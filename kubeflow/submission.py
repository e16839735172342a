"""One submission to Kubeflow: checked, uploaded, started, followed, its report fetched."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from tfx_fusion.kubeflow.fetching import NotFetchedError, fetch, report_uri
from tfx_fusion.kubeflow.following import Following, Pace
from tfx_fusion.kubeflow.kfp_server import LostServerError, Server
from tfx_fusion.kubeflow.pods import ClusterPods, InterfacePods, Pods
from tfx_fusion.kubeflow.preflight import cluster_of_run
from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.files import whole_file
from tfx_fusion.modules.report.finished import REPORT_FILE
from tfx_fusion.modules.report.record import RUN_FILE, RunRecord
from tfx_fusion.modules.spec.kubeflow import Kubeflow
from tfx_fusion.pipeline.steps import Step, StepTable

if TYPE_CHECKING:
    from tfx_fusion.kubeflow.compile import Compiled


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
        # Without that section nothing is compiled.
        self._kubeflow = cast(Kubeflow, compiled.specification.kubeflow)
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
        pipeline_id, version_id, new = self._server.upload(
            name, self._version(), self._compiled.text()
        )
        self._tell(f"pipeline {name} {'uploaded' if new else 'was there, unchanged'}")
        run = self._server.start(name, experiment, pipeline_id, version_id, self._root)
        self._run_id = run.run_id
        self._tell(f"run {self._server.run_url(self._run_id)}")
        return self._run_id

    def follow(self, report: Path | None) -> None:
        """Shows the stages until the run has ended, then fetches the report into a file.

        Raises RunError where the run did not end well, or did and published no model.
        """
        stages = {name: Step(name=name, component=name) for name in self._compiled.stages}
        following = Following(
            self._server, self._run_id, stages, self._pods, self._kubeflow.image, self._pace
        )
        with StepTable(self._console, stages) as table:
            run = following.until_ended(table.changed, self._tell)
        folder = self._folder / self._run_id
        if run.state != "SUCCEEDED":
            raise following.failure(run, folder, f"kubectl logs -n {self._namespace}")
        self._fetch(report or folder / REPORT_FILE, folder)

    def _fetch(self, report: Path, folder: Path) -> None:
        """Fetches the report and the run's record, and prints what was published."""
        self._fetch_file(REPORT_FILE, report, "report")
        content = self._fetch_file(RUN_FILE, folder / RUN_FILE, "record")
        if content is None:
            return
        try:
            record = RunRecord.parse(content)
        except ValueError as error:
            self._tell(f"the record cannot be read: {first_line(error)}")
            return
        if record.error:
            raise RunError(f"{record.error}\nrun: {self._server.run_url(self._run_id)}")
        self._tell(f"published {record.published}")

    def _fetch_file(self, name: str, target: Path, what: str) -> bytes | None:
        """Fetches a file of the last step; None, and a message, where that fails."""
        place = report_uri(self._root, self._compiled.name, self._run_id, name)
        try:
            content = fetch(self._server, place)
        except (NotFetchedError, LostServerError) as error:
            self._tell(f"{what} {place} (it was not fetched: {error})")
            return None
        with whole_file(target) as aside:
            aside.write_bytes(content)
        self._tell(f"{what} {target}")
        return content

    def _version(self) -> str:
        """A version is named by what it holds, so that it is not uploaded again.

        Only the first of a pipeline is: KFP gives it the pipeline's own name.
        """
        documents = [self._compiled.spec, self._compiled.platform]
        content = json.dumps(documents, sort_keys=True)  # they are compiled in no certain order
        return f"{self._compiled.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def _retries(self, stage: str) -> int:
        return self._kubeflow.of_stage(stage).retries or 0

    def _tell(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
