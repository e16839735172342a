"""The imitation of Kubeflow Pipelines, and a pipeline of one task for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import Cluster


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster")


@pytest.fixture
def single(tmp_path: Path) -> Callable[..., Path]:
    """Writes a pipeline of one task, `step`, that runs a shell command and has an output `out`."""

    def write(
        command: str = "true",
        change: Callable[[dict[str, Any]], None] | None = None,
        **kubernetes: Any,
    ) -> Path:
        document = {
            "schemaVersion": "2.1.0",
            "pipelineInfo": {"name": "single"},
            "components": {
                "comp": {
                    "executorLabel": "exec",
                    "outputDefinitions": {
                        "artifacts": {"out": {"artifactType": {"schemaTitle": "tfx.Model"}}}
                    },
                }
            },
            "deploymentSpec": {
                "executors": {
                    "exec": {
                        "container": {
                            "image": "nowhere",
                            "command": ["sh", "-ec", command],
                            "args": ["{{$.outputs.artifacts['out'].path}}", "{{$}}"],
                        }
                    }
                }
            },
            "root": {
                "dag": {
                    "tasks": {
                        "step": {"taskInfo": {"name": "step"}, "componentRef": {"name": "comp"}}
                    }
                }
            },
        }
        if change:
            change(document)
        documents = [document]
        if kubernetes:
            settings = {"deploymentSpec": {"executors": {"exec": kubernetes}}}
            documents.append({"platforms": {"kubernetes": settings}})
        path = tmp_path / "single.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return path

    return write
