"""Where the file lies that is made of an application or a preset."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tfx_fusion.modules.spec import Submodel


def in_place(submodel: Submodel, folder: Path) -> Submodel:
    """An application or a preset as a sub-model with a path; any other as it is.

    The file's name holds a digest of all that it is made from: what the specification says, and
    the state of the local files that it names.
    """
    name = submodel.application or submodel.preset
    if name is None:
        return submodel
    key, local = submodel.source
    identity = [name, submodel.weights, submodel.config, file_states(local) if local else []]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    if key == "preset":
        origin = f"KerasHub preset {name}"
    else:
        origin = f"keras.applications.{name} ({submodel.weights or 'imagenet'})"
    return Submodel(
        path=folder / f"{Path(name).name}-{digest[:16]}.keras",
        inputs=submodel.inputs,
        output=submodel.output,
        origin=origin,
        licence=submodel.licence,
    )


def file_states(path: Path) -> list[tuple[str, int, int]]:
    """Path, size and time of change of a file, or of each file in a folder, as Git's index has."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    states = [(file, file.stat()) for file in files if file.is_file()]
    return [(str(file), state.st_size, state.st_mtime_ns) for file, state in states]
