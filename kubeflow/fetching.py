"""What a run left in its bucket, fetched through KFP's user interface."""

from __future__ import annotations

import re

from kfp_server import Server
from preflight import ROOT

from modules.errors import RunError

SOURCES = {"s3": "s3", "minio": "minio", "gs": "gcs"}
# `fusion step` writes such lines into the log of a stage.
OUTPUT = re.compile(r"^output (?P<key>\S+) (?P<uri>\S+)$", re.MULTILINE)


class NotFetchedError(RunError):
    """Something could not be had from a bucket; the message says why."""


def output_uri(log: str, key: str) -> str | None:
    """Where an output of a stage lies, by the stage's log."""
    found = [told["uri"] for told in OUTPUT.finditer(log) if told["key"] == key]
    return found[-1] if found else None


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
