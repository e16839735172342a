"""A specification with other values at the keys that a search names."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Choice, Specification, Tuning, validate_tree

# What a head depends on. All else would change the embeddings, and with them every trial's cost.
SEARCHABLE = ("graph", "outputs", "training")


def with_values(path: Path, tree: Any, values: Mapping[str, Any]) -> tuple[Any, Specification]:
    """A copy of a specification's tree with other values at some keys, and its specification.

    Args:
        path: the specification's file.
        tree: its content (`tfx_fusion.modules.spec.read_tree`).
        values: by dotted key, such as `graph.hidden.layers.0.Dense.units`.

    Raises SpecificationError where a key is not in the file, or a value is invalid there.
    """
    changed = copy.deepcopy(tree)
    for key, value in values.items():
        _set(changed, key, value)
    try:
        return changed, validate_tree(path, changed, Specification)
    except SpecificationError as error:
        raise invalid_values(values, error) from None


def invalid_values(values: Mapping[str, Any], error: SpecificationError) -> SpecificationError:
    """An error of a changed specification that names the values that were set."""
    shown = ", ".join(f"{key} = {value}" for key, value in values.items())
    return SpecificationError(f"tuning.search: with {shown}: {p}" for p in error.problems)


def _set(tree: Any, key: str, value: Any) -> None:
    *parents, last = steps = key.split(".")
    if steps[0] not in SEARCHABLE or not parents:
        raise SpecificationError(
            f"tuning.search.{key}: expected a key in one of {', '.join(SEARCHABLE)}, since others "
            f"change what is embedded; {suggestion(steps[0], SEARCHABLE)}"
        )
    node = tree
    for number in range(len(parents)):
        node = node[_index(key, node, number)]
    # The last key may be one that the file leaves to its default.
    node[last if isinstance(node, dict) else _index(key, node, len(parents))] = value


def _index(key: str, node: Any, number: int) -> int | str:
    """The step of a dotted key with a number, as an index into the list or dictionary there."""
    steps = key.split(".")
    step, at = steps[number], ".".join(steps[:number]) or "the file"
    if isinstance(node, list):
        if step.isdigit() and int(step) < len(node):
            return int(step)
        problem = f"{at} has the items 0 to {len(node) - 1}, found '{step}'"
    elif isinstance(node, dict):
        if step in node:
            return step
        problem = f"{at} has no '{step}'; {suggestion(step, map(str, node))}"
    else:
        problem = f"{at} is a single value"
    raise SpecificationError(f"tuning.search.{key}: {problem}")


def searched_values(tuning: Tuning) -> Iterator[tuple[str, Any]]:
    """Each value of each choice, and the ends of each range, with its key."""
    for key, space in tuning.search.items():
        values = space.choice if isinstance(space, Choice) else (space.min, space.max)
        yield from ((key, value) for value in values)
