"""What a run left in its bucket, fetched through KFP's user interface."""

from __future__ import annotations

from tfx_fusion.kubeflow.kfp_server import Server
from tfx_fusion.kubeflow.preflight import ROOT
from tfx_fusion.modules.errors import RunError

SOURCES = {"s3": "s3", "minio": "minio", "gs": "gcs"}


class NotFetchedError(RunError):
    """Something could not be had from a bucket; the message says why."""


def report_uri(root: str, pipeline: str, run_id: str, file: str) -> str:
    """Where the last step of a run keeps its files (`cure_output` in entrypoint.py)."""
    return f"{root}/{pipeline}/{run_id}/Report/{file}"


def fetch(server: Server, uri: str) -> bytes:
    """What lies at a place of a bucket."""
    found = ROOT.fullmatch(uri)
    if found is None:
        raise NotFetchedError(f"{uri} is in no bucket")
    query = {
        "source": SOURCES[found["scheme"]],
        "bucket": found["bucket"],
        "key": found["prefix"].removeprefix("/"),
    }
    if server.namespace:
        query["namespace"] = server.namespace
    answer = server.get("artifacts/get", **query)
    if answer.status_code != 200:
        raise NotFetchedError(
            f"{server.host} answers {answer.status_code}: {answer.text.strip()[:200]}"
        )
    # An address that the user interface does not know is answered with its own page.
    if b"<title>kubeflow pipelines</title>" in answer.content[:2000].lower():
        raise NotFetchedError(f"{server.host} does not give out what is in buckets")
    return answer.content
