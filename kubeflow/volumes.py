"""From paths of this machine to those in the containers: what lies on which volume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Kubeflow, Specification, TextFeature, Volume


def check_paths(specification: Specification, kubeflow: Kubeflow) -> None:
    """Raises SpecificationError for each path that no stage on the cluster could see."""
    volumes = kubeflow.volumes
    problems = [
        on_no_volume(key, path, volumes)
        for key, path in _paths(specification)
        if there(path, volumes) is None
    ]
    checkpoints = kubeflow.checkpoints
    if checkpoints and not any(checkpoints.is_relative_to(v.mount) for v in volumes):
        problems.append(
            f"kubeflow.checkpoints: {checkpoints} is below no mount of kubeflow.volumes, so a "
            "retry would not find it"
        )
    if problems:
        raise SpecificationError(problems)


def on_no_volume(key: str, path: Path, volumes: Sequence[Volume]) -> str:
    """What to tell of a path that no volume holds."""
    known = ", ".join(f"{v.folder} at {v.mount}" if v.folder else str(v.mount) for v in volumes)
    return (
        f"{key}: {path} is on no volume, so no stage on the cluster sees it: give an item of "
        f"kubeflow.volumes the `folder` that holds it, or move it below one "
        f"(found: {known or 'no volumes'})"
    )


def _paths(specification: Specification) -> Iterator[tuple[str, Path]]:
    yield "data.path", specification.data.path
    for name, feature in specification.features.items():
        if isinstance(feature, TextFeature) and feature.vocabulary is not None:
            yield f"features.{name}.vocabulary", feature.vocabulary
    for name, (_, path) in specification.imported().items():
        yield f"submodels.{name}.path", path
    yield "publish.path", specification.publish.path


def there(path: Path, volumes: Sequence[Volume]) -> Path | None:
    """Where a path of this machine is in a container; None where no volume holds it."""
    volume = holder(path, volumes)
    return None if volume is None else volume.there(path)


def holder(path: Path, volumes: Sequence[Volume]) -> Volume | None:
    """The volume that holds a path of this machine: of several the one of the innermost folder."""
    holding = [volume for volume in volumes if volume.there(path) is not None]
    return max(holding, key=lambda v: len((v.folder or v.mount).parts), default=None)


def moved(value: Any, volumes: Sequence[Volume]) -> Any:
    """A parameter of a stage, its paths made those in the container.

    A path is a text that is one as a whole, by itself or at any depth of JSON, which parameters
    hold as text. Components read files of this machine when they are made (vocabularies, for the
    shapes they give), so the paths can change only afterwards.
    """
    if isinstance(value, dict):
        return {key: moved(item, volumes) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, volumes) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("/"):
        return str(there(Path(value), volumes) or value)
    if value.startswith(("{", "[")):
        try:
            tree = json.loads(value)
        except ValueError:
            return value
        changed = moved(tree, volumes)
        return value if changed == tree else json.dumps(changed, ensure_ascii=False)
    return value
