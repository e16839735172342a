"""What is known of sub-models already read, so that a graph can be checked without loading them.

The record is keyed by path, signature, and the size and time of change of each file, as Git's
index is. Unknown sub-models are read in a process of their own: TensorFlow takes seconds to
import, and a check of known ones need not pay for it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from modules.errors import RunError, SpecificationError
from modules.files import write_text
from modules.spec import Specification, Submodel
from modules.submodels.interface import Inspection


def _key(submodel: Submodel, path: Path) -> str:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    identity = json.dumps([str(path), submodel.signature, submodel.custom_objects, stats])
    return hashlib.sha256(identity.encode()).hexdigest()


class KnownSubmodels:
    """A folder with one record for each sub-model that was read, refreshed when a file changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def inspect(
        self, specification: Specification, tell: Callable[[str], None]
    ) -> dict[str, Inspection]:
        """The interface and digest of every sub-model, by name.

        Raises SpecificationError naming each sub-model that is missing, damaged or unsafe.
        """
        found: dict[str, Inspection] = {}
        unknown: dict[str, Submodel] = {}
        records: dict[str, Path] = {}
        problems = []
        for name, (submodel, path) in specification.imported().items():
            if not path.exists():
                problems.append(f"submodels.{name}.path: {path}: no such file or folder")
                continue
            record = self.folder / f"{_key(submodel, path)}.json"
            known = _read_record(record)
            if known:
                found[name] = known
            else:
                unknown[name] = submodel
                records[name] = record
        if unknown:
            tell(f"reading the sub-models {', '.join(unknown)}")
            for name, answer in _read_in_process(unknown).items():
                if "error" in answer:
                    problems.append(f"submodels.{name}.path: {answer['error']}")
                    continue
                found[name] = Inspection.model_validate(answer)
                write_text(records[name], found[name].model_dump_json())
        if problems:
            raise SpecificationError(problems)
        return found


def _read_record(file: Path) -> Inspection | None:
    """What a record says; None where there is none, or one that another version wrote."""
    if not file.is_file():
        return None
    try:
        return Inspection.model_validate_json(file.read_text())
    except ValidationError:
        return None


def _read_in_process(submodels: dict[str, Submodel]) -> dict[str, dict]:
    request = {
        name: {
            "path": str(submodel.path),
            "signature": submodel.signature,
            "custom_objects": submodel.custom_objects,
        }
        for name, submodel in submodels.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "modules.submodels.read"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RunError(
            f"reading the sub-models {', '.join(submodels)} failed: {done.stderr.strip()[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])
