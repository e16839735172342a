"""Values put into a specification at the places that a search names."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.spec import Choice, Specification, Tuning, validate_tree

# What a head depends on. All else would change the embeddings, and with them every trial's cost.
SEARCHABLE = ("graph", "outputs", "training")


def with_values(path: Path, tree: Any, values: Mapping[str, Any]) -> tuple[Any, Specification]:
    """A specification's tree with other values at some places, and what it then says.

    Args:
        path: the specification's file.
        tree: what stands in it (`tfx_fusion.modules.spec.read_tree`); it is left as it is.
        values: by place, such as `graph.hidden.layers.0.Dense.units`.

    Raises SpecificationError where a place is not in the file, or a value does not fit there.
    """
    changed = copy.deepcopy(tree)
    for place, value in values.items():
        _put(changed, place, value)
    try:
        return changed, validate_tree(path, changed)
    except SpecificationError as error:
        raise misfit(values, error) from None


def misfit(values: Mapping[str, Any], error: SpecificationError) -> SpecificationError:
    """What is wrong with a specification, told of the values that were put into it."""
    told = ", ".join(f"{place} = {value}" for place, value in values.items())
    return SpecificationError(f"tuning.search: with {told}: {p}" for p in error.problems)


def _put(tree: Any, place: str, value: Any) -> None:
    key = f"tuning.search.{place}"
    node, steps = tree, place.split(".")
    if steps[0] not in SEARCHABLE or len(steps) < 2:
        raise SpecificationError(
            [f"{key}: expected a place in one of {', '.join(SEARCHABLE)}, since others change what "
             f"is embedded; {suggestion(steps[0], SEARCHABLE)}"]
        )  # fmt: skip
    for number, step in enumerate(steps):
        last = number == len(steps) - 1
        if isinstance(node, list):
            if not (step.isdigit() and int(step) < len(node)):
                at = ".".join(steps[:number])
                raise SpecificationError(
                    [f"{key}: {at} has the items 0 to {len(node) - 1}, found '{step}'"]
                )
            found: Any = int(step)
        elif isinstance(node, dict):
            # The last key may be one that has a default: the specification knows which there are.
            if step not in node and not last:
                at = ".".join(steps[:number]) or "the file"
                hint = suggestion(step, map(str, node))
                raise SpecificationError([f"{key}: {at} has no '{step}'; {hint}"])
            found = step
        else:
            raise SpecificationError([f"{key}: {'.'.join(steps[:number])} is a single value"])
        if last:
            node[found] = value
        else:
            node = node[found]


def candidates(tuning: Tuning) -> Iterator[tuple[str, Any]]:
    """Each value of each choice, and the ends of each range, with its place."""
    for place, space in tuning.search.items():
        values = space.choice if isinstance(space, Choice) else (space.min, space.max)
        yield from ((place, value) for value in values)
