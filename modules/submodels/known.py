"""What is known of sub-models already read, so that a graph can be checked without loading them.

The record is keyed by path, signature, and the size and time of change of each file, as Git's
index is. Unknown sub-models are read in a process of their own: TensorFlow takes seconds to
import, and a check of known ones need not pay for it. The files that are made of applications and
presets lie beside the records.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification, Submodel
from tfx_fusion.modules.submodels.interface import Inspection
from tfx_fusion.modules.submodels.place import file_states, in_place


def _key(submodel: Submodel, path: Path) -> str:
    identity = json.dumps(
        [str(path), submodel.signature, submodel.custom_objects, file_states(path)]
    )
    return hashlib.sha256(identity.encode()).hexdigest()


class KnownSubmodels:
    """A folder with one record for each sub-model that was read, refreshed when a file changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def placed(self, specification: Specification) -> Specification:
        """The specification with a path for each application and preset: of the file made of it."""
        submodels = {
            name: in_place(item, self.folder) for name, item in specification.submodels.items()
        }
        return specification.model_copy(update={"submodels": submodels})

    def inspect(
        self, specification: Specification, tell: Callable[[str], None]
    ) -> dict[str, Inspection]:
        """The interface and digest of every sub-model, by name; makes the files not yet made.

        Raises SpecificationError naming each sub-model that is missing, damaged or unsafe.
        """
        found: dict[str, Inspection] = {}
        unknown: dict[str, tuple[Submodel, Path]] = {}
        records: dict[str, Path] = {}
        problems = []
        for name, (placed, path) in self.placed(specification).imported().items():
            submodel = specification.submodels[name]
            key, source = submodel.source
            if source is not None and not source.exists():
                problems.append(f"submodels.{name}.{key}: {source}: no such file or folder")
                continue
            record = self._record(submodel, path)
            known = _read_record(record)
            if known:
                found[name] = known
                continue
            unknown[name] = submodel, path
            records[name] = record
            if submodel.path is None:
                tell(f"making {name} from {placed.origin}")
        if unknown:
            tell(f"reading the sub-models {', '.join(unknown)}")
            for name, answer in _read_in_process(unknown).items():
                if "problems" in answer:
                    problems += [f"submodels.{name}.{problem}" for problem in answer["problems"]]
                    continue
                found[name] = Inspection.model_validate(answer["inspection"])
                submodel, path = unknown[name]
                made = submodel.path is None  # only now, so that its state could not be told before
                record = self._record(submodel, path) if made else records[name]
                write_text(record, found[name].model_dump_json())
        if problems:
            raise SpecificationError(problems)
        return found

    def _record(self, submodel: Submodel, path: Path) -> Path:
        return self.folder / f"{_key(submodel, path)}.json"


def _read_record(file: Path) -> Inspection | None:
    """What a record says; None where there is none, or one that another version wrote."""
    if not file.is_file():
        return None
    try:
        return Inspection.model_validate_json(file.read_text())
    except ValidationError:
        return None


def _read_in_process(submodels: dict[str, tuple[Submodel, Path]]) -> dict[str, dict]:
    request = {
        name: {"submodel": submodel.model_dump(mode="json"), "path": str(path)}
        for name, (submodel, path) in submodels.items()
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tfx_fusion.modules.submodels.read"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RunError(
            f"reading the sub-models {', '.join(submodels)} failed: {done.stderr.strip()[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])
