"""From a row to a tf.Example: what each cell becomes, and how each bad cell is told."""

from __future__ import annotations

import datetime
import decimal
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    MultiLabel,
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
TAGS = MultiLabel(type="multi_label", column="a", classes=("red", "very big", "7"))
SEQUENCE = SequenceFeature(type="sequence", column="a", shape=(3, 2))
VARIABLE = SequenceFeature(type="sequence", column="a", shape=(3, 2), variable=True, padding=-1.0)


def raw(dtype: str, *shape: int) -> RawFeature:
    return RawFeature.model_validate({"type": "raw", "column": "a", "dtype": dtype, "shape": shape})


def encoded_image(format_name: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format_name)
    return stream.getvalue()


def array_file(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


@pytest.fixture
def parse(tmp_path: Path) -> Callable[..., list]:
    """The values that a row gives for one feature; media files are looked for in `tmp_path`."""

    def values(part: Feature, row: dict[str, Any]) -> list:
        features = RowParser({"x": part}, {}, tmp_path).example("row 1", row).features.feature
        return list(getattr(features["x"], features["x"].WhichOneof("kind")).value)

    return values


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """The message for a row that cannot be used."""

    def message(part: Feature | Label, row: dict[str, Any]) -> str:
        with pytest.raises(RowError) as caught:
            RowParser({}, {"x": part}, tmp_path).example("row 1", row)
        assert str(caught.value) == f"column '{caught.value.column}': {caught.value.reason}"
        return str(caught.value)

    return message


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
def test_a_row_without_the_column_is_told(refusal: Callable[..., str], part: Feature) -> None:
    assert refusal(part, {"b": "1"}) == "column 'a': the row has no such column"


@pytest.mark.parametrize(
    "part", [IMAGE, NUMBER, CATEGORY, SEQUENCE, raw("int64")], ids=lambda part: part.type
)
@pytest.mark.parametrize("cell", ["", None])
def test_an_empty_cell_is_told(
    refusal: Callable[..., str], part: Feature, cell: str | None
) -> None:
    assert refusal(part, {"a": cell}) == "column 'a': expected a value, found an empty cell"


# Images


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "BMP"])
def test_an_image_file_is_kept_byte_for_byte(
    parse: Callable[..., list], tmp_path: Path, format_name: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a").write_bytes(encoded_image(format_name))

    assert parse(IMAGE, {"a": "images/a"}) == [encoded_image(format_name)]


@pytest.mark.parametrize(
    ("format_name", "mode"), [("PNG", "RGBA"), ("PNG", "L"), ("PNG", "P"), ("JPEG", "L")]
)
def test_an_image_of_other_channels_is_taken(
    parse: Callable[..., list], format_name: str, mode: str
) -> None:
    content = encoded_image(format_name, mode)

    assert parse(IMAGE, {"a": content}) == [content]


def test_an_image_may_stand_in_the_row_itself(parse: Callable[..., list]) -> None:
    assert parse(IMAGE, {"a": encoded_image("JPEG")}) == [encoded_image("JPEG")]


def test_an_absolute_path_is_taken(parse: Callable[..., list], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded_image("PNG"))

    assert parse(IMAGE, {"a": str(path)}) == [encoded_image("PNG")]


@pytest.mark.parametrize("name", ["none.png", ".", "a\0b", "7"])
def test_a_missing_media_file_is_told(
    refusal: Callable[..., str], tmp_path: Path, name: str
) -> None:
    assert refusal(IMAGE, {"a": name}) == f"column 'a': no such file: {tmp_path / name}"


@pytest.mark.parametrize(
    ("part", "cell"), [(IMAGE, "x" * 5000), (SEQUENCE, "x" * 5000 + ".npy")], ids=["image", "npy"]
)
def test_a_cell_too_long_for_a_path_is_told(
    refusal: Callable[..., str], part: Feature, cell: str
) -> None:
    # What stands there is rather the media themselves, or a text: no reason to stop the run.
    assert refusal(part, {"a": cell}).startswith("column 'a': no such file: ")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encoded_image("PNG")[:-30], id="truncated-png"),
        pytest.param(encoded_image("PNG")[:10], id="png-signature-only"),
        pytest.param(encoded_image("JPEG")[:-30], id="truncated-jpeg"),
        pytest.param(encoded_image("JPEG")[: len(encoded_image("JPEG")) // 2], id="half-a-jpeg"),
        pytest.param(encoded_image("GIF")[:-30], id="truncated-gif"),
        pytest.param(encoded_image("BMP")[:-30], id="truncated-bmp"),
        pytest.param(encoded_image("TIFF"), id="tiff"),
        pytest.param(b"no image at all, but a text\n", id="text"),
        pytest.param(b"\0" * 100, id="zeros"),
    ],
)
def test_an_image_that_cannot_be_decoded_is_told(
    refusal: Callable[..., str], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)

    told = refusal(IMAGE, {"a": "a.png"})

    assert told.startswith(
        f"column 'a': expected a whole JPEG, PNG, GIF or BMP image, {path} cannot be decoded: "
    )
    assert "[Op:" not in told
    assert "{{" not in told
    assert "\n" not in told


def test_bytes_that_are_no_image_are_told(refusal: Callable[..., str]) -> None:
    assert refusal(IMAGE, {"a": b"text"}).startswith(
        "column 'a': expected a whole JPEG, PNG, GIF or BMP image, the image cannot be decoded: "
    )


def test_channels_that_the_format_does_not_have_are_told(refusal: Callable[..., str]) -> None:
    four = ImageFeature(type="image", column="a", shape=(8, 8, 4))

    assert "does not support 4 channels" in refusal(four, {"a": encoded_image("JPEG")})


def test_an_empty_image_is_told(refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")

    assert refusal(IMAGE, {"a": "a.png"}) == (
        f"column 'a': expected an image, {tmp_path / 'a.png'} is empty"
    )
    assert refusal(IMAGE, {"a": b""}) == "column 'a': expected an image, the image is empty"


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
def test_text_is_kept_as_utf_8(parse: Callable[..., list], cell: object, expected: bytes) -> None:
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
def test_broken_utf_8_is_told_with_its_place(
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
def test_what_is_no_finite_number_is_told(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    told = refusal(part, {"a": cell})

    assert told.startswith(f"column 'a': {expected}")
    assert len(told) < 120


@pytest.mark.parametrize(
    ("part", "cell"),
    [(NUMBER, 10**400), (raw("float32", 2), [1, 10**400]), (SEQUENCE, [[10**400, 2]] * 3)],
    ids=["number", "raw", "sequence"],
)
def test_a_whole_number_beyond_any_float_is_told(
    refusal: Callable[..., str], part: Feature, cell: object
) -> None:
    told = refusal(part, {"a": cell})

    assert "expected" in told
    assert "number" in told
    assert len(told) < 200


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
def test_an_unknown_class_is_told_with_the_known_ones(
    refusal: Callable[..., str], part: Feature, cell: object, found: str
) -> None:
    assert refusal(part, {"a": cell}) == (f"column 'a': expected one of 1, 2, true; found {found}")


def test_of_many_classes_the_first_are_told(refusal: Callable[..., str]) -> None:
    part = CategoryFeature(
        type="category", column="a", classes=tuple(f"c{number}" for number in range(100))
    )

    told = refusal(part, {"a": "z" * 1000})

    assert told.startswith("column 'a': expected one of c0, c1, ")
    assert "c11, …; found 'zzz" in told
    assert len(told) < 200


def test_a_date_that_is_no_class_is_told(refusal: Callable[..., str]) -> None:
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
def test_a_name_that_is_no_class_is_told_with_the_separator(
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


# Sequences


@pytest.mark.parametrize(
    "cell",
    [
        "[[1, 2], [3, 4], [5, 6]]",
        "[1, 2, 3, 4, 5, 6]",
        [[1, 2], [3, 4], [5, 6]],
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    ],
)
@pytest.mark.parametrize("part", [SEQUENCE, VARIABLE], ids=["fixed", "variable"])
def test_a_sequence_may_stand_in_the_row(
    parse: Callable[..., list], part: Feature, cell: object
) -> None:
    assert parse(part, {"a": cell}) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "uint8"])
def test_a_sequence_may_be_an_npy_file(
    parse: Callable[..., list], tmp_path: Path, dtype: str
) -> None:
    (tmp_path / "a.npy").write_bytes(array_file(np.arange(6, dtype=dtype).reshape(3, 2)))

    assert parse(SEQUENCE, {"a": "a.npy"}) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_shorter_sequence_is_padded_at_the_end(parse: Callable[..., list], steps: int) -> None:
    given = [[float(step), 9.0] for step in range(steps)]

    assert parse(VARIABLE, {"a": given}) == np.ravel(given + [[-1.0, -1.0]] * (3 - steps)).tolist()


def test_one_step_of_width_one_may_come_as_a_single_value(parse: Callable[..., list]) -> None:
    # So does a tf.Example give a list of one.
    part = SequenceFeature(type="sequence", column="a", shape=(3, 1), variable=True)

    assert parse(part, {"a": 5.0}) == [5.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("part", "cell", "expected"),
    [
        (SEQUENCE, "[[1, 2], [3, 4]]", "expected (3, 2) numbers, found (2, 2)"),
        (SEQUENCE, [[1, 2]] * 4, "expected (3, 2) numbers, found (4, 2)"),
        (SEQUENCE, [[1, 2, 3]] * 3, "expected (3, 2) numbers, found (3, 3)"),
        (SEQUENCE, [1, 2, 3], "expected (3, 2) numbers, found (3,)"),
        (SEQUENCE, [[[1, 2]]] * 3, "expected (3, 2) numbers, found (3, 1, 2)"),
        (SEQUENCE, "[[1, 2], [3]]", "expected (3, 2) numbers, found [[1, 2], [3]]"),
        (SEQUENCE, "[[1, 2], [3, 4], [5, 'x']]", "expected a list "),
        (SEQUENCE, '[[1, 2], [3, 4], [5, "x"]]', "expected (3, 2) numbers, found [[1, 2], "),
        (SEQUENCE, "{}", "expected (3, 2) numbers, found {}"),
        (SEQUENCE, "some words", "expected a list "),
        (SEQUENCE, b"abc", "expected (3, 2) numbers, found b'abc'"),
        (VARIABLE, [[1, 2]] * 4, "expected at most (3, 2) numbers, found (4, 2)"),
        (VARIABLE, [], "expected at most (3, 2) numbers, found (0, 2)"),
        (VARIABLE, [1, 2, 3], "expected at most (3, 2) numbers, found (3,)"),
    ],
)
def test_a_sequence_of_another_shape_is_told(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    assert refusal(part, {"a": cell}).startswith(f"column 'a': {expected}")


@pytest.mark.parametrize(
    "cell", ["[[" + "1" * 5000 + ", 2]]", "[" * 100_000], ids=["huge-number", "deep"]
)
def test_json_that_python_refuses_is_told(refusal: Callable[..., str], cell: str) -> None:
    assert refusal(SEQUENCE, {"a": cell}).startswith("column 'a': expected a list ")


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e300", "null"])
@pytest.mark.parametrize("part", [SEQUENCE, VARIABLE], ids=["fixed", "variable"])
def test_a_sequence_holds_finite_numbers(
    refusal: Callable[..., str], part: Feature, number: str
) -> None:
    assert refusal(part, {"a": f"[[1, 2], [3, {number}], [5, 6]]"}) == (
        "column 'a': expected finite numbers, found NaN or infinity"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            array_file(np.array([{"a": 1}], dtype=object), allow_pickle=True), "Object arrays",
            id="pickled",
        ),
        pytest.param(array_file(np.ones((3, 2)))[:-8], "", id="cut"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"1,2\n3,4\n", "", id="text"),
    ],
)  # fmt: skip
def test_an_npy_file_that_is_no_plain_array_is_told(
    refusal: Callable[..., str], tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "a.npy").write_bytes(content)

    told = refusal(SEQUENCE, {"a": "a.npy"})

    assert told.startswith(f"column 'a': {tmp_path / 'a.npy'}: not a .npy array: {expected}")
    assert "allow_pickle=` keyword" not in told, "a hint for programmers, and a dangerous one"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ones((2, 2)), "expected (3, 2) numbers, found (2, 2)"),
        (np.array(["a", "b"]), "expected (3, 2) numbers, found array(['a', 'b']"),
        (np.full((3, 2), np.nan), "expected finite numbers, found NaN or infinity"),
    ],
    ids=["shape", "strings", "nan"],
)
def test_an_npy_file_of_something_else_is_told(
    refusal: Callable[..., str], tmp_path: Path, array: np.ndarray, expected: str
) -> None:
    (tmp_path / "a.npy").write_bytes(array_file(array))

    assert refusal(SEQUENCE, {"a": "a.npy"}).startswith(f"column 'a': {expected}")


def test_a_missing_npy_file_is_told(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert refusal(SEQUENCE, {"a": "none.npy"}) == (
        f"column 'a': no such file: {tmp_path / 'none.npy'}"
    )


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
def test_a_raw_value_of_another_kind_is_told(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    assert refusal(part, {"a": cell}).startswith(f"column 'a': {expected}")


def test_a_list_of_strings_is_not_asked_for_as_numbers(refusal: Callable[..., str]) -> None:
    assert "numbers" not in refusal(raw("string", 2), {"a": "a b"})


def test_a_served_value_keeps_the_zero_bytes_it_ends_in(tmp_path: Path) -> None:
    found = RowParser({"a": raw("string")}, {}, tmp_path).features_only({"a": "ab\0\0"})
    assert found["a"].tolist() == b"ab\0\0"
