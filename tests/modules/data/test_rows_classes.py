"""Classes of a row, one or several, and the refusal of unknown ones."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable

import pytest

from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    MultiLabel,
)

CATEGORY = CategoryFeature(type="category", column="a", classes=("1", "2", "true"))
TAGS = MultiLabel(type="multi_label", column="a", classes=("red", "very big", "7"))


# Classes


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("1", b"1"), (2, b"2"), (1.0, b"1"), (b"2", b"2"), (True, b"true")],
)
def test_a_class_is_its_text(parse: Callable[..., list], cell: object, expected: bytes) -> None:
    assert parse(CATEGORY, {"a": cell}) == [expected]


def test_a_class_written_as_a_float_is_found(parse: Callable[..., list]) -> None:
    # `classes: [1.0, 2.0]` in the file, floats in a Parquet column.
    part = CategoryFeature.model_validate(
        {"type": "category", "column": "a", "classes": [1.0, 2.0]}
    )

    assert parse(part, {"a": 1.0}) == [part.classes[0].encode()]


@pytest.mark.parametrize(
    "part", [CATEGORY, CategoryLabel(type="category", column="a", classes=CATEGORY.classes)],
    ids=["feature", "label"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("cell", "found"),
    [("3", "'3'"), (" 1", "' 1'"), ("2.0", "'2.0'"), (2.5, "'2.5'"), (math.nan, "'NaN'")],
)
def test_an_unknown_class_is_refused_with_the_known_ones(
    refusal: Callable[..., str], part: Feature, cell: object, found: str
) -> None:
    assert refusal(part, {"a": cell}) == (f"column 'a': expected one of 1, 2, true; found {found}")


def test_of_many_classes_the_first_are_refused(refusal: Callable[..., str]) -> None:
    part = CategoryFeature(
        type="category", column="a", classes=tuple(f"c{number}" for number in range(100))
    )

    message = refusal(part, {"a": "z" * 1000})

    assert message.startswith("column 'a': expected one of c0, c1, ")
    assert "c11, …; found 'zzz" in message
    assert len(message) < 200


def test_a_date_that_is_not_a_class_is_refused(refusal: Callable[..., str]) -> None:
    assert "found '2020-01-31'" in refusal(CATEGORY, {"a": datetime.date(2020, 1, 31)})


# Several classes


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("red", [1, 0, 0]),
        ("7;red", [1, 0, 1]),
        ("  very big ;red; 7 ", [1, 1, 1]),
        ("", [0, 0, 0]),
        ("  ", [0, 0, 0]),
        (None, [0, 0, 0]),
        ([], [0, 0, 0]),
        (["7", "very big"], [0, 1, 1]),
        ([b"red", " 7"], [1, 0, 1]),
        ([7, "red"], [1, 0, 1]),
        ([7.0], [0, 0, 1]),
        (7, [0, 0, 1]),
        (b"very big;7", [0, 1, 1]),  # a tf.Example gives a list of one as the one
    ],
)
def test_a_row_has_any_number_of_the_classes(
    parse: Callable[..., list], cell: object, expected: list[int]
) -> None:
    assert parse(TAGS, {"a": cell}) == expected


def test_the_separator_is_the_labels_own(parse: Callable[..., list]) -> None:
    part = MultiLabel(type="multi_label", column="a", classes=("x;y", "z"), separator=" | ")

    assert parse(part, {"a": "z | x;y"}) == [1, 1]


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("red, 7", "'red, 7'"),
        ("red;rde", "'rde'"),
        ("red;", "''"),
        (";red", "''"),
        (["red", ""], "''"),
        (["red", None], "''"),
        (["red;7"], "'red;7'"),
        ([["red"]], "'[\"red\"]'"),
        ({"red": 1}, "'{\"red\": 1}'"),
        (2.5, "'2.5'"),
        (math.nan, "'NaN'"),
    ],
)
def test_a_name_that_is_not_a_class_is_refused_with_the_separator(
    refusal: Callable[..., str], cell: object, found: str
) -> None:
    assert refusal(TAGS, {"a": cell}) == (
        f"column 'a': expected names joined by ';', each one of red, very big, 7; found {found}"
    )


@pytest.mark.parametrize("cell", ["red;7; red", ["red", "red"], [7, "7"]])
def test_a_class_named_twice_is_a_mistake(refusal: Callable[..., str], cell: object) -> None:
    twice = "7" if cell == [7, "7"] else "red"

    assert refusal(TAGS, {"a": cell}) == (
        f"column 'a': expected each class once, found '{twice}' twice"
    )


def test_a_row_without_the_column_is_no_row_without_classes(refusal: Callable[..., str]) -> None:
    assert refusal(TAGS, {"b": "red"}) == "column 'a': the row has no such column"
