"""Reading a data file in shards: every row once and in order; CSV as it comes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import refusal, rows_of, values_of, write_tfrecords

from tfx_fusion.modules.data.data_file import columns, read, shards
from tfx_fusion.modules.errors import RunError

COUNTS = (1, 63, 64, 65, 5000)


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


def test_a_shard_can_be_read_by_itself(tmp_path: Path) -> None:
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


def test_broken_utf_8_survives_so_that_its_row_can_be_named(
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
    # The csv module refuses more than 131,072 characters by default.
    long = "1," * 100_000

    path = data("rows.csv", f'id,steps\n1,"[{long}1]"\n'.encode())

    assert values_of(path) == [{"id": "1", "steps": f"[{long}1]"}]


def test_a_quote_that_never_closes_is_refused_with_its_row(
    data: Callable[[str, bytes], Path],
) -> None:
    # Read leniently, the rows behind it would vanish into one cell of a row that looks good.
    path = data("rows.csv", b'id,t\n1,a\n2,"b\n3,c\n4,d\n')

    message = refusal(path)

    assert message.startswith(f"{path}: row 2: ")
    assert "quote" in message


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


# Columns


def test_the_columns_are_known_before_reading(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,image\n")
    pq.write_table(pa.table({"id": [1], "text": ["a"]}), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("{}\n")

    assert columns(tmp_path / "rows.csv") == ["id", "image"]
    assert columns(tmp_path / "rows.parquet") == ["id", "text"]
    assert columns(tmp_path / "rows.jsonl") is None


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "tfrecord", "tfrecord.gz"])
def test_a_missing_file_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"

    with pytest.raises(RunError) as caught:
        columns(path)

    assert str(caught.value) == f"{path}: no such data file"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_folder_is_no_data_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    path.mkdir()

    assert refusal(path) == f"{path}: no such data file"
