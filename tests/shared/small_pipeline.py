"""A pipeline for Kubeflow that is small and written by hand, as a compilation gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STAGES = ["Rows", "Train", "Report"]
PIPELINE = """\
pipelineInfo: {name: colours}
schemaVersion: 2.1.0
sdkVersion: kfp-2.16.1
deploymentSpec:
  executors:
    exec-a: {container: {image: 'registry.example/fusion:1', command: [fusion, entrypoint]}}
components:
  comp-a: {executorLabel: exec-a}
root:
  dag:
    tasks:
      Rows: {taskInfo: {name: Rows}, componentRef: {name: comp-a}}
      Train:
        taskInfo: {name: Train}
        componentRef: {name: comp-a}
        dependentTasks: [Rows]
      Report:
        taskInfo: {name: Report}
        componentRef: {name: comp-a}
        dependentTasks: [Train]
---
platforms:
  kubernetes:
    deploymentSpec:
      executors:
        exec-a: {pvcMount: [{mountPath: /data, constant: rows}]}
"""


@dataclass
class Compiled:
    """What a compilation gives."""

    specification: Any
    yaml: str = PIPELINE
    name: str = "colours"

    @property
    def stages(self) -> list[str]:
        return list(STAGES)

    def text(self) -> str:
        return self.yaml
