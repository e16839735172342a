"""JSONL, Parquet and TFRecords: values, empty and damaged files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import refusal, rows_of, values_of, write_tfrecords

# JSONL


def test_blank_lines_of_jsonl_are_skipped(data: Callable[[str, bytes], Path]) -> None:
    path = data("rows.jsonl", b'\n{"id": 1}\n  \n\r\n{"id": 2}')

    assert rows_of(path) == [("row 1", {"id": 1}), ("row 2", {"id": 2})]


def test_a_byte_order_mark_before_jsonl_is_skipped(data: Callable[[str, bytes], Path]) -> None:
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


def test_empty_row_groups_are_skipped(tmp_path: Path) -> None:
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


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
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
def test_a_damaged_tfrecord_file_is_refused_with_the_last_good_record(
    tmp_path: Path, damage: Callable[[bytes], bytes], after: int
) -> None:
    path = tmp_path / "rows.tfrecord"
    write_tfrecords(path, [{"id": 1}, {"id": 2}])
    path.write_bytes(damage(path.read_bytes()))

    message = refusal(path)

    assert message.startswith(f"{path}: damaged after record {after}: ")
    assert "{{" not in message, "the names of TensorFlow's own nodes help nobody"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:20], id="cut"),
        pytest.param(lambda content: zlib.decompress(content, 31), id="not-gzip"),
    ],
)
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "rows.tfrecord.gz"
    write_tfrecords(path, [{"id": 1}, {"id": 2}], "GZIP")
    path.write_bytes(damage(path.read_bytes()))

    assert refusal(path).startswith(f"{path}: damaged after record 0: ")


def test_a_record_that_is_not_a_example_is_one_bad_row(tmp_path: Path) -> None:
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


def test_a_folder_is_no_pattern_where_it_exists_under_its_name(tmp_path: Path) -> None:
    for number, folder in enumerate(["st*r", "star", "[1]", "1"]):
        (tmp_path / folder).mkdir()
        for part in ("a", "b"):
            write_tfrecords(tmp_path / folder / f"{part}.tfrecord", [{"id": number}])

    found = {
        pattern: [row["id"] for row in values_of(tmp_path / pattern)]
        for pattern in ("st*r/*.tfrecord", "[1]/a.tfrecord", "[1]/[ab].tfrecord", "s*/a.tfrecord")
    }

    assert found == {
        "st*r/*.tfrecord": [0, 0],
        "[1]/a.tfrecord": [2],
        "[1]/[ab].tfrecord": [2, 2],
        "s*/a.tfrecord": [0, 1],
    }
