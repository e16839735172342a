"""Reads a specification from YAML; every mistake is told with its key and its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec.specification import Specification


def load_specification(path: Path) -> Specification:
    """The specification in a YAML file; its relative paths are resolved from the file's folder.

    Raises SpecificationError with all problems that can be told from the file alone.
    """
    return validate_tree(path, read_tree(path))


def read_tree(path: Path) -> CommentedMap:
    """The keys and values of a YAML file as they stand there, with their comments.

    Raises SpecificationError where it cannot be read, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecificationError([f"{path}: no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError([f"{path}: cannot be read as UTF-8 text: {error}"]) from error
    tree = _parse(path, text)
    if not isinstance(tree, CommentedMap):
        raise SpecificationError([f"{path}: expected a mapping of keys to values"])
    return tree


def validate_tree(path: Path, tree: CommentedMap) -> Specification:
    """The specification that keys and values make up, as if they stood in a file.

    Raises SpecificationError with all problems that can be told from them alone.
    """
    try:
        return Specification.model_validate(tree, context={"folder": path.parent.resolve()})
    except ValidationError as error:
        errors = error.errors()
        places = [item["loc"] for item in errors]
        # A list whose item is wrong is then told to be too short as well: tell the item alone.
        own = [
            item
            for item in errors
            if not any(len(at) > len(item["loc"]) and at[: len(item["loc"])] == item["loc"]
                       for at in places)
        ]  # fmt: skip
        raise SpecificationError(_problem(path, tree, item) for item in own) from None


def _parse(path: Path, text: str) -> Any:
    yaml = YAML(typ="rt", pure=True)  # YAML 1.2: `1e-3` is a number, `no` is text
    try:
        return yaml.load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        key = error.problem.removeprefix('found duplicate key "').split('" with value')[0]
        raise SpecificationError(
            [f"{path}:{line}: '{key}' stands twice in the same mapping; each name once"]
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SpecificationError(
            [f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}"]
        ) from None
    except YAMLError as error:
        raise SpecificationError([f"{path}: not valid YAML: {error}"]) from None


def _locate(tree: Any, location: tuple[int | str, ...]) -> tuple[list[int | str], int]:
    """The keys of the file on the way to a pydantic location, and the line of the last one.

    Pydantic puts the tags of unions between the keys; these do not stand in the file.
    """
    keys: list[int | str] = []
    line = 1
    node = tree
    for step in location:
        if isinstance(node, CommentedMap) and step in node:
            # A key that came by `<<` has no line of its own here.
            line = node.lc.data[step][0] + 1 if step in (node.lc.data or {}) else line
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line = node.lc.item(step)[0] + 1
        else:
            continue
        keys.append(step)
        node = node[step]
    return keys, line


def _problem(path: Path, tree: Any, error: ErrorDetails) -> str:
    location, kind = error["loc"], error["type"]
    keys, line = _locate(tree, location)
    if kind == "missing" and isinstance(location[-1], str):
        keys.append(str(location[-1]))
    name = ".".join(str(key) for key in keys) or "the file"
    return f"{path}:{line}: {name}: {_explain(error)}"


def _explain(error: ErrorDetails) -> str:
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "unknown_key":
        return error["msg"]
    if kind == "missing":
        last = error["loc"][-1]
        if isinstance(last, int):  # of a list of fixed length, the first item that is not there
            return f"expected more items, found {found!r}"
        return "this key is missing"
    if kind in ("tuple_type", "list_type"):
        return f"expected a list, found {found!r}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return f"expected a mapping of keys to values, found {found!r}"
    if kind == "literal_error":
        known = [word.strip("' ") for word in context["expected"].replace(" or ", ", ").split(",")]
        return f"expected {context['expected']}, found {found!r}{_hint(found, known)}"
    if kind == "union_tag_invalid":
        known = [word.strip("' ") for word in context["expected_tags"].split(",")]
        tag = context["tag"]
        return f"expected {context['expected_tags']} as 'type', found {tag!r}{_hint(tag, known)}"
    if kind == "union_tag_not_found":
        return "the key 'type' is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"expected a name that matches {context['pattern']}, found {found!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{message}, found {found!r}"


def _hint(found: object, known: list[str]) -> str:
    hint = suggestion(str(found), known)
    return f"; {hint}" if hint.startswith("did") else ""
