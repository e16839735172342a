"""From a row to a tf.Example: text, numbers and raw values, and the refusal of bad cells."""

from __future__ import annotations

import datetime
import decimal
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
)

PIXELS = np.random.default_rng(1).integers(0, 256, (16, 12, 3)).astype(np.uint8)

IMAGE = ImageFeature(type="image", column="a", shape=(8, 8, 3))
TEXT = TextFeature(type="text", column="a", encoding="string")
NUMBER = NumberFeature(type="number", column="a")
CATEGORY = CategoryFeature(type="category", column="a", classes=("1", "2", "true"))
SEQUENCE = SequenceFeature(type="sequence", column="a", shape=(3, 2))


def raw(dtype: str, *shape: int) -> RawFeature:
    return RawFeature.model_validate({"type": "raw", "column": "a", "dtype": dtype, "shape": shape})


def encoded_image(format_name: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format_name)
    return stream.getvalue()


# The example


def test_an_example_holds_every_feature_and_label_and_the_row_id(tmp_path: Path) -> None:
    label = CategoryLabel(type="category", column="c", classes=("x", "y"))

    example = RowParser({"n": NUMBER, "t": TEXT}, {"y": label}, tmp_path).example(
        "row 17", {"a": "2.5", "c": "y", "unused": "z"}
    )

    features = example.features.feature
    assert set(features) == {"row_id", "n", "t", "y"}
    assert features["row_id"].bytes_list.value == [b"row 17"]
    assert features["n"].float_list.value == [2.5]
    assert features["t"].bytes_list.value == [b"2.5"]
    assert features["y"].bytes_list.value == [b"y"]


@pytest.mark.parametrize(
    ("label", "cell", "expected"),
    [
        (CategoryLabel(type="category", column="a", classes=("x", "y")), "x", b"x"),
        (NumberLabel(type="number", column="a"), "-1.5", -1.5),
    ],
)
def test_a_label_is_one_value(tmp_path: Path, label: Label, cell: str, expected: object) -> None:
    features = RowParser({}, {"x": label}, tmp_path).example("row 1", {"a": cell}).features.feature

    (value,) = getattr(features["x"], features["x"].WhichOneof("kind")).value
    assert value == expected


def test_features_only_gives_what_a_served_model_takes(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded_image("PNG"))
    parser = RowParser(
        {
            "image": ImageFeature(type="image", column="image", shape=(8, 8, 3)),
            "steps": SequenceFeature(type="sequence", column="steps", shape=(3, 2)),
            "size": NumberFeature(type="number", columns=("w", "h")),
            "code": RawFeature(type="raw", column="code", dtype="int64"),
        },
        {},
        tmp_path,
    )

    found = parser.features_only(
        {"image": "a.png", "steps": "[1, 2, 3, 4, 5, 6]", "w": "1", "h": "2", "code": "7"}
    )

    assert {name: value.shape for name, value in found.items()} == {
        "image": (),
        "steps": (3, 2),
        "size": (2,),
        "code": (),
    }
    assert found["image"].item() == encoded_image("PNG")
    np.testing.assert_array_equal(found["steps"], [[1, 2], [3, 4], [5, 6]])
    assert found["code"].item() == 7


@pytest.mark.parametrize(
    "part", [IMAGE, TEXT, NUMBER, CATEGORY, SEQUENCE, raw("int64")], ids=lambda part: part.type
)
def test_a_row_without_the_column_is_refused(refusal: Callable[..., str], part: Feature) -> None:
    assert refusal(part, {"b": "1"}) == "column 'a': the row has no such column"


@pytest.mark.parametrize(
    "part", [IMAGE, NUMBER, CATEGORY, SEQUENCE, raw("int64")], ids=lambda part: part.type
)
@pytest.mark.parametrize("cell", ["", None])
def test_an_empty_cell_is_refused(
    refusal: Callable[..., str], part: Feature, cell: str | None
) -> None:
    assert refusal(part, {"a": cell}) == "column 'a': expected a value, found an empty cell"


# Text


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("A red, ROUND thing.", b"A red, ROUND thing."),
        ("grün 日本 🎈", "grün 日本 🎈".encode()),
        ("grün".encode(), "grün".encode()),
        ("", b""),
        (None, b""),
        ("a\nb", b"a\nb"),
        (7, b"7"),
        (2.5, b"2.5"),
        (True, b"true"),
        (datetime.date(2020, 1, 31), b"2020-01-31"),
        (decimal.Decimal("1.50"), b"1.50"),
    ],
)
def test_text_is_stored_as_utf_8(parse: Callable[..., list], cell: object, expected: bytes) -> None:
    assert parse(TEXT, {"a": cell}) == [expected]


@pytest.mark.parametrize(
    ("part", "cell"),
    [
        (TEXT, "ab\udcff"),
        (TEXT, b"ab\xff"),
        (CATEGORY, "ab\udcff"),
        (CATEGORY, b"ab\xff"),
        (IMAGE, "ab\udcff"),
        (raw("string"), "ab\udcff"),
    ],
)
def test_broken_utf_8_is_refused_with_its_place(
    refusal: Callable[..., str], part: Feature, cell: str | bytes
) -> None:
    assert refusal(part, {"a": cell}) == (
        "column 'a': expected UTF-8 text, found a broken byte at character 3"
    )


# Numbers


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1", 1.0),
        ("-2.5e-3", -0.0025),
        (" 5 ", 5.0),
        ("3.4028234e38", 3.4028234e38),
        (7, 7.0),
        (0.1, 0.1),
        (decimal.Decimal("1.5"), 1.5),
    ],
)
def test_a_number_is_a_float32(parse: Callable[..., list], cell: object, expected: float) -> None:
    assert parse(NUMBER, {"a": cell}) == [np.float32(expected)]


def test_several_columns_are_one_vector_in_their_order(parse: Callable[..., list]) -> None:
    part = NumberFeature(type="number", columns=("b", "a"))

    assert parse(part, {"a": "1", "b": "2"}) == [2.0, 1.0]


def test_of_several_columns_the_bad_one_is_named(refusal: Callable[..., str]) -> None:
    part = NumberFeature(type="number", columns=("a", "b"))

    assert refusal(part, {"a": "1", "b": "tall"}) == ("column 'b': expected a number, found 'tall'")


@pytest.mark.parametrize(
    "part", [NUMBER, NumberLabel(type="number", column="a"), raw("float32")],
    ids=["feature", "label", "raw"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("nan", "expected a finite number (float32), found nan"),
        ("inf", "expected a finite number (float32), found inf"),
        (-math.inf, "expected a finite number (float32), found -inf"),
        ("1e300", "expected a finite number (float32), found 1e300"),
        (1e39, "expected a finite number (float32), found 1e+39"),
        ("tall", "expected a number, found 'tall'"),
        ("1,5", "expected a number, found '1,5'"),
        ([1], "expected a number, found [1]"),
        ("x" * 100, "expected a number, found 'xxxxx"),
    ],
)
def test_what_is_no_finite_number_is_refused(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    message = refusal(part, {"a": cell})

    assert message.startswith(f"column 'a': {expected}")
    assert len(message) < 120


@pytest.mark.parametrize(
    ("part", "cell"),
    [(NUMBER, 10**400), (raw("float32", 2), [1, 10**400]), (SEQUENCE, [[10**400, 2]] * 3)],
    ids=["number", "raw", "sequence"],
)
def test_a_whole_number_beyond_any_float_is_refused(
    refusal: Callable[..., str], part: Feature, cell: object
) -> None:
    message = refusal(part, {"a": cell})

    assert "expected" in message
    assert "number" in message
    assert len(message) < 200


# Raw values


@pytest.mark.parametrize(
    ("part", "cell", "expected"),
    [
        (raw("int64"), "3", [3]),
        (raw("int64"), -(2**63), [-(2**63)]),
        (raw("int64", 2), "[1, 2]", [1, 2]),
        (raw("int64", 2, 1), [[1], [2]], [1, 2]),
        (raw("float32"), "2.5", [2.5]),
        (raw("float32", 2, 2), "[[1, 2], [3, 4]]", [1, 2, 3, 4]),
        (raw("float32", 4), [1, 2, 3, 4], [1, 2, 3, 4]),
        (raw("string"), "red", [b"red"]),
        (raw("string"), 5, [b"5"]),
        (raw("string", 2), '["a", "b"]', [b"a", b"b"]),
        (raw("string", 2), [b"a", ""], [b"a", b""]),
    ],
)
def test_a_raw_value_is_passed_through(
    parse: Callable[..., list], part: Feature, cell: object, expected: list
) -> None:
    assert parse(part, {"a": cell}) == expected


@pytest.mark.parametrize(
    ("part", "cell", "expected"),
    [
        (raw("int64"), "3.5", "expected int64 numbers, found '3.5'"),
        (raw("int64"), 3.5, "expected int64 numbers, found 3.5"),
        (raw("int64"), "three", "expected int64 numbers, found 'three'"),
        (raw("int64"), 2**63, "expected int64 numbers, found 9223372036854775808"),
        (raw("int64"), "9" * 5000, "expected int64 numbers, found '9999"),
        (raw("int64", 2), [1, 2.5], "expected int64 numbers, found [1, 2.5]"),
        (raw("int64", 2), [1, None], "expected int64 numbers, found [1, None]"),
        (raw("int64", 2), "[1]", "expected 2 values, found 1"),
        (raw("int64", 2), "1 2", "expected a list "),
        (raw("string", 2), "a b", "expected a list "),
        (raw("float32", 2, 2), [1, 2, 3], "expected 4 values, found 3"),
        (raw("float32", 2), [1, "x"], "expected a number, found 'x'"),
        (raw("float32", 2), [1, math.nan], "expected a finite number (float32), found nan"),
    ],
)
def test_a_raw_value_of_another_kind_is_refused(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    assert refusal(part, {"a": cell}).startswith(f"column 'a': {expected}")


def test_a_list_of_strings_is_not_asked_for_as_numbers(refusal: Callable[..., str]) -> None:
    assert "numbers" not in refusal(raw("string", 2), {"a": "a b"})


def test_a_served_value_keeps_the_zero_bytes_it_ends_in(tmp_path: Path) -> None:
    found = RowParser({"a": raw("string")}, {}, tmp_path).features_only({"a": "ab\0\0"})
    assert found["a"].tolist() == b"ab\0\0"


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("-0.5", "expected a weight of at least 0, found -0.5"),
        ("nan", "expected a finite number (float32), found nan"),
        ("", "expected a value, found an empty cell"),
        (None, "expected a value, found an empty cell"),
        ("heavy", "expected a number, found 'heavy'"),
    ],
)
def test_a_row_without_a_valid_weight_is_rejected(
    tmp_path: Path, cell: str | None, reason: str
) -> None:
    label = NumberLabel(type="number", column="a", row_weights="w")
    parser = RowParser({}, {"x": label}, tmp_path)

    with pytest.raises(RowError) as caught:
        parser.example("row 1", {"a": "1", "w": cell})

    assert (caught.value.column, caught.value.reason) == ("w", reason)


def test_a_row_weight_stands_beside_its_label(tmp_path: Path) -> None:
    label = CategoryLabel(type="category", column="a", classes=("x", "y"), row_weights="w")

    example = RowParser({}, {"x": label}, tmp_path).example("row 1", {"a": "y", "w": "0"})

    assert example.features.feature["x.weights"].float_list.value == [0]
