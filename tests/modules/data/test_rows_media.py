"""Images and sequences of a row, in files and inline, and the refusal of bad ones."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfx_fusion.modules.data.rows import RowParser
from tfx_fusion.modules.spec import Feature, ImageFeature, Missing, SequenceFeature

PIXELS = np.random.default_rng(1).integers(0, 256, (16, 12, 3)).astype(np.uint8)

IMAGE = ImageFeature(type="image", column="a", shape=(8, 8, 3))
SEQUENCE = SequenceFeature(type="sequence", column="a", shape=(3, 2))
VARIABLE = SequenceFeature(type="sequence", column="a", shape=(3, 2), variable=True, padding=-1.0)


def encoded_image(format_name: str, mode: str = "RGB") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format_name)
    return stream.getvalue()


def array_file(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


# Images


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "BMP"])
def test_an_image_file_is_stored_byte_for_byte(
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


def test_an_image_may_be_in_the_row_itself(parse: Callable[..., list]) -> None:
    assert parse(IMAGE, {"a": encoded_image("JPEG")}) == [encoded_image("JPEG")]


def test_an_absolute_path_is_taken(parse: Callable[..., list], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded_image("PNG"))

    assert parse(IMAGE, {"a": str(path)}) == [encoded_image("PNG")]


@pytest.mark.parametrize("name", ["none.png", ".", "a\0b", "7"])
def test_a_missing_media_file_is_refused(
    refusal: Callable[..., str], tmp_path: Path, name: str
) -> None:
    assert refusal(IMAGE, {"a": name}) == f"column 'a': no such file: {tmp_path / name}"


@pytest.mark.parametrize(
    ("part", "cell"), [(IMAGE, "x" * 5000), (SEQUENCE, "x" * 5000 + ".npy")], ids=["image", "npy"]
)
def test_a_cell_too_long_for_a_path_is_refused(
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
def test_an_image_that_cannot_be_decoded_is_refused(
    refusal: Callable[..., str], tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)

    message = refusal(IMAGE, {"a": "a.png"})

    assert message.startswith(
        f"column 'a': expected a whole JPEG, PNG, GIF or BMP image, {path} cannot be decoded: "
    )
    assert "[Op:" not in message
    assert "{{" not in message
    assert "\n" not in message


def test_bytes_that_are_no_image_are_refused(refusal: Callable[..., str]) -> None:
    assert refusal(IMAGE, {"a": b"text"}).startswith(
        "column 'a': expected a whole JPEG, PNG, GIF or BMP image, the image cannot be decoded: "
    )


def test_channels_that_the_format_does_not_have_are_refused(refusal: Callable[..., str]) -> None:
    four = ImageFeature(type="image", column="a", shape=(8, 8, 4))

    assert "does not support 4 channels" in refusal(four, {"a": encoded_image("JPEG")})


def test_an_empty_image_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")

    assert refusal(IMAGE, {"a": "a.png"}) == (
        f"column 'a': expected an image, {tmp_path / 'a.png'} is empty"
    )
    assert refusal(IMAGE, {"a": b""}) == "column 'a': expected an image, the image is empty"


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
def test_a_sequence_may_be_in_the_row(
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


def encoded(part: SequenceFeature, row: dict[str, object], folder: Path) -> tuple[list, list]:
    """The padded values of a row, and its length."""
    feature = RowParser({"s": part}, {}, folder).example("row 1", row).features.feature
    return list(feature["s"].float_list.value), list(feature["s_length"].int64_list.value)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_length_of_a_sequence_is_how_many_steps_stand_in_the_row(
    tmp_path: Path, steps: int
) -> None:
    like_padding = [[-1.0, -1.0]] * steps

    assert encoded(VARIABLE, {"a": like_padding}, tmp_path) == ([-1.0] * 6, [steps])


@pytest.mark.parametrize("length", [1, 2.0, "3", None, ""])
def test_a_column_may_say_the_length_of_a_sequence_that_is_padded_already(
    tmp_path: Path, length: object
) -> None:
    row = {"a": [1, 2, 3, 4, 5, 6], "a_length": length}
    known = int(length or 3)

    values, found = encoded(VARIABLE, row, tmp_path)

    assert found == [known]
    assert values == [1, 2, 3, 4, 5, 6][: 2 * known] + [-1] * (6 - 2 * known)


@pytest.mark.parametrize("length", [3, -1, 1.5, "x", [1]])
def test_a_length_that_a_sequence_cannot_have_is_refused(
    refusal: Callable[..., str], length: object
) -> None:
    assert refusal(VARIABLE, {"a": [[1, 2]] * 2, "a_length": length}).startswith(
        "column 'a_length': expected "
    )


def test_a_length_of_zero_is_no_sequence(refusal: Callable[..., str], tmp_path: Path) -> None:
    row = {"a": [[1, 2]] * 3, "a_length": 0}
    optional = VARIABLE.model_copy(update={"missing": Missing()})

    assert refusal(VARIABLE, row) == "column 'a': expected at least one step, found none"
    for lacking in (row, {"a": []}, {"a": None}):
        values, found = encoded(optional, lacking, tmp_path)
        assert (np.isnan(values).all(), found) == (True, [0])


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
        (VARIABLE, [], "expected at least one step, found none"),
        (VARIABLE, [1, 2, 3], "expected at most (3, 2) numbers, found (3,)"),
    ],
)
def test_a_sequence_of_another_shape_is_refused(
    refusal: Callable[..., str], part: Feature, cell: object, expected: str
) -> None:
    assert refusal(part, {"a": cell}).startswith(f"column 'a': {expected}")


@pytest.mark.parametrize(
    "cell", ["[[" + "1" * 5000 + ", 2]]", "[" * 100_000], ids=["huge-number", "deep"]
)
def test_json_that_python_refuses_is_refused(refusal: Callable[..., str], cell: str) -> None:
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
def test_an_npy_file_that_is_not_a_plain_array_is_refused(
    refusal: Callable[..., str], tmp_path: Path, content: bytes, expected: str
) -> None:
    (tmp_path / "a.npy").write_bytes(content)

    message = refusal(SEQUENCE, {"a": "a.npy"})

    assert message.startswith(f"column 'a': {tmp_path / 'a.npy'}: not a .npy array: {expected}")
    assert "allow_pickle=` keyword" not in message, "a hint for programmers, and a dangerous one"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.ones((2, 2)), "expected (3, 2) numbers, found (2, 2)"),
        (np.array(["a", "b"]), "expected (3, 2) numbers, found array(['a', 'b']"),
        (np.full((3, 2), np.nan), "expected finite numbers, found NaN or infinity"),
    ],
    ids=["shape", "strings", "nan"],
)
def test_an_npy_file_of_something_else_is_refused(
    refusal: Callable[..., str], tmp_path: Path, array: np.ndarray, expected: str
) -> None:
    (tmp_path / "a.npy").write_bytes(array_file(array))

    assert refusal(SEQUENCE, {"a": "a.npy"}).startswith(f"column 'a': {expected}")


def test_a_missing_npy_file_is_refused(refusal: Callable[..., str], tmp_path: Path) -> None:
    assert refusal(SEQUENCE, {"a": "none.npy"}) == (
        f"column 'a': no such file: {tmp_path / 'none.npy'}"
    )


# What a row may name


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hostname", "pictures/../../secret.png", "link.png"]
)
def test_a_file_outside_of_the_media_root_is_not_read(
    refusal: Callable[..., str], tmp_path: Path, name: str
) -> None:
    (tmp_path.parent / "secret.png").write_bytes(encoded_image("PNG"))
    (tmp_path / "link.png").symlink_to(tmp_path.parent / "secret.png")

    assert refusal(IMAGE, {"a": name}).startswith(
        f"column 'a': expected a file below {tmp_path} (data.media_root), found "
    )


def test_another_media_root_is_taken_where_one_is_given(tmp_path: Path) -> None:
    data, pictures = tmp_path / "data", tmp_path / "pictures"
    data.mkdir()
    pictures.mkdir()
    (pictures / "a.png").write_bytes(encoded_image("PNG"))
    (data / "pictures").symlink_to(pictures)
    parser = RowParser({"x": IMAGE}, {}, data, pictures)

    for name in ("../pictures/a.png", "pictures/a.png"):
        example = parser.example("row 1", {"a": name})
        assert example.features.feature["x"].bytes_list.value[0] == encoded_image("PNG")


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A black PNG of 48 kB and 400 million pixels."""
    stream = io.BytesIO()
    Image.new("1", (width, height)).save(stream, "PNG")
    return stream.getvalue()


def test_an_image_of_too_many_pixels_is_not_decoded(refusal: Callable[..., str]) -> None:
    message = refusal(IMAGE, {"a": bomb()})

    assert message == (
        "column 'a': expected at most 50000000 pixels (max_pixels), the image has 400000000"
    )
