"""Paths of this machine as paths in a container, and those that no step could see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tfx_fusion.kubeflow.container_paths import check_paths, container_path, in_container
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Kubeflow, Volume, load_specification


def volume(mount: str, folder: Path | None = None, claim: str = "fusion") -> Volume:
    return Volume.model_validate({"claim": claim, "mount": mount, "folder": folder})


def test_a_path_below_the_folder_of_a_volume_is_below_its_mount() -> None:
    volumes = [volume("/fusion", Path("/home/ann/project"))]

    assert container_path(Path("/home/ann/project/data/rows.csv"), volumes) == Path(
        "/fusion/data/rows.csv"
    )
    assert container_path(Path("/home/ann/project"), volumes) == Path("/fusion")
    assert container_path(Path("/home/ann/project2/rows.csv"), volumes) is None


def test_a_path_below_a_mount_is_where_it_is() -> None:
    assert container_path(Path("/fusion/rows.csv"), [volume("/fusion")]) == Path("/fusion/rows.csv")


def test_the_volume_of_the_innermost_folder_holds_a_path() -> None:
    volumes = [volume("/all", Path("/a")), volume("/inner", Path("/a/b"), claim="other")]

    assert container_path(Path("/a/b/c"), volumes) == Path("/inner/c")
    assert container_path(Path("/a/c"), volumes) == Path("/all/c")


def test_every_path_of_a_specification_moves_and_text_that_looks_like_one_does_not(
    world: Path,
) -> None:
    text = (world / "fusion.yaml").read_text()
    section = (
        "kubeflow:\n  image: /fusion:1\n  env: {HERE: /srv/data}\n"
        "  volumes: [{claim: all, mount: /v, folder: .}]\n  checkpoints: /v/state\n"
    )
    (world / "here.yaml").write_text(text + section)
    specification = load_specification(world / "here.yaml")
    assert specification.kubeflow is not None

    moved = in_container(specification, specification.kubeflow.volumes)

    assert moved.data.path == Path("/v/data/rows.csv")
    assert moved.features["words"].vocabulary == Path("/v/models/words.txt")
    assert moved.submodels["text"].path == Path("/v/models/text")
    assert moved.publish.path == Path("/v/serving")
    assert str(world) not in moved.model_dump_json()
    kubeflow = moved.kubeflow
    assert (kubeflow.image, kubeflow.env["HERE"]) == ("/fusion:1", "/srv/data")
    assert kubeflow.checkpoints == specification.kubeflow.checkpoints
    assert specification.data.path == world / "data" / "rows.csv"  # the original is unchanged


def test_paths_move_at_any_depth_and_those_on_no_volume_stay() -> None:
    value = [{"a": (Path("/p/models"), 3, "/p/text")}, Path("/q/x"), PurePosixPath("/p/there")]

    assert in_container(value, [volume("/v", Path("/p"))]) == [
        {"a": (Path("/v/models"), 3, "/p/text")}, Path("/q/x"), PurePosixPath("/p/there"),
    ]  # fmt: skip


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
        f"submodels.vision.path: {world}/models/vision.keras is on no volume, so no step on the "
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
