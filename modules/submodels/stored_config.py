"""Checks of a stored Keras architecture before anything of it is made: it comes from outside."""

import importlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tfx_fusion.modules.errors import UserError

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
HUB = "keras_hub"
# The layer of ours that the file of a preset holds, where it takes text.
TEXT_INPUT = ("TextInput", "tfx_fusion.modules.submodels.text_input")


def read_config(path: Path) -> dict[str, Any]:
    """The architecture stored in a `.keras` file, which holds no code.

    Raises UserError for a damaged archive, an entry outside of the archive's folder, a Lambda layer
    or other pickled code. (Keras refuses code in safe mode too, but only while it is loading.)
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
    # zipfile raises RuntimeError for a password; RecursionError is a RuntimeError, too.
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


def check_classes(path: Path, config: Mapping[str, Any], listed: Mapping[str, Any]) -> None:
    """Raises UserError for a class that is neither Keras's nor KerasHub's nor `listed` by name."""
    for class_name, module in foreign_classes(config):
        if class_name not in listed:
            where = f"{module}:{class_name}" if module else f"your.module:{class_name}"
            raise UserError(
                f"{path}: the model holds the class {class_name}, which is not Keras's own: if you "
                f"trust it, list it as custom_objects: ['{where}']"
            )


def foreign_classes(config: Any) -> Iterator[tuple[str, str]]:
    """Each class in an architecture from outside of Keras and KerasHub, with its module."""
    for class_name, module, package in _stored_classes(config):
        if package not in ("keras", "builtins", HUB) and (class_name, module) != TEXT_INPUT:
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
            # Keras stores neither module nor registered name for some classes of its own.
            package = module.split(".")[0] or registered.rpartition(">")[0] or "keras"
            yield str(node["class_name"]), module, package
        # What a model was compiled with is not loaded.
        for key, value in node.items():
            if key != "compile_config":
                yield from _stored_classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _stored_classes(value)


def import_hub() -> Any:
    """KerasHub, whose import registers its classes with Keras. Raises UserError without it."""
    try:
        return importlib.import_module(HUB)
    except ImportError as error:
        raise UserError(
            f"this model needs KerasHub, which cannot be imported ({error}): install the extra "
            "'hub': pip install 'tfx-fusion[hub]'"
        ) from error
