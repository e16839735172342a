"""The classes in a `.keras` file: of the user's own, only those that the specification lists."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.hub import HUB


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
    for class_name, module in foreign_classes(config):
        if class_name not in known:
            where = f"{module}:{class_name}" if module else f"your.module:{class_name}"
            raise UserError(
                f"{path}: the model holds the class {class_name}, which is not Keras's own: if you "
                f"trust it, list it as custom_objects: ['{where}']"
            )


def foreign_classes(config: Any) -> Iterator[tuple[str, str]]:
    """Each class in a stored architecture that comes from outside of Keras and KerasHub, with its
    module."""
    for class_name, module, package in _stored_classes(config):
        if package not in ("keras", "builtins", HUB):
            yield class_name, module


def needs_hub(config: Any) -> bool:
    """Whether a stored architecture holds a class of KerasHub's."""
    return any(package == HUB for _, _, package in _stored_classes(config))


def _stored_classes(node: Any) -> Iterator[tuple[str, str, str]]:
    """Each stored object's class, its module, and the package that it says it comes from."""
    if isinstance(node, dict):
        module = str(node.get("module") or "")
        registered = str(node.get("registered_name") or "")
        if "class_name" in node and "config" in node and node.get("config") is not None:
            # Without either, the class is one of Keras's.
            package = module.split(".")[0] or registered.rpartition(">")[0] or "keras"
            yield str(node["class_name"]), module, package
        # What a model was compiled with is not loaded.
        for key, value in node.items():
            if key != "compile_config":
                yield from _stored_classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _stored_classes(value)
