"""Checks of a `.keras` file before anything in it is loaded: it comes from outside."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tfx_fusion.modules.errors import UserError

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"


def read_config(path: Path) -> dict[str, Any]:
    """The architecture stored in a `.keras` file, proven free of code.

    Raises UserError for a damaged archive, an entry that climbs out of its folder, a Lambda layer
    or other pickled code (Keras refuses those in safe mode too, but only once it has begun).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                parts = PurePosixPath(entry.replace("\\", "/"))
                if parts.is_absolute() or ".." in parts.parts:
                    raise UserError(f"{path}: the entry '{entry}' climbs out of the archive")
            damaged = archive.testzip()
            if damaged:
                raise UserError(f"{path}: the file is damaged at its entry '{damaged}'")
            missing = {CONFIG, WEIGHTS} - set(archive.namelist())
            if missing:
                raise UserError(f"{path}: expected a .keras file, found no {min(missing)} in it")
            config = json.loads(archive.read(CONFIG))
            if not isinstance(config, dict) or "class_name" not in config:
                raise UserError(f"{path}: expected a .keras file, found no model in its {CONFIG}")
    # RuntimeError: a password; RecursionError is one, too.
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: expected a .keras file, found a damaged one: {error}") from error
    check_code(str(path), config)
    return config


def check_code(place: str, config: dict[str, Any]) -> None:
    """Raises UserError where a stored architecture holds code; `place` is where it was found."""
    for kind, name in _code(config):
        raise UserError(
            f"{place}: layer '{name}' holds code ({kind}), which could do anything when loaded: "
            "replace it by a layer of Keras and save the model again"
        )


def _code(node: Any, owner: str = "?") -> Iterator[tuple[str, str]]:
    """Each place in a Keras config that would run stored code, as (kind, name of the layer)."""
    if isinstance(node, dict):
        inner = node.get("config")
        if isinstance(inner, dict) and "name" in inner:
            owner = str(inner["name"])
        if node.get("class_name") in ("Lambda", "__lambda__", "TorchModuleWrapper"):
            yield str(node["class_name"]), owner
        for value in node.values():
            yield from _code(value, owner)
    elif isinstance(node, list):
        for value in node:
            yield from _code(value, owner)
