"""Values set at keys of a specification; unknown keys and invalid values are reported."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Tuning, read_tree
from tfx_fusion.modules.tuning.space import searched_values, with_values


@pytest.fixture
def file(write_specification: Callable[..., Path]) -> Path:
    return write_specification(("  batch_size: 16\n", "  batch_size: 16  # fits the machine\n"))


def put(file: Path, **values: Any) -> Any:
    """Values by key, with `__` for the dots."""
    by_key = {key.replace("__", "."): value for key, value in values.items()}
    return with_values(file, read_tree(file), by_key)


def refusal(file: Path, **values: Any) -> str:
    with pytest.raises(SpecificationError) as caught:
        put(file, **values)
    return str(caught.value)


def test_values_are_set_and_the_given_tree_is_unchanged(file: Path) -> None:
    tree = read_tree(file)
    values = {"graph.hidden.layers.0.Dense.units": 32, "training.stages.0.learning_rate": 0.5}
    changed, specification = with_values(file, tree, values)

    assert specification.graph["hidden"].layers == ({"Dense": {"units": 32, "activation": "relu"}},)
    assert specification.training.stages[0].learning_rate == 0.5
    assert tree == read_tree(file)
    assert changed != tree


def test_a_key_that_the_file_leaves_to_its_default_may_be_searched(file: Path) -> None:
    _, specification = put(file, training__precision="mixed_bfloat16",
                           graph__hidden__layers__0__Dense__use_bias=False)  # fmt: skip
    assert specification.training.precision == "mixed_bfloat16"
    assert specification.graph["hidden"].layers[0]["Dense"]["use_bias"] is False


def test_comments_and_order_stay(file: Path) -> None:
    changed, _ = put(file, training__batch_size=8)
    stream = StringIO()
    YAML(typ="rt").dump(changed, stream)
    assert re.search(r"^  batch_size: 8 +# fits the machine$", stream.getvalue(), re.MULTILINE)
    assert list(changed) == list(read_tree(file))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("graph.hiden.layers.0.Dense.units", "graph has no 'hiden'; did you mean 'hidden'?"),
        (
            "graph.hidden.layers.1.Dense.units",
            "graph.hidden.layers has the items 0 to 0, found '1'",
        ),
        ("graph.hidden.layers.first.Dense.units", "has the items 0 to 0, found 'first'"),
        ("graph.hidden.layers.0.Dens.units", "layers.0 has no 'Dens'; did you mean 'Dense'?"),
        (
            "graph.hidden.layers.0.Dense.units.low",
            "graph.hidden.layers.0.Dense.units is a single value",
        ),
        ("outputs.color.weight", "outputs has no 'color'; did you mean 'colour'?"),
        ("grph.hidden.layers.0.Dense.units", "did you mean 'graph'?"),
        (
            "submodels.vision.output",
            "expected a key in one of graph, outputs, training, since others change what is "
            "embedded; known: graph, outputs, training",
        ),
        ("features.image.shape.0", "others change what is embedded"),
        ("data.path", "others change what is embedded"),
        ("training", "expected a key in one of"),
        ("", "expected a key in one of"),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_name(
    key: str, message: str, file: Path
) -> None:
    with pytest.raises(SpecificationError) as caught:
        with_values(file, read_tree(file), {key: 1})
    assert f"tuning.search.{key}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training__stages__0__learning_rate", -1, "greater than 0, found -1"),
        ("training__stages__0__epochs", 2.5, "found 2.5"),
        ("training__batch_sise", 8, "unknown key: did you mean 'batch_size'?"),
        ("outputs__colour__loss", "hing", "did you mean 'hinge'?"),
    ],
)
def test_an_invalid_value_is_reported_with_its_key(
    key: str, value: Any, message: str, file: Path
) -> None:
    problem = refusal(file, **{key: value})
    assert problem.startswith(f"tuning.search: with {key.replace('__', '.')} = {value}: ")
    assert message in problem


def test_every_choice_and_the_ends_of_every_range_are_listed() -> None:
    tuning = Tuning.model_validate(
        {"search": {"graph.a": ["x", "y"], "graph.b": {"min": 1, "max": 9}}}
    )
    assert list(searched_values(tuning)) == [
        ("graph.a", "x"), ("graph.a", "y"), ("graph.b", 1), ("graph.b", 9),
    ]  # fmt: skip
