"""The report of a run, fetched out of the bucket through KFP's user interface."""

from __future__ import annotations

from pathlib import Path

from kfp_server import LostServerError, Server
from preflight import ROOT

from modules.files import whole_file

SOURCES = {"s3": "s3", "minio": "minio", "gs": "gcs"}


def report_uri(root: str, pipeline: str, run_id: str) -> str:
    """Where a run's last stage writes the report."""
    return f"{root}/{pipeline}/{run_id}/Report/report.html"


def fetch(server: Server, uri: str, target: Path) -> str | None:
    """Fetches a page out of a bucket into a file; returns why it could not be, else None."""
    found = ROOT.fullmatch(uri)
    if found is None:
        return f"{uri} is in no bucket"
    query = {
        "source": SOURCES[found["scheme"]],
        "bucket": found["bucket"],
        "key": found["prefix"].removeprefix("/"),
    }
    if server.namespace:
        query["namespace"] = server.namespace
    try:
        answer = server.get("artifacts/get", **query)
    except LostServerError as error:
        return str(error)
    if answer.status_code != 200:
        return f"{server.host} answers {answer.status_code}: {answer.text.strip()[:200]}"
    head = answer.content[:2000].lower()
    # An address that the user interface does not know is answered with its own page.
    if b"<html" not in head or b"<title>kubeflow pipelines</title>" in head:
        return f"{server.host} does not give out what is in the bucket"
    with whole_file(target) as aside:
        aside.write_bytes(answer.content)
    return None
