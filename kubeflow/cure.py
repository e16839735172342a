"""What TFX's compiler emits, made what open-source Kubeflow Pipelines runs.

It takes a compiled PipelineSpec as a dictionary. The names of its keys are those of
`pipeline_spec.proto` in the repository kubeflow/pipelines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfx_fusion.kubeflow.volumes import moved
from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Kubeflow, Means

# The only stages whose key in KFP's cache tells all that they depend on: the digest of a sub-model
# is among their parameters. What else is read from a volume has no part in a key
# (backend/src/v2/cacheutils/cache.go), and what follows it could be taken from stale data.
CACHED = "Import-"

# Parameters of a run, by the parameters of stages that they fill.
RUN_PARAMETERS = {
    "data_path": [("Rows", "data_path")],
    "publish_path": [
        ("Champion", "publish_folder"), ("Train", "publish_folder"), ("Publish", "publish_folder"),
    ],
}  # fmt: skip
DESCRIPTIONS = {
    "data_path": "The data file, on a volume.",
    "publish_path": "The folder of TF Serving's version folders, on a volume.",
}


def check_stages(spec: dict[str, Any], kubeflow: Kubeflow) -> None:
    """Raises SpecificationError for each name under `kubeflow.stages` that is no stage's."""
    names = spec["root"]["dag"]["tasks"]
    problems = [
        f"kubeflow.stages.{name}: there is no stage '{name}'; {suggestion(name, names)}"
        for name in kubeflow.stages
        if name not in names
    ]
    if problems:
        raise SpecificationError(problems)


def cure(spec: dict[str, Any], kubeflow: Kubeflow) -> None:
    """Changes a compiled pipeline in place."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        means = kubeflow.of_stage(name)
        task["cachingOptions"] = {"enableCache": True} if name.startswith(CACHED) else {}
        if means.retries:
            task["retryPolicy"] = {"maxRetryCount": means.retries, "backoffDuration": "30s",
                                   "backoffFactor": 2}  # fmt: skip
        for given in _constants(task):
            given["constant"] = moved(given["constant"], kubeflow.volumes)
        _equip(_container(spec, name), means)
    _add_run_parameters(spec)


def _constants(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for given in task.get("inputs", {}).get("parameters", {}).values():
        if "constant" in given.get("runtimeValue", {}):
            yield given["runtimeValue"]


def _container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    component = spec["components"][spec["root"]["dag"]["tasks"][name]["componentRef"]["name"]]
    return spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]


def _equip(container: dict[str, Any], means: Means) -> None:
    # Requests as limits: a stage gets what it was promised, and no more.
    resources: dict[str, Any] = {}
    if means.cpu is not None:
        resources |= {"cpuRequest": means.cpu, "cpuLimit": means.cpu}
        resources |= {"resourceCpuRequest": f"{means.cpu:g}", "resourceCpuLimit": f"{means.cpu:g}"}
    if means.memory is not None:
        gigabytes = in_bytes(means.memory) / 1e9
        resources |= {"memoryRequest": gigabytes, "memoryLimit": gigabytes}
        resources |= {"resourceMemoryRequest": means.memory, "resourceMemoryLimit": means.memory}
    if means.accelerator is not None:
        kind, count = means.accelerator.type, means.accelerator.count
        resources["accelerator"] = {
            "type": kind, "count": str(count), "resourceType": kind, "resourceCount": str(count),
        }  # fmt: skip
    if resources:
        container["resources"] = resources
    if means.env:
        container["env"] = [{"name": name, "value": value} for name, value in means.env.items()]


def in_bytes(memory: str) -> float:
    """A quantity of memory as Kubernetes writes it (`4Gi`, `500M`), in bytes."""
    digits = memory.rstrip("kKMGTi")
    unit = memory[len(digits) :].upper()
    base = 1024 if unit.endswith("I") else 1000
    return float(digits) * base ** ("KMGT".index(unit[0]) + 1 if unit else 0)


def _add_run_parameters(spec: dict[str, Any]) -> None:
    """Lets a run say other paths; TFX's own runtime parameters lose their defaults."""
    tasks = spec["root"]["dag"]["tasks"]
    for name, filled in RUN_PARAMETERS.items():
        default = ""
        for stage, parameter in filled:
            given = tasks[stage]["inputs"]["parameters"][parameter]
            found = given.get("runtimeValue", {}).get("constant")
            if found:  # training has none where it does not start from the champion
                default = found
                tasks[stage]["inputs"]["parameters"][parameter] = {"componentInputParameter": name}
        definitions = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
        definitions[name] = {
            "parameterType": "STRING",
            "defaultValue": default,
            "isOptional": True,
            "description": DESCRIPTIONS[name],
        }


def kubernetes_platform(spec: dict[str, Any], kubeflow: Kubeflow) -> dict[str, Any]:
    """The second document of the YAML: what of each stage only Kubernetes understands.

    Its keys are those of `kubernetes_executor_config.proto` in the same repository.
    """
    executors = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        means = kubeflow.of_stage(name)
        config: dict[str, Any] = {}
        if means.volumes:
            config["pvcMount"] = [
                {
                    "constant": volume.claim,  # read by versions before 2.5
                    "pvcNameParameter": {"runtimeValue": {"constant": volume.claim}},
                    "mountPath": str(volume.mount),
                }
                for volume in means.volumes
            ]
        if means.secrets:
            config["secretAsEnv"] = [
                {
                    "secretName": secret.secret,
                    "secretNameParameter": {"runtimeValue": {"constant": secret.secret}},
                    "keyToEnv": [{"secretKey": secret.key, "envVar": variable}],
                    "optional": False,
                }
                for variable, secret in means.secrets.items()
            ]
        if means.node_selector:
            config["nodeSelector"] = {"labels": dict(means.node_selector)}
        if config:
            label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
            executors[label] = config
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
