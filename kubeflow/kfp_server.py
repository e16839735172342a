"""A server of Kubeflow Pipelines, over the API client that kfp's own Client wraps.

That Client prints links, reads environment variables and a file of the home folder, may log in to
Google, and waits for ever where nothing answers: here nothing is said or read that was not given.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kfp_server_api
import requests
import urllib3
from kfp_server_api import V2beta1Experiment, V2beta1Run

from tfx_fusion.modules.errors import RunError

SECONDS = 30  # an answer that takes longer does not come
ASK_FOR_TOKEN = "give a token that may, with --token or FUSION_KFP_TOKEN"  # noqa: S105


class LostServerError(RunError):
    """The server does not answer; it may do so again."""


class Server:
    """One server, seen from one namespace where it has several users (`namespace` else None)."""

    def __init__(self, host: str, namespace: str | None = None, token: str | None = None) -> None:
        host = host if "://" in host else f"http://{host}"
        self.host = host.rstrip("/")
        self.namespace = namespace
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # One place is asked: nothing is tried again unheard while the table stands still.
        configuration = kfp_server_api.Configuration(host=self.host)
        configuration.retries = False
        if token:
            configuration.api_key["authorization"] = token
            configuration.api_key_prefix["authorization"] = "Bearer"
        client = kfp_server_api.ApiClient(configuration)
        self._experiments = kfp_server_api.ExperimentServiceApi(client)
        self._pipelines = kfp_server_api.PipelineServiceApi(client)
        self._uploads = kfp_server_api.PipelineUploadServiceApi(client)
        self._runs = kfp_server_api.RunServiceApi(client)

    def get(self, path: str, **query: str) -> requests.Response:
        """What the server answers to a plain GET, as it is, a redirection too."""
        try:
            return requests.get(
                f"{self.host}/{path}",
                params=query,
                headers=self._headers,
                timeout=SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise LostServerError(
                f"nothing answers at {self.host} ({type(error).__name__}): is --host right, and "
                "does a port-forward still run? For instance "
                "`kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` and "
                "--host http://localhost:8080"
            ) from error

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.host}/#/runs/details/{run_id}"

    def upload(self, name: str, version_name: str, text: str) -> tuple[str, str, bool]:
        """Uploads a pipeline, or a version of it where it exists and has none of that name.

        Returns the identifiers of both, and whether it was new.
        """
        with _told(self, f"upload the pipeline '{name}'"), tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "pipeline.yaml")
            file.write_text(text)
            pipeline_id = self._pipeline_id(name)
            if pipeline_id is None:
                pipeline = self._uploads.upload_pipeline(
                    str(file), name=name, **self._namespaced(), **LIMIT
                )
                pipeline_id = pipeline.pipeline_id
                found = self._pipelines.pipeline_service_list_pipeline_versions(
                    pipeline_id, page_size=1, **LIMIT
                )
                return pipeline_id, found.pipeline_versions[0].pipeline_version_id, True
            found = self._pipelines.pipeline_service_list_pipeline_versions(
                pipeline_id, filter=_named(version_name), **LIMIT
            )
            if found.pipeline_versions:
                return pipeline_id, found.pipeline_versions[0].pipeline_version_id, False
            version = self._uploads.upload_pipeline_version(
                str(file), name=version_name, pipelineid=pipeline_id, **LIMIT
            )
            return pipeline_id, version.pipeline_version_id, True

    def start(
        self, name: str, experiment: str, pipeline_id: str, version_id: str, root: str
    ) -> V2beta1Run:
        """Starts a run of an uploaded version; the experiment is made where there is none."""
        with _told(self, f"start a run in the experiment '{experiment}'"):
            return self._runs.run_service_create_run(
                V2beta1Run(
                    display_name=name,
                    experiment_id=self._experiment_id(experiment),
                    pipeline_version_reference=kfp_server_api.V2beta1PipelineVersionReference(
                        pipeline_id=pipeline_id, pipeline_version_id=version_id
                    ),
                    runtime_config=kfp_server_api.V2beta1RuntimeConfig(
                        pipeline_root=root, parameters={}
                    ),
                ),
                **LIMIT,
            )

    def run(self, run_id: str) -> V2beta1Run:
        """What the server tells of a run now."""
        with _told(self, "tell of the run"):
            return self._runs.run_service_get_run(run_id, **LIMIT)

    def _namespaced(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _pipeline_id(self, name: str) -> str | None:
        found = self._pipelines.pipeline_service_list_pipelines(
            filter=_named(name), **self._namespaced(), **LIMIT
        )
        return found.pipelines[0].pipeline_id if found.pipelines else None

    def _experiment_id(self, name: str) -> str:
        found = self._experiments.experiment_service_list_experiments(
            filter=_named(name), **self._namespaced(), **LIMIT
        )
        if found.experiments:
            return str(found.experiments[0].experiment_id)
        experiment = V2beta1Experiment(display_name=name, namespace=self.namespace)
        made = self._experiments.experiment_service_create_experiment(experiment, **LIMIT)
        return str(made.experiment_id)


LIMIT = {"_request_timeout": SECONDS}


def _named(name: str) -> str:
    equal = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [equal]})


@contextmanager
def _told(server: Server, action: str) -> Iterator[None]:
    """Tells what the server answers to a request as what the user can do about it."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise RunError(
                f"{server.host} refuses to {action} ({error.status}): {ASK_FOR_TOKEN}"
            ) from error
        problem = f"{server.host} could not {action} ({error.status}): {_message(error)}"
        if error.status is None or not error.status or error.status >= 500:
            raise LostServerError(problem) from error
        raise RunError(problem) from error
    except urllib3.exceptions.HTTPError as error:
        raise LostServerError(
            f"{server.host} did not answer when asked to {action} ({type(error).__name__})"
        ) from error


def _message(error: kfp_server_api.ApiException) -> str:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return str(error.reason)
    said = body.get("error_details") or body.get("message") or body.get("error") or error.reason
    return str(said)
