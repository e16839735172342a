"""The champion: the last published model, as the candidate is compared with it."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from tfx_fusion.modules.registry.changes import locked
from tfx_fusion.modules.registry.version_record import VERSION_RECORD_FILE, published_digest
from tfx_fusion.modules.registry.versions import Champion, newest_version
from tfx_fusion.modules.spec import (
    Fusion,
    Label,
    NumberLabel,
    may_be_missing,
    stored,
)
from tfx_fusion.modules.spec.views import TaskView
from tfx_fusion.modules.training.export import SPECIFICATION_FILE


def champion_state(folder: Path) -> str:
    """A line that identifies the champion, for cache keys; empty where there is none."""
    version = newest_version(folder)
    if version is None:
        return ""
    try:
        content = (version / VERSION_RECORD_FILE).read_bytes()
    except FileNotFoundError:  # published without one, or being rolled back right now
        content = b""
    return f"{version.name} {hashlib.sha256(content).hexdigest()}"


def copy_champion(folder: Path, task: TaskView | None, target: Path) -> Champion | None:
    """Copies the last published model of a publish folder; None where there is none.

    Whether a candidate of a task can be compared with it is not said without the task.
    """
    if newest_version(folder) is None:
        return None
    with locked(folder):
        version = newest_version(folder)
        if version is None:
            return None
        shutil.copytree(version, target, dirs_exist_ok=True)
        not_comparable = _not_comparable(version, task) if task else ""
        return Champion(version.name, published_digest(version), not_comparable)


def _not_comparable(version: Path, task: TaskView) -> str:
    """Why a champion cannot be measured on the candidate's examples; empty where it can be."""
    try:
        text = (version / SPECIFICATION_FILE).read_text()
        its = TaskView.of(Fusion.model_validate_json(text))
    except (OSError, ValidationError):
        return f"it has no {SPECIFICATION_FILE} that can be read"
    ours = {**task.features, **task.labels}
    for name, part in {**its.features, **its.labels}.items():
        if name not in ours:
            return f"it reads '{name}', which the examples no longer contain"
        its_form, form = stored(part), stored(ours[name])
        if its_form != form:
            found = f"{list(form.shape)} of {form.dtype}"
            return f"it reads '{name}' as {list(its_form.shape)} of {its_form.dtype}, now {found}"
    for name in set(may_be_missing(task.features)) - set(may_be_missing(its.features)):
        if name in its.features:
            return f"it requires '{name}', which may be missing now"
    return _other_outputs(its, task.outputs, task.labels)


def other_labels(model: Path, outputs: Mapping[str, str], labels: Mapping[str, Label]) -> str:
    """Why a model predicts other labels than `outputs` name; empty where it cannot be known.

    Only a model of this project has its specification beside it.
    """
    try:
        text = (model / SPECIFICATION_FILE).read_text()
        its = TaskView.of(Fusion.model_validate_json(text))
    except (OSError, ValidationError):
        return ""
    return _other_outputs(its, outputs, labels)


def _other_outputs(its: TaskView, outputs: Mapping[str, str], labels: Mapping[str, Label]) -> str:
    for output, label in outputs.items():
        if its.outputs.get(output) != label:
            return f"it does not predict '{output}' against the label '{label}'"
        if _type_and_classes(its.labels[label]) != _type_and_classes(labels[label]):
            return f"the label '{label}' has another type or other classes in it"
    return ""


def _type_and_classes(label: Label) -> tuple[str, tuple[str, ...]]:
    return label.type, () if isinstance(label, NumberLabel) else label.classes
