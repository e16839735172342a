"""Rows that are rejected when tf.Examples are written, and what stops a run there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from written_rows import (
    BY_HASH,
    Row,
    Written,
    rows,
    write_csv,
    write_tfrecord,
)

from tfx_fusion.modules.errors import RejectedRowsError, RunError, SpecificationError

pytestmark = pytest.mark.component

# Rejected rows


def test_rejected_rows_are_written_with_their_reasons(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "rows.csv", rows(200))
    with path.open("ab") as stream:
        stream.write(b'200,tall,red\n201,1\n202,1,"bl\xffue, or ""so"""\n,1,red\n')

    written = run(path, max_rejected=0.5)

    assert written.counts.rejected == 4
    assert written.counts.total == 204
    assert written.rejected() == [
        ["row", "column", "reason"],
        ["row 201", "size", "expected a number, found 'tall'"],
        ["row 202", "", "expected 3 cells as in the header, found 2"],
        ["row 203", "colour", "expected UTF-8 text, found a broken byte at character 3"],
        ["row 204", "id", "expected a value to split by, found none"],
    ]


def test_where_no_row_is_rejected_the_file_says_so(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    written = run(write_csv(tmp_path / "rows.csv", rows(20)))

    assert written.rejected() == [["row", "column", "reason"]]


def bad(given: list[Row], count: int) -> list[Row]:
    return [{**row, "size": "tall"} for row in given[:count]] + given[count:]


@pytest.mark.parametrize(
    ("rejected", "allowed"), [(1, 0.01), (7, 0.07), (29, 0.29), (57, 0.57), (99, 1.0)]
)
def test_as_many_rows_as_allowed_may_be_rejected(
    run: Callable[..., Written], tmp_path: Path, rejected: int, allowed: float
) -> None:
    # At 29 % and 57 %, `0.29 * 100` is less than 29 in floating point.
    given = [{**row, "part": ("train", "eval")[row["id"] % 2]} for row in bad(rows(100), rejected)]
    if rejected == 99:
        given.append({**rows(1)[0], "part": "train"})

    written = run(
        write_csv(tmp_path / "rows.csv", given), split={"column": "part"}, max_rejected=allowed
    )

    assert written.counts.rejected == rejected


def test_more_rejected_rows_than_allowed_stop_the_run_and_are_written(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "rows.csv", bad(rows(100), 5))

    with pytest.raises(RejectedRowsError) as caught:
        run(path, max_rejected=0.04)

    reason = "column 'size': expected a number, found 'tall'"
    assert str(caught.value) == (
        f"{path}: 5 of 100 rows were rejected, data.max_rejected allows 4 %. "
        f"First: row 1, {reason}; row 2, {reason}; row 3, {reason}"
    )
    assert [row for row, _, _ in caught.value.rejected] == [f"row {n}" for n in range(1, 6)]


def test_no_rejected_row_may_be_allowed(run: Callable[..., Written], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", bad(rows(100), 1))

    with pytest.raises(RunError, match=r"1 of 100 rows were rejected, .* allows 0 %"):
        run(path, max_rejected=0.0)


# What stops a run


@pytest.mark.parametrize(
    ("split", "change", "expected"),
    [
        (
            BY_HASH,
            {"id": "1"},
            "the split 'eval' has no rows (of 20); rows are split by a hash of 'id': "
            "take a column with more distinct values",
        ),
        (
            {"column": "part"},
            {"part": "eval"},
            "the split 'train' has no rows (of 20); rows are split by the column 'part'",
        ),
    ],
)
def test_a_split_without_rows_stops_the_run(
    run: Callable[..., Written], tmp_path: Path, split: dict, change: Row, expected: str
) -> None:
    path = write_csv(tmp_path / "rows.csv", [{**row, **change} for row in rows(20)])

    with pytest.raises(RunError) as caught:
        run(path, split=split)

    assert str(caught.value) == f"{path}: {expected}"


def test_missing_columns_stop_the_run_before_anything_is_written(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,size\n1,2\n")

    with pytest.raises(SpecificationError, match=r"labels\.colour: .* has no column 'colour'"):
        run(path)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("rows.csv", "id,size,colour\n"), ("r.tfrecord", "")]
)
def test_a_data_file_without_rows_stops_the_run(
    run: Callable[..., Written], tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(RunError) as caught:
        run(path)

    assert str(caught.value) == f"{path}: the data set is empty: expected rows, found none"


def test_a_damaged_file_stops_the_run_with_its_name(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_tfrecord(tmp_path / "rows.tfrecord", rows(20))
    path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(RunError) as caught:
        run(path)

    assert str(caught.value).startswith(f"{path}: damaged after record 19: ")


@pytest.mark.parametrize("normalize", ["standard", "none"])
def test_a_normalized_column_that_does_not_vary_is_logged(
    run: Callable[..., Written], tmp_path: Path, caplog: pytest.LogCaptureFixture, normalize: str
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"id": n, "a": n, "b": 0.5, "c": None, "colour": "red"} for n in range(300)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"type": "number", "normalize": normalize, "missing": "allowed"}

    run(path, {"x": {**columns, "columns": ["a", "b"]}, "y": {**columns, "column": "c"}})

    assert [record.message for record in caplog.records if record.name == "fusion.data"] == [
        "features.x: column 'b' has the value 0.5 in all training rows: normalized, it is 0",
        "features.y: column 'c' has no value in all training rows: normalized, it is 0",
    ] * (normalize == "standard")
