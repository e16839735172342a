"""Checks of a stored Keras architecture before anything of it is made: it comes from outside."""

import importlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.keras_compat import PRIVATE

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
HUB = "keras_hub"
# The layer of ours that the file of a preset of KerasHub's holds where it takes text.
TEXT_INPUT = "tfx_fusion>TextInput"
# Bytes of an architecture, and of what may unpack to more than so many times its size.
LARGEST_CONFIG, LARGEST_PACKED, MOST_UNPACKED = 64 << 20, 256 << 20, 50
# Layers that run what a file brings: Python code, or another SavedModel.
CODE = ("Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
# Keys whose text is the name of a file that a layer or tokenizer opens.
FILE_KEYS = ("vocabulary", "merges", "proto", "idf_weights", "filepath")
# Of Keras's public modules those that hold parts of models, ...
PARTS = frozenset(
    f"keras.{name}"
    for name in (
        *("activations", "constraints", "dtype_policies", "initializers", "layers", "losses"),
        *("metrics", "ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "optimizers"),
        *("optimizers.schedules", "quantizers", "random", "regularizers"),
    )
)
# ... of `keras` itself these, ...
ROOT = ("DTypePolicy", "FloatDTypePolicy", "Function", "Functional", "Model", "Sequential")
# ... and in all of them not what turns names into objects.
NOT_PARTS = ("get", "serialize", "deserialize")


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
            _check_sizes(path, archive)
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


def _check_sizes(path: Path, archive: zipfile.ZipFile) -> None:
    """Raises UserError for entries that are small in the file and huge out of it.

    Keras stores its entries as they are; zipped again, weights shrink a little, zeros 1,000 times.
    """
    for entry in archive.infolist():
        allowed = LARGEST_CONFIG if entry.filename == CONFIG else LARGEST_PACKED
        packed = max(entry.compress_size, 1)
        if entry.file_size > allowed and (
            entry.filename == CONFIG or entry.file_size / packed > MOST_UNPACKED
        ):
            raise UserError(
                f"{path}: the entry '{entry.filename}' takes {packed:,} bytes in the file and "
                f"{entry.file_size:,} out of it, expected at most {allowed:,}: save the model again"
            )


def check_code(place: str, config: dict[str, Any]) -> None:
    """Raises UserError where a stored architecture holds code; `place` is where it was found."""
    for kind, name in stored_code(config):
        raise UserError(
            f"{place}: layer '{name}' holds code ({kind}), which could do anything when loaded: "
            "replace it by a layer of Keras and save the model again"
        )


def stored_code(node: Any, owner: str = "?") -> Iterator[tuple[str, str]]:
    """Each place in a Keras config that would run stored code, as (kind, name of the layer)."""
    if isinstance(node, dict):
        inner = node.get("config")
        if isinstance(inner, dict) and "name" in inner:
            owner = str(inner["name"])
        if node.get("class_name") in CODE:
            yield str(node["class_name"]), owner
        for value in node.values():
            yield from stored_code(value, owner)
    elif isinstance(node, list):
        for value in node:
            yield from stored_code(value, owner)


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
    """Raises UserError for what is neither Keras's nor KerasHub's nor `listed` by name.

    Also for a name of Keras's that is no part of a model: Keras itself calls any function that it
    exports (`keras.utils.plot_model`, say, as an activation).
    """
    for stored in stored_objects(config):
        if stored.is_foreign and stored.name not in listed:
            where = f"{stored.module or 'your.module'}:{stored.name}"
            raise UserError(
                f"{path}: the model holds the class {stored.name}, which is not Keras's own: if "
                f"you trust it, list it as custom_objects: ['{where}']"
            )
    check_names(str(path), config)


def check_names(place: str, config: Mapping[str, Any]) -> None:
    """Raises UserError for a stored name of Keras's that is no part of a model."""
    for stored in stored_objects(config):
        if not stored.is_foreign and not stored.is_part_of_a_model:
            raise UserError(
                f"{place}: it names {stored.module}.{stored.name}, which is no layer or other part "
                "of a model of Keras's: leave it out"
            )
    for key, file in _files(config):
        raise UserError(
            f"{place}: it names a file to open ({key}: {file}): expected the words themselves"
        )


def _files(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        yield from ((key, node[key]) for key in FILE_KEYS if isinstance(node.get(key), str))
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list):
            yield from _files(value)


class Stored(NamedTuple):
    """An object in an architecture: a class, or a function."""

    name: str
    module: str
    package: str  # which it says that it comes from

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from outside of Keras and KerasHub."""
        return self.package not in ("keras", "builtins", HUB)

    @property
    def is_part_of_a_model(self) -> bool:
        """Whether Keras's public name for it is one of a layer, an operation or what these take.

        What Keras stores by a private name it makes only where that is a class that
        can be saved, and KerasHub has no functions there.
        """
        if not self.module.startswith("keras") or self.module.startswith((PRIVATE, HUB)):
            return True
        module, _, name = f"{self.module}.{self.name}".rpartition(".")
        return (module in PARTS and name not in NOT_PARTS) or (module == "keras" and name in ROOT)


def needs_hub(config: Mapping[str, Any]) -> bool:
    """Whether a stored architecture holds a class of KerasHub's."""
    return any(stored.package == HUB for stored in stored_objects(config))


def stored_objects(node: Mapping[str, Any]) -> Iterator[Stored]:
    """Each object that Keras makes when it loads an architecture."""
    # What the model itself was compiled with is not loaded; what one inside it was, is.
    whole = {key: value for key, value in node.items() if key != "compile_config"}
    return _stored_objects(whole)


def _stored_objects(node: Any) -> Iterator[Stored]:
    if isinstance(node, dict):
        if "class_name" in node and node.get("config") is not None:
            module = str(node.get("module") or "")
            is_function = node["class_name"] == "function"
            name = str(node["config"] if is_function else node["class_name"])
            # Keras looks for a registered name first, and calls a function's name one, too.
            registered = name if is_function else str(node.get("registered_name") or "")
            # Keras stores neither module nor registered name for some classes of its own.
            package = registered.rpartition(">")[0] or module.split(".")[0] or "keras"
            yield Stored(name, module, HUB if registered == TEXT_INPUT else package)
        for value in node.values():
            yield from _stored_objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _stored_objects(value)


def import_hub() -> Any:
    """KerasHub, whose import registers its classes with Keras. Raises UserError without it."""
    try:
        return importlib.import_module(HUB)
    except ImportError as error:
        raise UserError(
            f"this model needs KerasHub, which cannot be imported ({error}): install the extra "
            "'hub': pip install 'tfx-fusion[hub]'"
        ) from error
