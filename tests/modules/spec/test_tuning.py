"""What a search may say: places, choices and ranges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Choice, Range, Tuning, load_specification

RATE = "training.stages.0.learning_rate"


def read(space: Any) -> Choice | Range:
    return Tuning.model_validate({"search": {RATE: space}}).search[RATE]


def test_a_list_is_a_choice_whose_values_keep_their_types() -> None:
    found = read([True, 8, 0.5, "relu"])
    assert isinstance(found, Choice)
    assert [(type(value), value) for value in found.choice] == [
        (bool, True), (int, 8), (float, 0.5), (str, "relu"),
    ]  # fmt: skip
    assert read({"choice": [1, 2]}) == read([1, 2])


@pytest.mark.parametrize(
    ("space", "whole"),
    [
        ({"min": 1, "max": 8}, True),
        ({"min": 1, "max": 8.0}, False),
        ({"min": 0.0, "max": 8}, False),
        ({"min": -1, "max": 1}, False),
    ],
)
def test_a_range_is_whole_if_both_ends_are(space: Any, whole: bool) -> None:
    found = read(space)
    assert isinstance(found, Range)
    assert found.is_whole == whole


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{min: 2, max: 1}", f"tuning.search.{RATE}: min must lie below max, found 2 and 1"),
        ("{min: 1, max: 1}", "min must lie below max, found 1 and 1"),
        (
            "{min: 0, max: 1, scale: log}",
            "a logarithmic scale needs min above 0, found 0",
        ),
        ("{min: 1, max: 2, scale: lg}", "expected 'linear' or 'log', found 'lg'"),
        ("{min: 1}", f"tuning.search.{RATE}.max: this key is missing"),
        ("{mn: 1, max: 2}", "mn: unknown key: did you mean 'min'?"),
        ("{min: '1', max: 2}", "found '1'"),
        ("{min: 1, max: .inf}", "found inf"),
        ("[1]", "found"),
        ("[1, 2, 1]", "each value once, found 1 more than once"),
        ("[[1], [2]]", "found [1]"),
        ("7", "found 7"),
    ],
)
def test_a_wrong_space_is_reported_with_its_place(
    written: str, message: str, write_specification: Callable[..., Path]
) -> None:
    tuning = f"tuning: {{search: {{{RATE}: {written}}}}}\n"
    path = write_specification(("publish:", f"{tuning}publish:"))
    with pytest.raises(SpecificationError) as caught:
        load_specification(path)
    reported = str(caught.value)
    assert message in reported
    assert f"tuning.search.{RATE}" in reported


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{search: {}}", "tuning.search: "),
        ("{trials: 3}", "tuning.search: this key is missing"),
        (f"{{search: {{{RATE}: [1, 2]}}, trials: 0}}", "tuning.trials: "),
        (f"{{search: {{{RATE}: [1, 2]}}, method: grid}}", "tuning.method: expected"),
        (f"{{search: {{{RATE}: [1, 2]}}, trails: 2}}", "did you mean 'trials'?"),
    ],
)
def test_a_wrong_search_is_reported_with_its_key(
    written: str, message: str, write_specification: Callable[..., Path]
) -> None:
    path = write_specification(("publish:", f"tuning: {written}\npublish:"))
    with pytest.raises(SpecificationError) as caught:
        load_specification(path)
    assert message in str(caught.value)
