"""One stage of a run, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a run on Kubeflow is followed without it
    from ml_metadata.proto import metadata_store_pb2

Status = Literal["waiting", "running", "done", "reused", "failed"]


@dataclass
class Stage:
    """One stage of a run: its status, seconds, and the artifacts it made or reused."""

    name: str
    component: str
    status: Status = "waiting"
    seconds: float = 0.0
    saved: float = 0.0  # what a reused stage took when it was done
    started: float = 0.0
    artifacts: dict[str, metadata_store_pb2.Artifact] = field(default_factory=dict)
    note: str = ""

    @property
    def outputs(self) -> dict[str, str]:
        """Where each output lies."""
        return {key: artifact.uri for key, artifact in self.artifacts.items()}
