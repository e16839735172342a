"""Changes what TFX's compiler emits to what open-source Kubeflow Pipelines runs.

It takes a compiled PipelineSpec as a dictionary. The names of its keys are those of
`pipeline_spec.proto` in the repository kubeflow/pipelines.
"""

from typing import Any

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Kubeflow, StepResources

# The only steps whose key in KFP's cache covers all that they depend on: the digest of a sub-model
# is among their parameters. Nothing else that lies on a volume has a part in a key
# (backend/src/v2/cacheutils/cache.go), so every other step could be reused from stale data.
CACHED = "Import-"

# Parameters of a run, by the parameters of steps that they fill.
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


def check_steps(spec: dict[str, Any], kubeflow: Kubeflow) -> None:
    """Raises SpecificationError for each name under `kubeflow.steps` that no step has."""
    names = spec["root"]["dag"]["tasks"]
    problems = [
        f"kubeflow.steps.{name}: there is no step '{name}'; {suggestion(name, names)}"
        for name in kubeflow.steps
        if name not in names
    ]
    if problems:
        raise SpecificationError(problems)


def patch_pipeline_spec(spec: dict[str, Any], kubeflow: Kubeflow) -> None:
    """Changes a compiled pipeline in place: caching, retries, resources, a run's parameters."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        resources = kubeflow.of_step(name)
        task["cachingOptions"] = {"enableCache": True} if name.startswith(CACHED) else {}
        if resources.retries:
            task["retryPolicy"] = {"maxRetryCount": resources.retries, "backoffDuration": "30s",
                                   "backoffFactor": 2}  # fmt: skip
        component = spec["components"][task["componentRef"]["name"]]
        executor = spec["deploymentSpec"]["executors"][component["executorLabel"]]
        _set_resources(executor["container"], resources)
    _add_run_parameters(spec)


def _set_resources(container: dict[str, Any], wanted: StepResources) -> None:
    # A limit equal to the request: a step uses no more than the node has reserved for it.
    resources: dict[str, Any] = {}
    if wanted.cpu is not None:
        resources |= {"cpuRequest": wanted.cpu, "cpuLimit": wanted.cpu}
        resources |= {
            "resourceCpuRequest": f"{wanted.cpu:g}",
            "resourceCpuLimit": f"{wanted.cpu:g}",
        }
    if wanted.memory is not None:
        gigabytes = in_bytes(wanted.memory) / 1e9
        resources |= {"memoryRequest": gigabytes, "memoryLimit": gigabytes}
        resources |= {"resourceMemoryRequest": wanted.memory, "resourceMemoryLimit": wanted.memory}
    if wanted.accelerator is not None:
        kind, count = wanted.accelerator.type, wanted.accelerator.count
        resources["accelerator"] = {
            "type": kind, "count": str(count), "resourceType": kind, "resourceCount": str(count),
        }  # fmt: skip
    if resources:
        container["resources"] = resources
    if wanted.env:
        container["env"] = [{"name": name, "value": value} for name, value in wanted.env.items()]


def in_bytes(memory: str) -> float:
    """A quantity of memory as Kubernetes writes it (`4Gi`, `500M`), in bytes."""
    digits = memory.rstrip("kKMGTi")
    unit = memory[len(digits) :].upper()
    base = 1024 if unit.endswith("I") else 1000
    return float(digits) * base ** ("KMGT".index(unit[0]) + 1 if unit else 0)


def _add_run_parameters(spec: dict[str, Any]) -> None:
    """Lets a run use other paths. TFX's own runtime parameters would lose their defaults."""
    tasks = spec["root"]["dag"]["tasks"]
    for name, filled in RUN_PARAMETERS.items():
        default = ""
        for step, parameter in filled:
            given = tasks[step]["inputs"]["parameters"][parameter]
            found = given.get("runtimeValue", {}).get("constant")
            if found:  # training has none where it does not start from the champion
                default = found
                tasks[step]["inputs"]["parameters"][parameter] = {"componentInputParameter": name}
        definitions = spec["root"].setdefault("inputDefinitions", {}).setdefault("parameters", {})
        definitions[name] = {
            "parameterType": "STRING",
            "defaultValue": default,
            "isOptional": True,
            "description": DESCRIPTIONS[name],
        }


def kubernetes_platform(spec: dict[str, Any], kubeflow: Kubeflow) -> dict[str, Any]:
    """The second document of the YAML: the settings of each step that only Kubernetes understands.

    Its keys are those of `kubernetes_executor_config.proto` in the same repository.
    """
    executors = {}
    for name, task in spec["root"]["dag"]["tasks"].items():
        resources = kubeflow.of_step(name)
        config: dict[str, Any] = {}
        if resources.volumes:
            config["pvcMount"] = [
                {
                    "constant": volume.claim,  # read by versions before 2.5
                    "pvcNameParameter": {"runtimeValue": {"constant": volume.claim}},
                    "mountPath": str(volume.mount),
                }
                for volume in resources.volumes
            ]
        if resources.secrets:
            config["secretAsEnv"] = [
                {
                    "secretName": secret.secret,
                    "secretNameParameter": {"runtimeValue": {"constant": secret.secret}},
                    "keyToEnv": [{"secretKey": secret.key, "envVar": variable}],
                    "optional": False,
                }
                for variable, secret in resources.secrets.items()
            ]
        if resources.node_selector:
            config["nodeSelector"] = {"labels": dict(resources.node_selector)}
        if config:
            label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
            executors[label] = config
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
