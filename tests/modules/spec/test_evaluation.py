"""What `evaluation` may say, how it is read, and how each mistake in it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Bounds, Evaluation, Specification, Threshold, load_specification
from tfx_fusion.modules.validation.names import ordered_nodes

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


def problems_of(specify: Specify, evaluation: str) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        ordered_nodes(specify(evaluation))
    return caught.value.problems


# What is accepted


def test_a_threshold_may_bound_the_value_and_the_change_from_the_champion() -> None:
    bounds = {"min": 0.9, "change": {"min": 0.01, "max": 0.5}}

    evaluation = read({"thresholds": {"colour": {"accuracy": bounds}}})

    wanted = Threshold(min=0.9, change=Bounds(min=0.01, max=0.5))
    assert evaluation.bounds() == [
        ("evaluation.thresholds.colour.accuracy", {}, "colour", "accuracy", wanted)
    ]
    assert read({"thresholds": {"a": {"auc": {"change": {"min": 0}}}}}).bounds()[0][4].min is None


def test_slices_are_of_a_feature_of_a_label_or_of_both_crossed(specify: Specify) -> None:
    given = specify("slices: [shop, colour, [shop, colour]]")

    assert given.evaluation.slices == (("shop",), ("colour",), ("colour", "shop"))
    assert "scores" in ordered_nodes(given)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("shop", {"shop": None}),
        (["shop", "colour"], {"shop": None, "colour": None}),
        ({"shop": "north"}, {"shop": "north"}),
        ({"shop": 3, "colour": "red"}, {"shop": "3", "colour": "red"}),
        ({"shop": "north", "colour": None}, {"shop": "north", "colour": None}),
    ],
)
def test_a_slice_threshold_is_for_each_slice_or_for_one(written: Any, meant: dict) -> None:
    thresholds = {"colour": {"accuracy": {"min": 0.5}}}
    evaluation = read({"slice_thresholds": [{"slice": written, "thresholds": thresholds}]})

    [(key, where, *_)] = evaluation.bounds()

    assert key == "evaluation.slice_thresholds.0.thresholds.colour.accuracy"
    assert where == meant


def test_a_slice_that_has_a_threshold_is_measured_without_being_listed(specify: Specify) -> None:
    given = specify(
        "slice_thresholds: [{slice: {shop: north}, thresholds: {colour: {accuracy: {min: 0.1}}}}]"
    )

    assert given.evaluation.sliced_by() == (("shop",),)
    assert "scores" in ordered_nodes(given)


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
            "evaluation.slices.0: each name once, found ['shop', 'shop']",
        ),
        ("slices: [3]", "evaluation.slices.0: expected a list, found 3"),
        ("slices: [[]]", "evaluation.slices.0: value should have at least 1 item"),
        (
            "slice_thresholds: [{slice: [], thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice: value should have at least 1 item",
        ),
        (
            "slice_thresholds: [{slice: {shop: true}, thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice.shop: input should be a valid string, found True",
        ),
        (
            "slice_thresholds: [{slice: [{}], thresholds: {colour: {}}}]",
            "evaluation.slice_thresholds.0.slice: expected a mapping of keys to values",
        ),
        (
            "slice_thresholds: [{slice: shop}]",
            "evaluation.slice_thresholds.0.thresholds: this key is missing",
        ),
        ("confidence: 95", "evaluation.confidence: input should be less than 1, found 95"),
        ("confidence: 0", "evaluation.confidence: input should be greater than 0, found 0"),
        (
            "worth: {margins: {}}",
            "evaluation.worth.margins: unknown key: did you mean 'margin'?",
        ),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(
    specify: Specify, evaluation: str, expected: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        specify(evaluation)

    [problem] = caught.value.problems
    assert problem.partition("fusion.yaml:")[2].partition(": ")[2].startswith(expected)


SLICE_THRESHOLD = "slice_thresholds: [{slice: %s, thresholds: {%s: {accuracy: {min: 0.1}}}}]"


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
            "evaluation.slices: 'image' has no single value a row to slice by",
        ),
        (
            SLICE_THRESHOLD % ("{shop: nort}", "colour"),
            "evaluation.slice_thresholds.0.slice.shop: no class has the name 'nort'; "
            "did you mean 'north'?",
        ),
        (
            SLICE_THRESHOLD % ("{shop: north, colour: pink}", "colour"),
            "evaluation.slice_thresholds.0.slice.colour: no class has the name 'pink'; "
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
    assert problems_of(specify, evaluation) == [expected]


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
    write_specification: Write, label: str, loss: str, metric: str
) -> None:
    given = load_specification(
        write_specification(
            ("{type: category, column: colour, classes: [red, green, blue]}", label),
            ("loss: categorical_crossentropy", f"loss: {loss}"),
            ("metrics: [accuracy]", f"metrics: [{metric}]"),
            (GIVEN, "  slices: [colour]\n"),
        )
    )

    with pytest.raises(SpecificationError) as caught:
        ordered_nodes(given)

    assert caught.value.problems == [
        "evaluation.slices: 'colour' does not give a row one class to slice by"
    ]
