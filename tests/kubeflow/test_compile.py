"""`fusion compile`: what KFP's API server and driver get, and what is refused before that."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig
from kfp.pipeline_spec import pipeline_spec_pb2

from tfx_fusion.kubeflow.compile import Compiled, command, compile_file
from tfx_fusion.modules.errors import SpecificationError

pytestmark = pytest.mark.component

SECTION = """\
kubeflow:
  image: registry.example/fusion:0.1.0
  volumes:
    - {claim: fusion, mount: /fusion, folder: .}
  memory: 4Gi
  retries: 2
  env: {TF_CPP_MIN_LOG_LEVEL: "2"}
  steps:
    Train:
      cpu: 4
      accelerator: {type: nvidia.com/gpu, count: 1}
      retries: 0
      env: {NAME: "no"}
      secrets: {TOKEN: {secret: hub, key: token}}
      node_selector: {pool: gpu}
      volumes: [{claim: scratch, mount: /scratch}]
"""


@pytest.fixture(scope="module")
def folder(copy_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_world(tmp_path_factory.mktemp("compile") / "world")


@pytest.fixture(scope="module")
def with_section(folder: Path) -> Callable[..., Path]:
    """The small specification with a kubeflow section, pieces of its text replaced."""
    numbers = count()

    def write(*changes: tuple[str, str]) -> Path:
        text = (folder / "fusion.yaml").read_text() + SECTION
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = folder / f"{next(numbers)}.yaml"
        file.write_text(text)
        return file

    return write


@pytest.fixture(scope="module")
def compiled(with_section: Callable[..., Path]) -> Compiled:
    return compile_file(with_section(), lambda _: None)


def task(compiled: Compiled, name: str) -> dict[str, Any]:
    return compiled.spec["root"]["dag"]["tasks"][name]


def container(compiled: Compiled, name: str) -> dict[str, Any]:
    return compiled.spec["deploymentSpec"]["executors"][f"{name}_executor"]["container"]


def test_it_is_a_pipeline_spec_and_a_platform_as_kfp_reads_them(compiled: Compiled) -> None:
    spec, platform = yaml.safe_load_all(compiled.text())

    # Both parsers refuse keys that they do not know.
    read = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    assert (read.schema_version, read.pipeline_info.name) == ("2.1.0", "colours")
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(spec["deploymentSpec"]["executors"])
    for config in executors.values():
        json_format.ParseDict(config, KubernetesExecutorConfig())
    assert len(compiled.text()) < 200_000


def test_the_steps_are_those_of_a_run_and_the_report(compiled: Compiled) -> None:
    assert sorted(compiled.steps) == sorted(
        [
            "Rows", "Statistics", "DataChecks", "Champion", "DataGate", "Import-vision",
            "Import-text", "Transform", "Embed", "Train", "Evaluate", "ServingCheck", "Publish",
            "Report",
        ]
    )  # fmt: skip
    assert container(compiled, "Train")["image"] == "registry.example/fusion:0.1.0"
    assert container(compiled, "Train")["command"] == ["fusion", "step"]
    assert "DataGate" in task(compiled, "Embed")["dependentTasks"]


def test_no_path_of_this_machine_is_in_it(compiled: Compiled, folder: Path) -> None:
    assert str(folder) not in compiled.text()
    source = task(compiled, "Rows")["inputs"]["parameters"]["source"]["runtimeValue"]["constant"]
    assert json.loads(source)["data"]["path"] == "/fusion/data/rows.csv"
    path = task(compiled, "Import-text")["inputs"]["parameters"]["path"]["runtimeValue"]["constant"]
    assert path == "/fusion/models/text"


def test_each_step_comes_after_those_that_it_waits_for(compiled: Compiled) -> None:
    tasks, seen = compiled.spec["root"]["dag"]["tasks"], set()
    for name in compiled.steps:
        assert set(tasks[name].get("dependentTasks", ())) <= seen, name
        seen.add(name)


def test_only_steps_whose_cache_key_is_complete_are_cached(compiled: Compiled) -> None:
    cached = {
        name
        for name in compiled.steps
        if task(compiled, name)["cachingOptions"].get("enableCache", False)
    }
    assert cached == {"Import-vision", "Import-text"}


def test_a_step_has_its_own_resources_before_those_of_all_steps(compiled: Compiled) -> None:
    rows, train = container(compiled, "Rows"), container(compiled, "Train")

    assert rows["resources"]["resourceMemoryLimit"] == "4Gi"
    assert "resourceCpuLimit" not in rows["resources"]
    assert train["resources"]["resourceCpuLimit"] == "4"
    assert train["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert rows["env"] == [{"name": "TF_CPP_MIN_LOG_LEVEL", "value": "2"}]
    assert {"name": "NAME", "value": "no"} in train["env"]
    assert task(compiled, "Rows")["retryPolicy"]["maxRetryCount"] == 2
    assert "retryPolicy" not in task(compiled, "Train")
    executors = compiled.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    mounts = {m["constant"]: m["mountPath"] for m in executors["Train_executor"]["pvcMount"]}
    assert mounts == {"fusion": "/fusion", "scratch": "/scratch"}
    assert [m["constant"] for m in executors["Rows_executor"]["pvcMount"]] == ["fusion"]
    [secret] = executors["Train_executor"]["secretAsEnv"]
    assert secret["secretName"] == "hub"
    assert secret["keyToEnv"] == [{"secretKey": "token", "envVar": "TOKEN"}]
    assert executors["Train_executor"]["nodeSelector"] == {"labels": {"pool": "gpu"}}


def test_a_run_has_parameters_for_other_paths_with_defaults(compiled: Compiled) -> None:
    parameters = compiled.spec["root"]["inputDefinitions"]["parameters"]

    assert {name: p["defaultValue"] for name, p in parameters.items()} == {
        "data_path": "/fusion/data/rows.csv", "publish_path": "/fusion/serving",
    }  # fmt: skip
    for step in ("Champion", "Publish"):
        given = task(compiled, step)["inputs"]["parameters"]["publish_folder"]
        assert given == {"componentInputParameter": "publish_path"}


def test_training_from_the_champion_finds_it_in_the_same_folder(
    with_section: Callable[..., Path],
) -> None:
    file = with_section(("  seed: 7\n", "  seed: 7\n  warm_start: champion\n"))

    given = task(compile_file(file, lambda _: None), "Train")["inputs"]["parameters"]

    assert given["publish_folder"] == {"componentInputParameter": "publish_path"}


def test_vertex_gets_a_job_as_json(with_section: Callable[..., Path], tmp_path: Path) -> None:
    file = with_section(
        ("mount: /fusion", "mount: /gcs/bucket/fusion"),
        ("mount: /scratch", "mount: /gcs/scratch"),
        ("      secrets: {TOKEN: {secret: hub, key: token}}\n", ""),
    )

    done = CliRunner().invoke(
        command, [str(file), "--target", "vertex", "-o", str(tmp_path / "job.json")]
    )

    assert done.exit_code == 0, done.output
    job = json.loads((tmp_path / "job.json").read_text())
    read = json_format.ParseDict(job, pipeline_spec_pb2.PipelineJob())
    assert read.pipeline_spec["pipelineInfo"]["name"] == "colours"
    assert "/gcs/bucket/fusion/data/rows.csv" in (tmp_path / "job.json").read_text()


def refused(file: Path, target: str = "kubeflow") -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        compile_file(file, lambda _: None, target)
    return caught.value.problems


def test_a_file_without_the_section_is_refused(folder: Path) -> None:
    assert refused(folder / "fusion.yaml") == [
        "kubeflow: this key is missing; it needs at least the `image`, see kubeflow/README.md"
    ]


def test_an_unknown_step_is_refused_with_a_near_name(
    with_section: Callable[..., Path],
) -> None:
    assert refused(with_section(("    Train:", "    Trian:"))) == [
        "kubeflow.steps.Trian: there is no step 'Trian'; did you mean 'Train'?"
    ]


def test_a_path_on_no_volume_is_refused(with_section: Callable[..., Path]) -> None:
    problems = refused(with_section((", folder: .}", "}")))

    assert [problem.partition(":")[0] for problem in problems] == [
        "features.words.vocabulary", "submodels.vision.path", "submodels.text.path", "data.path",
        "publish.path",
    ]  # fmt: skip


def test_vertex_has_neither_secrets_nor_volumes(with_section: Callable[..., Path]) -> None:
    assert refused(with_section(), "vertex") == [
        "kubeflow.steps.Train.secrets.TOKEN: Vertex AI gives steps no Kubernetes secrets; "
        "remove it",
        "kubeflow.volumes.0.mount: Vertex AI mounts no volumes, but every bucket below /gcs: "
        "expected /gcs/BUCKET/…, found /fusion",
        "kubeflow.steps.Train.volumes.0.mount: Vertex AI mounts no volumes, but every bucket "
        "below /gcs: expected /gcs/BUCKET/…, found /scratch",
    ]
