"""Which path of this machine is where in a container, and which no stage could see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.kubeflow.volumes import check_paths, moved, there
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Kubeflow, Volume, load_specification


def volume(mount: str, folder: Path | None = None, claim: str = "fusion") -> Volume:
    return Volume.model_validate({"claim": claim, "mount": mount, "folder": folder})


def test_a_path_below_the_folder_of_a_volume_is_below_its_mount() -> None:
    volumes = [volume("/fusion", Path("/home/ann/project"))]

    assert there(Path("/home/ann/project/data/rows.csv"), volumes) == Path("/fusion/data/rows.csv")
    assert there(Path("/home/ann/project"), volumes) == Path("/fusion")
    assert there(Path("/home/ann/project2/rows.csv"), volumes) is None


def test_a_path_below_a_mount_is_where_it_is() -> None:
    assert there(Path("/fusion/rows.csv"), [volume("/fusion")]) == Path("/fusion/rows.csv")


def test_the_volume_of_the_innermost_folder_holds_a_path() -> None:
    volumes = [volume("/all", Path("/a")), volume("/inner", Path("/a/b"), claim="other")]

    assert there(Path("/a/b/c"), volumes) == Path("/inner/c")
    assert there(Path("/a/c"), volumes) == Path("/all/c")


def test_paths_are_moved_at_any_depth_of_json_and_nothing_else_is() -> None:
    inner = json.dumps({"path": "/p/data/é.csv", "text": "see /p/data", "rate": 1e-3})
    value = {"config": json.dumps({"features": inner, "list": ["/p/models", 3]}), "other": "/q/x"}

    [config, other] = moved(value, [volume("/v", Path("/p"))]).values()

    found = json.loads(config)
    assert json.loads(found["features"]) == {
        "path": "/v/data/é.csv", "text": "see /p/data", "rate": 1e-3,
    }  # fmt: skip
    assert found["list"] == ["/v/models", 3]
    assert other == "/q/x"


def test_text_that_only_looks_like_json_stays() -> None:
    assert moved("{{$.pipeline_job_uuid}}", [volume("/v", Path("/p"))]) == "{{$.pipeline_job_uuid}}"
    assert moved('{"a": 1.0}', [volume("/v", Path("/p"))]) == '{"a": 1.0}'


@pytest.fixture
def kubeflow() -> Callable[..., Kubeflow]:
    def make(**keys: Any) -> Kubeflow:
        return Kubeflow.model_validate({"image": "fusion:1", **keys})

    return make


def test_every_path_of_a_specification_must_be_on_a_volume(
    world: Path, kubeflow: Callable[..., Kubeflow]
) -> None:
    specification = load_specification(world / "fusion.yaml")
    data = {"claim": "data", "mount": "/data", "folder": world / "data"}

    with pytest.raises(SpecificationError) as caught:
        check_paths(specification, kubeflow(volumes=[data]))

    keys = [problem.partition(":")[0] for problem in caught.value.problems]
    assert keys == [
        "features.words.vocabulary", "submodels.vision.path", "submodels.text.path", "publish.path",
    ]  # fmt: skip
    assert caught.value.problems[1] == (
        f"submodels.vision.path: {world}/models/vision.keras is on no volume, so no stage on the "
        "cluster sees it: give an item of kubeflow.volumes the `folder` that holds it, or move it "
        f"below one (found: {world}/data at /data)"
    )
    check_paths(
        specification, kubeflow(volumes=[{"claim": "all", "mount": "/fusion", "folder": world}])
    )


def test_checkpoints_must_outlive_a_container(
    world: Path, kubeflow: Callable[..., Kubeflow]
) -> None:
    specification = load_specification(world / "fusion.yaml")
    everything = {"claim": "all", "mount": "/fusion", "folder": world}

    check_paths(specification, kubeflow(volumes=[everything], checkpoints="/fusion/state"))
    with pytest.raises(SpecificationError, match="checkpoints: /state is below no mount"):
        check_paths(specification, kubeflow(volumes=[everything], checkpoints="/state"))
