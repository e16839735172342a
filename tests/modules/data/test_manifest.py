"""Reading a data file in shards: every row once, in order, with its fault where it has one."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_fusion.modules.data.manifest import BadRow, columns, read, shards
from tfx_fusion.modules.errors import RunError

COUNTS = (1, 63, 64, 65, 5000)
Value = int | float | str | bytes | list


@pytest.fixture
def data(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes a data file of a name and content."""

    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def rows_of(path: Path) -> list[tuple[str, Any]]:
    """All rows of all shards; a row that cannot be read is shown as its reason."""
    return [
        (row_id, row.reason if isinstance(row, BadRow) else row)
        for shard in shards(path)
        for row_id, row in read(shard)
    ]


def values_of(path: Path) -> list[Any]:
    return [row for _, row in rows_of(path)]


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        rows_of(path)
    return str(caught.value)


def write_tfrecords(path: Path, rows: list[dict[str, Value]], compression: str = "") -> None:
    import tensorflow as tf

    def feature(value: Value) -> tf.train.Feature:
        values = value if isinstance(value, list) else [value]
        if all(isinstance(item, int) for item in values):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        if all(isinstance(item, float) for item in values):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        encoded = [item.encode() if isinstance(item, str) else item for item in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            features = {name: feature(value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


# Every row once, in order


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["unix", "windows"])
def test_csv_gives_every_row_once_in_order(tmp_path: Path, count: int, newline: str) -> None:
    path = tmp_path / "rows.csv"
    # Cells of many lengths with all that needs quoting, so that shards start at odd offsets.
    given = [
        {"id": str(number), "text": ('ü"\n,' * (number % 4)) + "x" * (number % 7)}
        for number in range(count)
    ]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", "text"], lineterminator=newline)
        writer.writeheader()
        writer.writerows(given)

    found = rows_of(path)

    assert [row for _, row in found] == given
    assert [row_id for row_id, _ in found] == [f"row {number + 1}" for number in range(count)]


@pytest.mark.parametrize("count", COUNTS)
def test_jsonl_gives_every_row_once_in_order(tmp_path: Path, count: int) -> None:
    path = tmp_path / "rows.jsonl"
    given = [{"id": number, "list": [0.5] * (number % 3)} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in given))

    found = rows_of(path)

    assert [row for _, row in found] == given
    assert [row_id for row_id, _ in found] == [f"row {number + 1}" for number in range(count)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("group", [10_000, 50])
def test_parquet_gives_every_row_once_in_order(tmp_path: Path, count: int, group: int) -> None:
    path = tmp_path / "rows.parquet"
    given = [{"id": number, "text": f"t{number}"} for number in range(count)]
    pq.write_table(pa.Table.from_pylist(given), path, row_group_size=group)

    found = rows_of(path)

    assert [row for _, row in found] == given
    assert [row_id for row_id, _ in found] == [f"row {number + 1}" for number in range(count)]


@pytest.mark.parametrize(("ending", "compression"), [("", ""), (".gz", "GZIP")])
def test_tfrecords_give_every_record_of_every_file_in_order(
    tmp_path: Path, ending: str, compression: str
) -> None:
    given = [{"id": number, "text": b"t"} for number in range(130)]
    for part in (1, 0):
        path = tmp_path / f"rows-{part}.tfrecord{ending}"
        write_tfrecords(path, given[part * 65 : part * 65 + 65], compression)

    found = rows_of(tmp_path / f"rows-*.tfrecord{ending}")

    assert [row for _, row in found] == given
    assert found[0][0] == f"rows-0.tfrecord{ending} record 1"
    assert found[65][0] == f"rows-1.tfrecord{ending} record 1"


@pytest.mark.parametrize("count", [64, 65, 5000, 20_000])
def test_a_large_file_has_enough_shards_and_none_is_large(tmp_path: Path, count: int) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\n" + "1\n" * count)

    found = shards(path)

    assert sum(shard.rows for shard in found) == count
    assert max(shard.rows for shard in found) <= 1024
    assert len(found) >= min(count // 64, 16)


def test_a_shard_can_be_read_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id\n" + "".join(f"{number}\n" for number in range(130)))

    last = shards(path)[-1]

    assert list(read(last)) == [("row 129", {"id": "128"}), ("row 130", {"id": "129"})]


# CSV


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'id,t\n1,"a\nb"\n2,c\n', [{"id": "1", "t": "a\nb"}, {"id": "2", "t": "c"}]),
        (b'id,t\r\n1,"a\r\nb"\r\n', [{"id": "1", "t": "a\r\nb"}]),
        (b'id,t\n1,"say ""a"""\n', [{"id": "1", "t": 'say "a"'}]),
        (b'id,"t\nu"\n1,a\n', [{"id": "1", "t\nu": "a"}]),
        (b"id,t\n1,\n,\n", [{"id": "1", "t": ""}, {"id": "", "t": ""}]),
        (b"id,t\n1,a", [{"id": "1", "t": "a"}]),
        (b"id,t\n\n1,a\n\n\n2,b\n\n", [{"id": "1", "t": "a"}, {"id": "2", "t": "b"}]),
        (b"\xef\xbb\xbfid,t\n1,a\n", [{"id": "1", "t": "a"}]),
        (b'\xef\xbb\xbf"id","t"\n"1","a"\n', [{"id": "1", "t": "a"}]),
    ],
    ids=[
        "quoted-newline",
        "quoted-windows-newline",
        "quotes",
        "quoted-newline-in-header",
        "empty-cells",
        "no-last-newline",
        "blank-lines",
        "byte-order-mark",
        "byte-order-mark-before-quotes",
    ],
)
def test_csv_is_read_as_spreadsheets_write_it(
    data: Callable[[str, bytes], Path], content: bytes, expected: list[dict[str, str]]
) -> None:
    assert values_of(data("rows.csv", content)) == expected


def test_a_csv_row_of_another_width_is_bad_and_the_others_are_read(
    data: Callable[[str, bytes], Path],
) -> None:
    path = data("rows.csv", b"id,t\n1,a\n2\n3,b,c\n4,d\n")

    assert rows_of(path) == [
        ("row 1", {"id": "1", "t": "a"}),
        ("row 2", "expected 2 cells as in the header, found 1"),
        ("row 3", "expected 2 cells as in the header, found 3"),
        ("row 4", {"id": "4", "t": "d"}),
    ]


def test_broken_utf_8_survives_so_that_its_row_can_be_told(
    data: Callable[[str, bytes], Path],
) -> None:
    path = data("rows.csv", b"id,t\n1,f\xe4r\n2,b\n")

    first, second = values_of(path)

    assert first["t"].encode("utf-8", "surrogateescape") == b"f\xe4r"
    assert second == {"id": "2", "t": "b"}


def test_a_carriage_return_inside_a_cell_makes_one_bad_row(
    data: Callable[[str, bytes], Path],
) -> None:
    path = data("rows.csv", b"id,t\n1,a\n2,b\rc\n3,d\n")

    found = values_of(path)

    assert found[0] == {"id": "1", "t": "a"}
    assert found[-1] == {"id": "3", "t": "d"}
    assert "new-line character" in "".join(map(str, found[1:-1]))


def test_a_cell_may_be_long(data: Callable[[str, bytes], Path]) -> None:
    # The csv module refuses more than 131,072 characters unless told otherwise.
    long = "1," * 100_000

    path = data("rows.csv", f'id,steps\n1,"[{long}1]"\n'.encode())

    assert values_of(path) == [{"id": "1", "steps": f"[{long}1]"}]


def test_a_quote_that_never_closes_is_told_with_its_row(
    data: Callable[[str, bytes], Path],
) -> None:
    # Read leniently, the rows behind it would vanish into one cell of a row that looks good.
    path = data("rows.csv", b'id,t\n1,a\n2,"b\n3,c\n4,d\n')

    told = refusal(path)

    assert told.startswith(f"{path}: row 2: ")
    assert "quote" in told


def test_text_behind_a_closed_quote_makes_one_bad_row(
    data: Callable[[str, bytes], Path],
) -> None:
    path = data("rows.csv", b'id,t\n1,"a" b\n2,c\n')

    (first_id, reason), second = rows_of(path)

    assert (first_id, second) == ("row 1", ("row 2", {"id": "2", "t": "c"}))
    assert "expected after" in reason


def test_a_csv_file_of_carriage_returns_only_is_refused(
    data: Callable[[str, bytes], Path],
) -> None:
    path = data("rows.csv", b"id,t\r1,a\r2,b\r")

    assert refusal(path).startswith(f"{path}: expected a header line")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the data set is empty: expected rows, found an empty file"),
        (b"id,t\n", "the data set is empty: expected rows, found none"),
        (b"id,t\n\n\n", "the data set is empty: expected rows, found none"),
        (b"\n\n", "expected a header line with the names of the columns"),
        (b"id,t,id\n1,2,3\n", "the header names the column 'id' twice"),
    ],
)
def test_a_csv_file_without_rows_or_header_is_refused(
    data: Callable[[str, bytes], Path], content: bytes, expected: str
) -> None:
    path = data("rows.csv", content)

    assert refusal(path) == f"{path}: {expected}"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_header_that_is_not_utf_8_is_refused(
    data: Callable[[str, bytes], Path], encoding: str
) -> None:
    path = data("rows.csv", "prénom,t\n1,2\n".encode(encoding))

    assert refusal(path).startswith(f"{path}: expected UTF-8 text")


# JSONL


def test_blank_lines_of_jsonl_are_passed_over(data: Callable[[str, bytes], Path]) -> None:
    path = data("rows.jsonl", b'\n{"id": 1}\n  \n\r\n{"id": 2}')

    assert rows_of(path) == [("row 1", {"id": 1}), ("row 2", {"id": 2})]


def test_a_byte_order_mark_before_jsonl_is_passed_over(data: Callable[[str, bytes], Path]) -> None:
    assert values_of(data("rows.jsonl", b'\xef\xbb\xbf{"id": 1}\n')) == [{"id": 1}]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"id": ', "expected a JSON object, found broken JSON: Expecting value"),
        (b"{'id': 1}", "expected a JSON object, found broken JSON: Expecting property name"),
        (b'{"id": 1} {"id": 2}', "expected a JSON object, found broken JSON: Extra data"),
        (b"[1, 2]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        pytest.param(
            b'{"id": ' + b"1" * 5000 + b"}", "expected a JSON object, found", id="huge-number"
        ),
        pytest.param(b"[" * 100_000, "expected a JSON object, found", id="deep"),
    ],
)
def test_a_broken_line_of_jsonl_is_one_bad_row(
    data: Callable[[str, bytes], Path], line: bytes, expected: str
) -> None:
    path = data("rows.jsonl", b'{"id": 1}\n' + line + b'\n{"id": 3}\n')

    first, (row_id, reason), third = rows_of(path)

    assert (first, third) == (("row 1", {"id": 1}), ("row 3", {"id": 3}))
    assert row_id == "row 2"
    assert reason.startswith(expected)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_jsonl_file_is_refused(data: Callable[[str, bytes], Path], content: bytes) -> None:
    path = data("rows.jsonl", content)

    assert refusal(path).startswith(f"{path}: the data set is empty: expected rows, found ")


# Parquet


def test_empty_row_groups_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"id": pa.array([1, 2], pa.int64())})
    with pq.ParquetWriter(path, table.schema) as writer:
        for part in (table.slice(0, 1), table.slice(0, 0), table.slice(1, 1)):
            writer.write_table(part)

    assert rows_of(path) == [("row 1", {"id": 1}), ("row 2", {"id": 2})]


def test_parquet_keeps_the_types_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    row = {"image": b"\x89PNG", "steps": [[0.5, 1.0], [2.0, 3.0]], "missing": None, "n": 7}
    pq.write_table(pa.Table.from_pylist([row, {**row, "missing": "x"}]), path)

    assert values_of(path)[0] == row


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), path)

    assert refusal(path) == f"{path}: the data set is empty: expected rows, found none"


@pytest.mark.parametrize("content", [b"id,t\n1,2\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_another_file_named_parquet_is_refused(
    data: Callable[[str, bytes], Path], content: bytes
) -> None:
    path = data("rows.parquet", content)

    assert refusal(path).startswith(f"{path}: expected a Parquet file: ")


def test_a_damaged_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": list(range(3000))}), path, row_group_size=1000)
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300
    path.write_bytes(content)

    assert refusal(path).startswith(f"{path}: damaged")


# TFRecords


def test_a_tfrecord_gives_single_values_lists_and_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.tfrecord"
    write_tfrecords(path, [{"one": 1, "many": [1, 2], "text": b"a", "number": [0.5, 1.5]}, {}])

    assert values_of(path) == [
        {"one": 1, "many": [1, 2], "text": b"a", "number": [0.5, 1.5]},
        {},
    ]


def test_a_feature_without_values_is_none(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "rows.tfrecord"
    empty = {"none": tf.train.Feature(), "list": tf.train.Feature(float_list=tf.train.FloatList())}
    with tf.io.TFRecordWriter(str(path)) as writer:
        example = tf.train.Example(features=tf.train.Features(feature=empty))
        writer.write(example.SerializeToString())

    assert values_of(path) == [{"none": None, "list": None}]


@pytest.mark.parametrize(
    ("damage", "after"),
    [
        pytest.param(lambda content: content[:-5], 1, id="cut"),
        pytest.param(lambda content: content[:20] + b"\xff" + content[21:], 0, id="changed"),
        pytest.param(lambda content: b"id,t\n1,2\n3,4\n", 0, id="csv"),
        pytest.param(gzip.compress, 0, id="gzip-without-gz"),
    ],
)
def test_a_damaged_tfrecord_file_is_told_with_the_last_good_record(
    tmp_path: Path, damage: Callable[[bytes], bytes], after: int
) -> None:
    path = tmp_path / "rows.tfrecord"
    write_tfrecords(path, [{"id": 1}, {"id": 2}])
    path.write_bytes(damage(path.read_bytes()))

    told = refusal(path)

    assert told.startswith(f"{path}: damaged after record {after}: ")
    assert "{{" not in told, "the names of TensorFlow's own nodes help nobody"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:20], id="cut"),
        pytest.param(lambda content: zlib.decompress(content, 31), id="not-gzip"),
    ],
)
def test_a_damaged_gzip_file_is_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "rows.tfrecord.gz"
    write_tfrecords(path, [{"id": 1}, {"id": 2}], "GZIP")
    path.write_bytes(damage(path.read_bytes()))

    assert refusal(path).startswith(f"{path}: damaged after record 0: ")


def test_a_record_that_is_no_example_is_one_bad_row(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "rows.tfrecord"
    write_tfrecords(path, [{"id": 1}])
    good = path.read_bytes()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"no example \xff\xff")
    path.write_bytes(path.read_bytes() + good)

    assert rows_of(path) == [
        ("rows.tfrecord record 1", "expected a tf.Example"),
        ("rows.tfrecord record 2", {"id": 1}),
    ]


def test_a_folder_named_as_tfrecords_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.tfrecord"
    path.mkdir()

    assert refusal(path) == f"{path}: no such data file"


# Columns


def test_the_columns_are_known_before_reading(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,image\n")
    pq.write_table(pa.table({"id": [1], "text": ["a"]}), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("{}\n")

    assert columns(tmp_path / "rows.csv") == ["id", "image"]
    assert columns(tmp_path / "rows.parquet") == ["id", "text"]
    assert columns(tmp_path / "rows.jsonl") is None


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "tfrecord", "tfrecord.gz"])
def test_a_missing_file_is_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"

    with pytest.raises(RunError) as caught:
        columns(path)

    assert str(caught.value) == f"{path}: no such data file"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_folder_is_no_data_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    path.mkdir()

    assert refusal(path) == f"{path}: no such data file"
