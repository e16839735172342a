"""Classes of the user's own in a `.keras` file: only those that the specification lists."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.errors import UserError


def import_custom_objects(names: Sequence[str]) -> dict[str, Any]:
    """The classes that a specification lists as `package.module:Class`, by class name.

    Raises UserError where a module cannot be imported or has no such class.
    """
    found = {}
    for name in names:
        module, _, attribute = name.partition(":")
        try:
            found[attribute] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"custom_objects: '{name}' cannot be imported: {error}; install its package, or "
                "put its folder on PYTHONPATH"
            ) from error
    return found


def check_classes(path: Path, config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raises UserError for a class in a stored architecture that neither Keras nor the list has."""
    for class_name, module in _foreign(config):
        if class_name not in known:
            where = f"{module}:{class_name}" if module else f"your.module:{class_name}"
            raise UserError(
                f"{path}: the model holds the class {class_name}, which is not Keras's own: if you "
                f"trust it, list it as custom_objects: ['{where}']"
            )


def _foreign(node: Any) -> Iterator[tuple[str, str]]:
    """Each stored object whose class comes from outside of Keras, as (class, module)."""
    if isinstance(node, dict):
        module = node.get("module")
        registered = str(node.get("registered_name") or "")
        if "class_name" in node and "config" in node and node.get("config") is not None:
            own = str(module or "").split(".")[0] in ("keras", "builtins")
            if not own and (module or ">" in registered):
                yield str(node["class_name"]), str(module or "")
        # What a model was compiled with is not loaded.
        for key, value in node.items():
            if key != "compile_config":
                yield from _foreign(value)
    elif isinstance(node, list):
        for value in node:
            yield from _foreign(value)
