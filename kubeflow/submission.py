"""One submission to Kubeflow: checked, uploaded, started, monitored, its report downloaded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.console import Console

from tfx_fusion.kubeflow.cluster import checked_cluster
from tfx_fusion.kubeflow.kfp_server import DownloadError, LostServerError, Server
from tfx_fusion.kubeflow.pods import Pods, UserInterfacePods
from tfx_fusion.kubeflow.run_monitor import Pace, RunMonitor
from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.files import whole_file
from tfx_fusion.modules.report.finished import REPORT_FILE
from tfx_fusion.modules.report.record import RUN_FILE, RunRecord
from tfx_fusion.modules.spec.kubeflow import Kubeflow
from tfx_fusion.pipeline.consoles import print_line
from tfx_fusion.pipeline.steps import Step, StepTable

if TYPE_CHECKING:
    from tfx_fusion.kubeflow.compile import Compiled


@dataclass
class Submission:
    """A compiled pipeline on its way to a server."""

    compiled: Compiled
    server: Server
    root: str
    namespace: str
    folder: Path
    console: Console
    pace: Pace = field(default_factory=Pace)
    _run_id: str = ""
    _pods: Pods = field(init=False)

    @property
    def _kubeflow(self) -> Kubeflow:
        """The section without which nothing is compiled."""
        return cast(Kubeflow, self.compiled.specification.kubeflow)

    def check(self) -> None:
        """Raises SpecificationError for missing secrets and claims, where they can be listed."""
        cluster, warning = checked_cluster(self._kubeflow, self.namespace)
        if warning is not None:
            self._print(warning)
        user_interface = UserInterfacePods(self.server, self.namespace, self._retries)
        self._pods = cluster or user_interface

    def start(self, experiment: str) -> str:
        """Uploads the pipeline and starts a run, whose identifier it returns."""
        name = self.compiled.name
        pipeline_id, version_id, new = self.server.upload(
            name, self._version(), self.compiled.text()
        )
        self._print(f"pipeline {name} {'uploaded' if new else 'is unchanged'}")
        run = self.server.start(name, experiment, pipeline_id, version_id, self.root)
        self._run_id = run.run_id
        self._print(f"run {self.server.run_url(self._run_id)}")
        return self._run_id

    def follow(self, report: Path | None) -> None:
        """Shows the steps until the run has ended, then downloads the report into a file.

        Raises RunError where the run failed, or succeeded and published no model.
        """
        steps = {name: Step(name=name, component=name) for name in self.compiled.steps}
        monitor = RunMonitor(
            self.server, self._run_id, steps, self._pods, self._kubeflow.image, self.pace
        )
        with StepTable(self.console, steps) as table:
            run = monitor.until_ended(table.changed, self._print)
        folder = self.folder / self._run_id
        if run.state != "SUCCEEDED":
            raise monitor.failure(run, folder, f"kubectl logs -n {self.namespace}")
        self._download(report or folder / REPORT_FILE, folder)

    def _download(self, report: Path, folder: Path) -> None:
        """Downloads the report and the run's record, and prints what was published."""
        self._download_file(REPORT_FILE, report, "report")
        content = self._download_file(RUN_FILE, folder / RUN_FILE, "record")
        if content is None:
            return
        try:
            record = RunRecord.parse(content)
        except ValueError as error:
            self._print(f"the record cannot be read: {first_line(error)}")
            return
        if record.error:
            raise RunError(f"{record.error}\nrun: {self.server.run_url(self._run_id)}")
        self._print(f"published {record.published}")

    def _download_file(self, name: str, target: Path, what: str) -> bytes | None:
        """Downloads a file of the last step; None, and a message, where that fails."""
        # The fixed place that `patch_output` in entrypoint.py copies the file to.
        uri = f"{self.root}/{self.compiled.name}/{self._run_id}/Report/{name}"
        try:
            content = self.server.download_artifact(uri)
        except (DownloadError, LostServerError) as error:
            self._print(f"{what} {uri} (not downloaded: {error})")
            return None
        with whole_file(target) as temporary:
            temporary.write_bytes(content)
        self._print(f"{what} {target}")
        return content

    def _version(self) -> str:
        """The name of a version is a digest of its content, so that it is uploaded only once.

        The first version of a pipeline is the exception: KFP gives it the pipeline's own name.
        """
        documents = [self.compiled.spec, self.compiled.platform]
        content = json.dumps(documents, sort_keys=True)  # TFX compiles in no fixed order
        return f"{self.compiled.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def _retries(self, step: str) -> int:
        return self._kubeflow.of_step(step).retries or 0

    def _print(self, text: str) -> None:
        print_line(self.console, text)
