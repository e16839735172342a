"""Bounds, slices and margins that name what is not measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from specs import colours

from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.validation.names import specification_problems

Specify = Callable[[str], Specification]

GIVEN = "  thresholds: {colour: {accuracy: {min: 0.2}}}\n"
SHOP = (
    "features:\n",
    "features:\n  shop: {type: category, column: shop, classes: [north, south, 3]}\n",
)
SLICE_THRESHOLD = "slice_thresholds: [{slice: %s, thresholds: {%s: {accuracy: {min: 0.1}}}}]"


@pytest.fixture
def specify(tmp_path: Path) -> Specify:
    """The small specification with a feature that only slices use, and another `evaluation`."""
    return lambda evaluation: colours(tmp_path, SHOP, (GIVEN, f"  {evaluation}\n"))


def problems_of(specification: Specification) -> list[str]:
    return [str(problem) for problem in specification_problems(specification)]


def test_slices_are_of_a_feature_of_a_label_or_of_both_crossed(specify: Specify) -> None:
    given = specify("slices: [shop, colour, [shop, colour]]")

    assert given.evaluation.slices == (("shop",), ("colour",), ("colour", "shop"))
    assert specification_problems(given) == []


def test_a_slice_that_has_a_threshold_is_measured_without_being_listed(specify: Specify) -> None:
    given = specify(
        "slice_thresholds: [{slice: {shop: north}, thresholds: {colour: {accuracy: {min: 0.1}}}}]"
    )

    assert given.evaluation.sliced_by() == (("shop",),)
    assert specification_problems(given) == []


@pytest.mark.parametrize(
    ("evaluation", "expected"),
    [
        (
            "{slices: [shop], thresholds: {color: {accuracy: {min: 0.2}}}}",
            "evaluation.thresholds.color: no output has this name; did you mean 'colour'?",
        ),
        (
            "{slices: [shop], thresholds: {colour: {auc: {min: 0.2}}}}",
            "evaluation.thresholds.colour.auc: outputs.colour.metrics does not list it; "
            "add it there",
        ),
        (
            "{slices: [shop], worth: {margin: {colour: {auc: 0.1}}}}",
            "evaluation.worth.margin.colour.auc: outputs.colour.metrics does not list it; "
            "add it there",
        ),
        (
            "slices: [shop, wrods]",
            "evaluation.slices: no feature or label is named 'wrods'; did you mean 'words'?",
        ),
        (
            "slices: [[shop, image]]",
            "evaluation.slices: 'image' has no single value per row to slice by; remove it",
        ),
        (
            SLICE_THRESHOLD % ("{shop: nort}", "colour"),
            "evaluation.slice_thresholds.0.slice.shop: no class is named 'nort'; "
            "did you mean 'north'?",
        ),
        (
            SLICE_THRESHOLD % ("{shop: north, colour: pink}", "colour"),
            "evaluation.slice_thresholds.0.slice.colour: no class is named 'pink'; "
            "known: blue, green, red",
        ),
        (
            SLICE_THRESHOLD % ("[shop, color]", "colour"),
            "evaluation.slice_thresholds.0.slice: no feature or label is named 'color'; "
            "did you mean 'colour'?",
        ),
        (
            SLICE_THRESHOLD % ("shop", "color"),
            "evaluation.slice_thresholds.0.thresholds.color: no output has this name; "
            "did you mean 'colour'?",
        ),
    ],
)
def test_an_evaluation_names_what_there_is(
    specify: Specify, evaluation: str, expected: str
) -> None:
    assert problems_of(specify(evaluation)) == [expected]


@pytest.mark.parametrize(
    ("label", "loss", "metric"),
    [
        ("{type: number, column: colour}", "mean_squared_error", "mean_absolute_error"),
        (
            "{type: multi_label, column: colour, classes: [red, green]}",
            "binary_crossentropy",
            "accuracy",
        ),
    ],
    ids=["number", "several classes"],
)
def test_a_label_without_one_class_a_row_slices_nothing(
    tmp_path: Path, label: str, loss: str, metric: str
) -> None:
    given = colours(
        tmp_path,
        ("{type: category, column: colour, classes: [red, green, blue]}", label),
        ("loss: categorical_crossentropy", f"loss: {loss}"),
        ("metrics: [accuracy]", f"metrics: [{metric}]"),
        (GIVEN, "  slices: [colour]\n"),
    )

    assert problems_of(given) == [
        "evaluation.slices: 'colour' has no single class per row to slice by; remove it"
    ]
