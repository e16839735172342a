"""What `evaluation` may say, how it is read, and how each mistake in it is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Bounds, Evaluation, Specification, Threshold, load_specification

Write = Callable[..., Path]
Specify = Callable[[str], Specification]

GIVEN = "  thresholds: {colour: {accuracy: {min: 0.2}}}\n"
SHOP = (
    "features:\n",
    "features:\n  shop: {type: category, column: shop, classes: [north, south, 3]}\n",
)


@pytest.fixture
def specify(write_specification: Write) -> Specify:
    """The shared specification with a feature that only slices use, and another `evaluation`."""

    def write(evaluation: str) -> Specification:
        return load_specification(write_specification(SHOP, (GIVEN, f"  {evaluation}\n")))

    return write


def read(evaluation: Any) -> Evaluation:
    return Evaluation.model_validate(evaluation)


# What is accepted


def test_a_threshold_may_bound_the_value_and_the_change_from_the_champion() -> None:
    bounds = {"min": 0.9, "change": {"min": 0.01, "max": 0.5}}

    evaluation = read({"thresholds": {"colour": {"accuracy": bounds}}})

    wanted = Threshold(min=0.9, change=Bounds(min=0.01, max=0.5))
    assert evaluation.bounds() == [
        ("evaluation.thresholds.colour.accuracy", {}, "colour", "accuracy", wanted)
    ]
    assert read({"thresholds": {"a": {"auc": {"change": {"min": 0}}}}}).bounds()[0][4].min is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("shop", {"shop": None}),
        (["shop", "colour"], {"shop": None, "colour": None}),
        ({"shop": "north"}, {"shop": "north"}),
        ({"shop": 3, "colour": "red"}, {"shop": "3", "colour": "red"}),
        ({"shop": "north", "colour": None}, {"shop": "north", "colour": None}),
    ],
)
def test_a_slice_threshold_is_for_each_slice_or_for_one(written: Any, expected: dict) -> None:
    thresholds = {"colour": {"accuracy": {"min": 0.5}}}
    evaluation = read({"slice_thresholds": [{"slice": written, "thresholds": thresholds}]})

    [(key, where, *_)] = evaluation.bounds()

    assert key == "evaluation.slice_thresholds.0.thresholds.colour.accuracy"
    assert where == expected


def test_slices_that_are_listed_and_bounded_are_measured_once() -> None:
    thresholds = {"colour": {"accuracy": {"min": 0.5}}}
    evaluation = read(
        {
            "slices": ["shop", ["shop", "colour"]],
            "slice_thresholds": [
                {"slice": {"shop": "north", "colour": "red"}, "thresholds": thresholds},
                {"slice": "colour", "thresholds": thresholds},
            ],
        }
    )

    assert evaluation.sliced_by() == (("shop",), ("colour", "shop"), ("colour",))


def test_what_is_read_is_read_again_from_json(specify: Specify) -> None:
    given = specify(
        "{slices: [shop, [colour, shop]], confidence: 0.9, worth: {margin: {colour: {accuracy: 0}}}"
        ", slice_thresholds: [{slice: {shop: 3}, thresholds: {colour: {accuracy: {max: 1}}}}]}"
    )

    assert Specification.model_validate_json(given.model_dump_json()) == given


# What is refused


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        (
            "thresholds: {colour: {accuracy: {change: {}}}}",
            "evaluation.thresholds.colour.accuracy.change: give 'min', 'max' or both",
        ),
        (
            "thresholds: {colour: {accuracy: {change: {min: 1, max: 0}}}}",
            "evaluation.thresholds.colour.accuracy.change: min must not exceed max, found 1 and 0",
        ),
        (
            "thresholds: {colour: {accuracy: {chnage: {min: 1}}}}",
            "evaluation.thresholds.colour.accuracy.chnage: unknown key: did you mean 'change'?",
        ),
        ("slices: [shop, shop]", "evaluation.slices: each slice once, found shop more than once"),
        (
            "slices: [[shop, colour], [colour, shop]]",
            "evaluation.slices: each slice once, found colour with shop more than once",
        ),
        (
            "slices: [[shop, shop]]",
            "evaluation.slices.0: each name once, found shop more than once",
        ),
        ("slices: [3]", "evaluation.slices.0: expected a list, found 3"),
        ("slices: [[]]", "evaluation.slices.0: value should have at least 1 item"),
        (
            "slice_thresholds: [{slice: [], thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice: value should have at least 1 item",
        ),
        (
            "slice_thresholds: [{slice: {shop: [a]}, thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice.shop: expected a valid string, found ['a']",
        ),
        (
            "slice_thresholds: [{slice: [{}], thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice: expected a mapping of keys to values",
        ),
        (
            "slice_thresholds: [{slice: shop}]",
            "evaluation.slice_thresholds.0.thresholds: this key is missing",
        ),
        ("confidence: 95", "evaluation.confidence: expected a value less than 1, found 95"),
        ("confidence: 0", "evaluation.confidence: expected a value greater than 0, found 0"),
        (
            "worth: {margins: {}}",
            "evaluation.worth.margins: unknown key: did you mean 'margin'?",
        ),
    ],
)
def test_a_value_out_of_bounds_is_refused(specify: Specify, evaluation: str, expected: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        specify(evaluation)

    [problem] = caught.value.problems
    assert problem.partition("fusion.yaml:")[2].partition(": ")[2].startswith(expected)
