"""A server of Kubeflow Pipelines, over the API client that kfp's own Client wraps.

That Client prints links, reads environment variables and a file of the home folder, may log in to
Google, and waits for ever where nothing answers: this one prints nothing, reads only its arguments
and has a time limit.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import kfp_server_api
import requests
import urllib3
from kfp_server_api import V2beta1Experiment, V2beta1Run

from tfx_fusion.modules.errors import RunError

TIMEOUT = 30  # seconds
LIMIT = {"_request_timeout": TIMEOUT}
TOKEN_HINT = "give a token with access as --token or FUSION_KFP_TOKEN"  # noqa: S105
ROOT = re.compile(
    r"(?P<scheme>s3|minio|gs)://(?P<bucket>[a-z0-9][a-z0-9.-]*)(?P<prefix>(/[^?#]*)?)"
)
# The schemes as KFP's user interface spells them.
SOURCES = {"s3": "s3", "minio": "minio", "gs": "gcs"}
SINGLE_USER_NAMESPACE = "kubeflow"  # where KFP runs pipelines when it has one user


class LostServerError(RunError):
    """The server does not answer; it may do so again."""


class DownloadError(RunError):
    """An artifact could not be downloaded; the message has the reason."""


def check_root(root: str) -> str:
    """The pipeline root without a slash at its end. Raises RunError unless it is in a bucket."""
    if not ROOT.fullmatch(root):
        raise RunError(
            f"--root: expected a bucket, s3://, minio:// or gs:// with its name and a path, found "
            f"'{root}': for instance minio://mlpipeline/fusion"
        )
    return root.rstrip("/")


class Server:
    """One server, seen from one namespace where it has several users (`namespace` else None)."""

    def __init__(self, host: str, namespace: str | None = None, token: str | None = None) -> None:
        host = host if "://" in host else f"http://{host}"
        self.host = host.rstrip("/")
        self.namespace = namespace
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No silent retries, during which the table of steps would stand still.
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
        """The response to a plain GET, a redirection included."""
        try:
            return requests.get(
                f"{self.host}/{path}",
                params=query,
                headers=self._headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise LostServerError(
                f"nothing answers at {self.host} ({type(error).__name__}): is --host right, and "
                "does a port-forward still run? For instance "
                "`kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` and "
                "--host http://localhost:8080"
            ) from error

    def check(self) -> str:
        """The namespace of a run's pods.

        Raises RunError for a server that is not KFP, is older than version 2, requires a token, or
        has several users while no namespace is given.
        """
        answer = self.get("apis/v2beta1/healthz")
        if answer.status_code in (301, 302, 303, 307, 308, 401, 403):
            raise RunError(
                f"{self.host} requires authentication (HTTP {answer.status_code}): {TOKEN_HINT}"
            )
        if answer.status_code >= 500:
            raise RunError(
                f"KFP at {self.host} is unhealthy (HTTP {answer.status_code}): "
                f"{answer.text.strip()[:300]}"
            )
        health = _json(answer)
        if health is None:
            self._refuse_other_server()
        if not health.get("multi_user"):
            namespace = self.namespace or SINGLE_USER_NAMESPACE
            self.namespace = None  # the API of such a server refuses a namespace
            return namespace
        if self.namespace is None:
            raise RunError(
                f"KFP at {self.host} has several users: give the namespace of the run as "
                "--namespace or FUSION_KFP_NAMESPACE"
            )
        return self.namespace

    def _refuse_other_server(self) -> NoReturn:
        """Raises: there is no version 2 of KFP; its user interface answers with a page instead."""
        old = _json(self.get("apis/v1beta1/healthz"))
        if old is not None:
            version = old.get("tag_name") or "1"
            raise RunError(
                f"KFP at {self.host} is version {version}, which has no API v2beta1: expected 2.0 "
                "or newer; upgrade Kubeflow Pipelines"
            )
        raise RunError(
            f"{self.host} answers, but not as Kubeflow Pipelines: expected /apis/v2beta1/healthz; "
            "is --host the address of ml-pipeline-ui or ml-pipeline (with Kubeflow's dashboard: "
            "its address and /pipeline)?"
        )

    def download_artifact(self, uri: str) -> bytes:
        """The content of an object in a bucket, through KFP's user interface.

        Raises DownloadError where the user interface does not return it.
        """
        found = ROOT.fullmatch(uri)
        if found is None:
            raise DownloadError(f"{uri} is in no bucket")
        query = {
            "source": SOURCES[found["scheme"]],
            "bucket": found["bucket"],
            "key": found["prefix"].removeprefix("/"),
            **self._namespaced(),
        }
        answer = self.get("artifacts/get", **query)
        if answer.status_code != 200:
            raise DownloadError(
                f"{self.host} answers {answer.status_code}: {answer.text.strip()[:200]}"
            )
        # The user interface answers an address that it does not know with its own page.
        if b"<title>kubeflow pipelines</title>" in answer.content[:2000].lower():
            raise DownloadError(f"{self.host} does not serve what is in buckets")
        return answer.content

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.host}/#/runs/details/{run_id}"

    def upload(self, name: str, version_name: str, text: str) -> tuple[str, str, bool]:
        """Uploads a pipeline, or a version of it where the pipeline exists without that version.

        Returns the identifiers of both, and whether anything was uploaded.
        """
        with (
            _translated_errors(self, f"upload the pipeline '{name}'"),
            tempfile.TemporaryDirectory() as folder,
        ):
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
        """Starts a run of an uploaded version; creates the experiment where there is none."""
        with _translated_errors(self, f"start a run in the experiment '{experiment}'"):
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
        """The state of a run."""
        with _translated_errors(self, "show the run"):
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


def _named(name: str) -> str:
    equal = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [equal]})


def _json(answer: requests.Response) -> dict[str, Any] | None:
    if answer.status_code != 200:
        return None
    try:
        value = answer.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def _translated_errors(server: Server, action: str) -> Iterator[None]:
    """Raises an error of the API client as a RunError with the next step for the user."""
    try:
        yield
    except kfp_server_api.ApiException as error:
        if error.status in (401, 403):
            raise RunError(
                f"{server.host} refuses to {action} (HTTP {error.status}): {TOKEN_HINT}"
            ) from error
        problem = f"{server.host} could not {action} (HTTP {error.status}): {_message(error)}"
        if not error.status or error.status >= 500:
            raise LostServerError(problem) from error
        raise RunError(problem) from error
    except urllib3.exceptions.HTTPError as error:
        raise LostServerError(
            f"{server.host} did not answer the request to {action} ({type(error).__name__})"
        ) from error


def _message(error: kfp_server_api.ApiException) -> str:
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return str(error.reason)
    keys = ("error_details", "message", "error")
    return str(next((body[key] for key in keys if body.get(key)), error.reason))
