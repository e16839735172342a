"""Inspections of sub-models already read, so that a graph can be checked without loading them.

A record is keyed by path, signature, and the size and times of change of each file, as Git's index
is. Sub-models without one are read in a process of their own: TensorFlow takes seconds to import,
and a check on cached inspections need not pay for it. The files that are made of applications and
presets lie beside the records.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.processes import ending_with_this
from tfx_fusion.modules.spec import Fusion, Submodel
from tfx_fusion.modules.spec.submodel import TEXTS
from tfx_fusion.modules.spec.views import AnyFusion
from tfx_fusion.modules.submodels.interface import Inspection

MODEL_FILES = ("saved_model.pb", "config.json")  # of a SavedModel, and of a preset


def _key(submodel: Submodel, path: Path) -> str:
    identity = json.dumps(
        [
            str(path),
            submodel.signature,
            submodel.custom_objects,
            submodel.allow_ops,
            file_states(path),
        ]
    )
    return hashlib.sha256(identity.encode()).hexdigest()


class InspectionCache:
    """A folder with one record for each sub-model that was read, refreshed when a file changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def with_paths(self, specification: AnyFusion) -> AnyFusion:
        """The specification with a path for each application and preset: of the file made of it."""
        submodels = {
            name: with_path(item, self.folder) for name, item in specification.submodels.items()
        }
        return specification.changed(submodels=submodels)

    def inspect(
        self, specification: Fusion, notify: Callable[[str], None]
    ) -> dict[str, Inspection]:
        """The interface and digest of every sub-model, by name; makes the files not yet made.

        `notify` is called with a line of text before anything that takes seconds. Raises
        SpecificationError naming each sub-model that is missing, damaged or unsafe.
        """
        found: dict[str, Inspection] = {}
        unread: dict[str, tuple[Submodel, Path]] = {}
        records: dict[str, Path] = {}
        problems = []
        for name, (placed, path) in self.with_paths(specification).imported().items():
            submodel = specification.submodels[name]
            key, source = submodel.source
            if source is not None and not source.exists():
                problems.append(f"submodels.{name}.{key}: {source}: no such file or folder")
                continue
            record = self._record(submodel, path)
            cached = _read_record(record)
            if cached:
                found[name] = cached
                continue
            unread[name] = submodel, path
            records[name] = record
            if submodel.path is None:
                notify(f"making {name} from {placed.origin}")
        if unread:
            notify(f"reading the sub-models {', '.join(unread)}")
            before = {name: _source_states(submodel) for name, (submodel, _) in unread.items()}
            for name, answer in _read_in_process(unread).items():
                submodel, path = unread[name]
                if _source_states(submodel) != before[name]:
                    key, source = submodel.source
                    problems.append(
                        f"submodels.{name}.{key}: {source}: it changed while it was read: run again"
                    )
                    if submodel.path is None:
                        path.unlink(missing_ok=True)  # made of whatever was there
                    continue
                if "problems" in answer:
                    problems += [f"submodels.{name}.{problem}" for problem in answer["problems"]]
                    continue
                found[name] = Inspection.model_validate(answer["inspection"])
                # A file that was made only now had no state to key a record by before.
                made = submodel.path is None
                record = self._record(submodel, path) if made else records[name]
                with suppress(OSError):  # read-only: the next look reads the sub-model again
                    write_text(record, found[name].model_dump_json())
        if problems:
            raise SpecificationError(problems)
        return found

    def _record(self, submodel: Submodel, path: Path) -> Path:
        return self.folder / f"{_key(submodel, path)}.json"


def _read_record(file: Path) -> Inspection | None:
    """A record's inspection; None where there is none, it is damaged, or of another version."""
    try:
        return Inspection.model_validate_json(file.read_bytes())
    except (FileNotFoundError, ValidationError):  # a damaged one is written anew
        return None


def _read_in_process(submodels: dict[str, tuple[Submodel, Path]]) -> dict[str, dict]:
    """The answers of the process that reads sub-models, by name.

    Where one of several ends it, each is read in a process of its own, so that this one is found.
    """
    request = {
        name: {"submodel": submodel.model_dump(mode="json"), "path": str(path)}
        for name, (submodel, path) in submodels.items()
    }
    done = subprocess.run(
        ending_with_this([sys.executable, "-P", "-m", "tfx_fusion.modules.submodels.inspection"]),
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if not done.returncode:
        return json.loads(done.stdout.splitlines()[-1])
    if len(submodels) > 1:
        return {
            name: answer
            for name, submodel in submodels.items()
            for answer in _read_in_process({name: submodel}).values()
        }
    [(name, (submodel, path))] = submodels.items()
    return {name: {"problems": [f"{submodel.source[0]}: {path}: {_crash(done)}"]}}


def _crash(done: subprocess.CompletedProcess[str]) -> str:
    """Why the process that reads a sub-model ended without an answer, in one sentence."""
    if done.returncode < 0:
        try:
            ended = f"by {signal.Signals(-done.returncode).name}"
        except ValueError:
            ended = f"by signal {-done.returncode}"
    else:
        lines = done.stderr.strip().splitlines()
        ended = f"with code {done.returncode}{f' ({lines[-1].strip()[:300]})' if lines else ''}"
    return (
        f"the process that read the model was ended {ended}: the model is damaged, or needs more "
        "memory than there is; save it again"
    )


def with_path(submodel: Submodel, folder: Path) -> Submodel:
    """An application or a preset as a sub-model with a path; any other as it is.

    The file's name holds a digest of all that it is made from: what the specification says, and
    the state of the local files that it names.
    """
    name = submodel.application or submodel.preset
    if name is None:
        return submodel
    key, local = submodel.source
    states = file_states(local) if local else []
    identity: list[Any] = [name, submodel.weights, submodel.config, states]
    texts = [name for name in TEXTS if name in submodel.inputs]
    if submodel.task is not None or (key == "preset" and texts):  # others keep their files' names
        identity += [submodel.task, texts]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    if key == "preset":
        origin = f"KerasHub preset {name}"
    else:
        origin = f"keras.applications.{name} ({submodel.weights or 'imagenet'})"
    source: dict[str, Any] = {"application": None, "preset": None, "config": {}, "weights": None}
    path = folder / f"{Path(name).name}-{digest[:16]}.keras"
    return submodel.changed(**source, path=path, origin=origin)


def file_states(path: Path) -> list[tuple[str, int, int, int]]:
    """Path, size and times of change of a file, or of each file in a folder, as Git's index has.

    None of a folder that holds no model, such as `/`: who reads it says so. The time of change of
    an entry cannot be set, as that of the content can: so a file that was changed is noticed even
    where it was put back.
    """
    if path.is_dir():
        is_model = any((path / name).is_file() for name in MODEL_FILES)
        files = sorted(path.rglob("*")) if is_model else []
    else:
        files = [path]
    found = [(str(file), file.stat()) for file in files if file.is_file()]
    return [(file, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for file, one in found]


def _source_states(submodel: Submodel) -> list[tuple[str, int, int, int]]:
    _, source = submodel.source
    return file_states(source) if source else []
