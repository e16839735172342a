"""Paths of this machine as paths in a container, by the volume that holds each.

In a specification a path of this machine is a `Path`, a path in a container a `PurePosixPath`: the
types alone say what changes. The specification changes before components are created from it.
Whatever is read from files of this machine is therefore read before: the plans of the training
stages (whose shapes depend on the length of vocabularies) and the digests of the vocabularies.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Kubeflow, Specification, Volume

T = TypeVar("T")


def map_paths(value: T, change: Callable[[str, Path], Path], key: str = "") -> T:
    """A copy of `value` with each `Path` in it replaced by what `change` returns.

    Args:
        value: a pydantic model, or a dictionary, tuple or list of them.
        change: takes the key of a path (`features.words.vocabulary`) and the path.
        key: the key of `value` itself.
    """

    def inner(name: Any, item: Any) -> Any:
        return map_paths(item, change, f"{key}.{name}" if key else str(name))

    result: Any = value
    if isinstance(value, Path):
        result = change(key, value)
    elif isinstance(value, BaseModel):
        changed = {name: new for name, item in value if (new := inner(name, item)) != item}
        result = value.model_copy(update=changed)
    elif isinstance(value, dict):
        result = {name: inner(name, item) for name, item in value.items()}
    elif isinstance(value, tuple | list):
        result = type(value)(inner(position, item) for position, item in enumerate(value))
    return result


def in_container(value: T, volumes: Sequence[Volume]) -> T:
    """A copy of `value` with the paths that a step sees; see `map_paths`."""
    return map_paths(value, lambda _, path: container_path(path, volumes) or path)


def check_paths(specification: Specification, kubeflow: Kubeflow) -> None:
    """Raises SpecificationError for each path that no step on the cluster could see."""
    volumes, problems = kubeflow.volumes, []

    def check(key: str, path: Path) -> Path:
        # The folder of a step's own volume need not be on a volume of all steps.
        if not key.startswith("kubeflow.") and container_path(path, volumes) is None:
            problems.append(on_no_volume(key, path, volumes))
        return path

    map_paths(specification, check)
    checkpoints = kubeflow.checkpoints
    if checkpoints and not any(checkpoints.is_relative_to(v.mount) for v in volumes):
        problems.append(
            f"kubeflow.checkpoints: {checkpoints} is below no mount of kubeflow.volumes, so a "
            "retry would not find it"
        )
    if problems:
        raise SpecificationError(problems)


def on_no_volume(key: str, path: Path, volumes: Sequence[Volume]) -> str:
    """The problem of a path that no volume holds."""
    found = ", ".join(f"{v.folder} at {v.mount}" if v.folder else str(v.mount) for v in volumes)
    return (
        f"{key}: {path} is on no volume, so no step on the cluster sees it: give an item of "
        f"kubeflow.volumes the `folder` that holds it, or move it below one "
        f"(found: {found or 'no volumes'})"
    )


def container_path(path: Path, volumes: Sequence[Volume]) -> Path | None:
    """A path of this machine as a container sees it; None where no volume holds it."""
    volume = volume_of(path, volumes)
    return None if volume is None else volume.container_path(path)


def volume_of(path: Path, volumes: Sequence[Volume]) -> Volume | None:
    """The volume that holds a path of this machine: of several the one of the innermost folder."""
    holding = [volume for volume in volumes if volume.container_path(path) is not None]
    return max(holding, key=lambda v: len((v.folder or v.mount).parts), default=None)
