"""Reads a specification from YAML. Every problem is reported with its key and its line."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

from tfx_fusion.modules.errors import Problem, SpecificationError, first_line, suggestion
from tfx_fusion.modules.spec.specification import Specification

LONGEST_VALUE = 80  # of a value that a message shows


@dataclass(frozen=True)
class SpecificationFile:
    """A YAML file with its lines, so that a problem found anywhere can be located in it."""

    path: Path
    tree: CommentedMap

    def locate(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems, each once, with `file:line` and in the order of the lines."""
        located: dict[Problem, int] = {}
        for problem in problems:
            line = line_of(self.tree, problem.key)
            if not problem.place and problem.key.partition(".")[0] in Specification.model_fields:
                problem = dataclasses.replace(problem, place=f"{self.path}:{line}")
            located.setdefault(problem, line)
        return sorted(located, key=lambda problem: located[problem])

    @contextmanager
    def locating(self) -> Iterator[None]:
        """Adds `file:line` to the problems of a SpecificationError raised inside."""
        try:
            yield
        except SpecificationError as error:
            raise SpecificationError(self.locate(error.found)) from error


@dataclass(frozen=True)
class ReadSpecification:
    """What a file says, as far as its parts are valid one by one.

    Args:
        file: the file with its lines; None of a specification built in Python.
        specification: what is valid of it; None where too little is.
        problems: what is invalid, with its line.
        invalid: the keys left out of `specification`, such as `graph.hidden` or `training`.
    """

    file: SpecificationFile | None
    specification: Specification | None
    problems: tuple[Problem, ...] = ()
    invalid: frozenset[str] = frozenset()

    def locate(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems, with their lines where there is a file."""
        return self.file.locate(problems) if self.file else list(problems)


def read_specification(path: Path) -> ReadSpecification:
    """Reads a YAML file; invalid parts are left out, so that the others can be checked too.

    Raises SpecificationError where the file cannot be read, is not YAML or holds no mapping.
    """
    tree = read_tree(path)
    file = SpecificationFile(path, tree)
    try:
        return ReadSpecification(file, _validated(path, tree))
    except ValidationError as error:
        errors = error.errors()
    problems = tuple(_problem(path, tree, item) for item in _innermost(errors))
    part, invalid = _without_invalid(tree, errors)
    try:
        specification: Specification | None = _without_fillers(_validated(path, part))
    except ValidationError:
        specification = None
    return ReadSpecification(file, specification, problems, invalid)


def load_specification(path: Path) -> Specification:
    """The specification in a YAML file; its relative paths are resolved from the file's folder.

    Raises SpecificationError with every problem of its single parts.
    """
    return validate_tree(path, read_tree(path))


def read_tree(path: Path) -> CommentedMap:
    """The keys and values of a YAML file with their lines and comments.

    Raises SpecificationError where it cannot be read, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecificationError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    try:
        tree = _parse(path, text)
        _weigh(path, tree, {}, 0)
    except RecursionError:
        raise SpecificationError(f"{path}: {TOO_DEEP}") from None
    if not isinstance(tree, CommentedMap):
        raise SpecificationError(f"{path}: expected a mapping of keys to values")
    return tree


# Aliases (`*name`) let a short file stand for more values than memory holds ("billion laughs").
MOST_VALUES, DEEPEST = 100_000, 64
TOO_DEEP = f"its values are nested too deep: at most {DEEPEST} levels can be read"


def _check_depth(path: Path, text: str) -> None:
    """Raises SpecificationError where values are nested so deep that loading them takes forever."""
    depth = 0
    for event in YAML(typ="rt", pure=True).parse(text):
        starts = isinstance(event, CollectionStartEvent)
        depth += starts - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise SpecificationError(f"{path}: {TOO_DEEP}")


def _weigh(path: Path, node: Any, known: dict[int, int], depth: int) -> int:
    """How many values a tree stands for, each alias counted.

    Args:
        path: the file.
        node: the tree.
        known: what was counted already, by identity; 0 while it is being counted.
        depth: how deep the tree lies in the whole.

    Raises SpecificationError where these are too many, are nested too deep, or hold themselves.
    """
    if not isinstance(node, dict | list):
        return 1
    if depth > DEEPEST:
        raise SpecificationError(f"{path}: {TOO_DEEP}")
    if id(node) not in known:
        known[id(node)] = 0
        inside = [*node, *node.values()] if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_weigh(path, item, known, depth + 1) for item in inside)
    found = known[id(node)]
    if found == 0:
        raise SpecificationError(f"{path}: an alias refers to what it stands in: write it out")
    if found > MOST_VALUES:
        raise SpecificationError(
            f"{path}: its aliases stand for more than {MOST_VALUES:,} values: write them out"
        )
    return found


def validate_tree(path: Path, tree: CommentedMap) -> Specification:
    """The specification that keys and values make up, as if they were read from a file.

    Raises SpecificationError with every problem of its single parts.
    """
    try:
        return _validated(path, tree)
    except ValidationError as error:
        raise SpecificationError(
            _problem(path, tree, item) for item in _innermost(error.errors())
        ) from None


def _validated(path: Path, tree: Any) -> Specification:
    return Specification.model_validate(tree, context={"folder": path.parent.resolve()})


def _parse(path: Path, text: str) -> Any:
    yaml = YAML(typ="rt", pure=True)  # YAML 1.2: `1e-3` is a number, `no` is text
    try:
        _check_depth(path, text)
        return yaml.load(text)
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1
        key = error.problem.removeprefix('found duplicate key "').split('" with value')[0]
        raise SpecificationError(
            f"{path}:{line}: duplicate key '{key}': remove or rename one of the two"
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SpecificationError(
            f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}"
        ) from None
    except YAMLError as error:
        raise SpecificationError(f"{path}: not valid YAML: {error}") from None
    except (RecursionError, SpecificationError):
        raise
    except Exception as error:
        cause = first_line(error)
        raise SpecificationError(f"{path}: it cannot be read as YAML: {cause}") from error


# Valid stand-ins for what a file must have, so that the rest of it can be checked without.
FILLER = "filler"
FILLERS: dict[str, Any] = {
    "name": FILLER,
    "data": {"path": "filler.csv", "split": {"column": FILLER}},
    "features": {FILLER: {"type": "number", "column": FILLER}},
    "labels": {FILLER: {"type": "number", "column": FILLER}},
    "outputs": {FILLER: {"from": FILLER, "loss": "huber"}},
    "training": {"stages": [{"name": FILLER, "epochs": 1, "learning_rate": 1}]},
    "publish": {"path": FILLER},
}
# Sections of named parts, of which only the invalid ones are left out.
NAMED = ("features", "labels", "submodels", "graph", "outputs")


def _without_invalid(tree: Any, errors: list[ErrorDetails]) -> tuple[dict, frozenset[str]]:
    """A tree without what is invalid, and the keys that are left out."""
    part = dict(tree)
    invalid = set()
    for error in errors:
        section, *inner = error["loc"]
        entries = part.get(section)
        if section in NAMED and inner and isinstance(entries, dict):
            part[section] = {name: value for name, value in entries.items() if name != inner[0]}
            invalid.add(f"{section}.{inner[0]}")
        else:
            part.pop(section, None)
            invalid.add(str(section))
    for section, filler in FILLERS.items():
        if not part.get(section):
            part[section] = filler
    return part, frozenset(invalid)


def _without_fillers(specification: Specification) -> Specification:
    named: dict[str, dict[str, Any]] = {kind: getattr(specification, kind) for kind in NAMED}
    return specification.model_copy(
        update={
            kind: {name: value for name, value in parts.items() if name != FILLER}
            for kind, parts in named.items()
        }
    )


def line_of(tree: Any, key: str) -> int:
    """The line of a dotted key, or of the innermost mapping or list on the way that exists.

    A name may itself hold dots, as the inputs of sub-models do.
    """
    line, node = 1, tree
    while key and isinstance(node, CommentedMap | CommentedSeq):
        known = node if isinstance(node, CommentedMap) else range(len(node))
        found = [step for step in known if key == str(step) or key.startswith(f"{step}.")]
        if not found:
            break
        step = max(found, key=lambda step: len(str(step)))
        line = _line_in(node, step, line)
        node, key = node[step], key.removeprefix(str(step)).removeprefix(".")
    return line


def _line_in(node: Any, step: Any, otherwise: int) -> int:
    """The line of a key or item. A key that came by `<<` has none of its own."""
    if isinstance(node, CommentedSeq):
        return node.lc.item(step)[0] + 1
    lines = node.lc.data or {}
    return lines[step][0] + 1 if step in lines else otherwise


def _innermost(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those of a list whose item is invalid: it is then reported as too short as well."""
    places = [item["loc"] for item in errors]
    return [
        item
        for item in errors
        if not any(
            len(at) > len(item["loc"]) and at[: len(item["loc"])] == item["loc"] for at in places
        )
    ]


def _problem(path: Path, tree: Any, error: ErrorDetails) -> Problem:
    """What pydantic refuses. It puts tags of unions between the keys, which are not in the file."""
    location, kind = error["loc"], error["type"]
    keys, line, node = [], 1, tree
    for step in location:
        if isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            known = True
        else:
            known = isinstance(node, CommentedMap) and step in node
        if known:
            line, node = _line_in(node, step, line), node[step]
            keys.append(str(step))
    if kind == "missing" and isinstance(location[-1], str):
        keys.append(str(location[-1]))
    return Problem(".".join(keys) or "the file", _explain(error), place=f"{path}:{line}")


def _explain(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    found = shown(error["input"])
    if kind == "unknown_key":
        return error["msg"]
    if kind == "missing":
        # An integer is the first item that is not there, of a list of fixed length.
        is_item = isinstance(error["loc"][-1], int)
        return f"expected more items, found {found}" if is_item else "this key is missing"
    if kind in ("tuple_type", "list_type"):
        return f"expected a list, found {found}"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return f"expected a mapping of keys to values, found {found}"
    if kind == "literal_error":
        expected = "true" if context["expected"] == "True" else context["expected"]
        known = [word.strip("' ") for word in expected.replace(" or ", ", ").split(",")]
        return f"expected {expected}, found {found}{_hint(error['input'], known)}"
    if kind == "union_tag_invalid":
        known = [word.strip("' ") for word in context["expected_tags"].split(",")]
        tag = context["tag"]
        return f"expected {context['expected_tags']} as 'type', found '{tag}'{_hint(tag, known)}"
    if kind == "union_tag_not_found":
        return "the key 'type' is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"expected a name that matches {context['pattern']}, found {found}"
    message = re.sub(r"^Input should be (?!an? )", "Input should be a value ", error["msg"])
    message = message.replace("Input should be", "expected", 1)
    return f"{message[0].lower()}{message[1:]}, found {found}"


def _hint(found: object, known: list[str]) -> str:
    hint = suggestion(str(found), known)
    return f"; {hint}" if hint.startswith("did") else ""


def shown(value: object) -> str:
    """A value as YAML writes it, in one line."""
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    else:
        text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
