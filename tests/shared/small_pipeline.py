"""A pipeline for Kubeflow that is small and written by hand, as a compilation gives it."""

from __future__ import annotations

from types import SimpleNamespace

import yaml

from tfx_fusion.kubeflow.compile import Compiled
from tfx_fusion.modules.spec.kubeflow import Kubeflow

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


def compiled(kubeflow: Kubeflow, text: str = PIPELINE) -> Compiled:
    """The pipeline as a compilation of a specification with this section gives it."""
    spec, platform = yaml.safe_load_all(text)
    return Compiled(SimpleNamespace(kubeflow=kubeflow), spec, platform)  # type: ignore[arg-type]
